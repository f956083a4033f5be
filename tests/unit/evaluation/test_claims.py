"""Claims: from the interval of a paired difference to a verdict, at one place and at several; the shipped ones."""

import json
import re
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import compare_methods
import decide_claims
from retrace.errors import UserError
from retrace.evaluation.claim_forms import to_html, to_markdown
from retrace.evaluation.claims import (
    Claim,
    ClaimsDocument,
    Place,
    TestedPlace,
    decide,
    decide_claim,
    decide_place,
    load_claims,
    target_of,
)
from retrace.evaluation.paired import MeasureComparison, compare_by
from retrace.evaluation.predictions import write_predictions
from retrace.evaluation.result import load_document
from retrace.machine.storage import write_jsonl
from retrace.workflow.claims import claims_document, comparisons_of_claims, places_of
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from unit.evaluation.test_paired import arguments
from unit.evaluation_data import CONFIG, examples, prediction, write_task

CLAIMS = load_claims(CONFIG / "papers")
HERE = Place(task="gsm8k", model="tiny_t5")


def claim(**changes: object) -> Claim:
    plain = {"name": "x", "claim": "A beats B by far", "source": "Table 1", "a": "grace", "b": "greedy", "places": []}
    return Claim.model_validate(plain | {"small": ["arithmetic"]} | changes)


@pytest.mark.parametrize(
    ("low", "high", "bounds", "verdict"),
    [
        (0.5, 9, {}, "holds"),
        (-1, 9, {}, "cannot tell"),
        (-9, -1, {}, "does not hold"),
        (0.5, 9, {"at_least": 2}, "cannot tell"),
        (2.5, 9, {"at_least": 2}, "holds"),
        (-0.5, 0.5, {"at_least": -1}, "holds"),
        (-0.5, 0.5, {"at_most": 1}, "holds"),
        (-9, -5, {"at_most": 1}, "holds"),
        (0.5, 1.5, {"at_most": 1}, "cannot tell"),
        (1.5, 9, {"at_most": 1}, "does not hold"),
    ],
)
def test_the_interval_decides(low: float, high: float, bounds: dict, verdict: str) -> None:
    assert decide(claim(**bounds), low, high)[0] == verdict


def test_a_place_is_decided_by_its_comparison(tmp_path: Path) -> None:
    a = write_task(tmp_path, [[True] * 36 + [False] * 4, [True] * 34 + [False] * 6], "grace")
    b = write_task(tmp_path, [[True] * 8 + [False] * 32, [True] * 6 + [False] * 34], "greedy")
    one = claim()
    target = tmp_path / target_of(one, HERE)
    words = arguments(a, b, target)
    compare_methods.main([*words, "--seeds", "0", "1"])
    found = decide_place(one, HERE, tmp_path)
    assert (found.verdict, found.n, found.seeds) == ("holds", 40, 2)
    assert found.difference == pytest.approx(70)
    document = json.loads(target.read_text())
    assert found.low == pytest.approx(
        100 * min(document[name]["low"] for name in ("difference", "difference_over_seeds"))
    )
    assert decide_place(claim(at_least=95), HERE, tmp_path).verdict == "does not hold"


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    found = decide_place(claim(measure="tokens"), HERE, tmp_path)
    target = "results/gsm8k/tiny_t5/compare/grace_vs_greedy_by_tokens.json"
    assert (found.verdict, found.because) == ("cannot tell", f"not made yet: {target}")
    assert decide_place(claim(), HERE, tmp_path, "no such model").because == "cannot be made: no such model"


@pytest.mark.parametrize(
    ("places", "verdict"),
    [
        (["holds", "holds"], "holds"),
        (["holds", "cannot tell"], "cannot tell"),
        (["holds", "does not hold"], "cannot tell"),
        (["does not hold", "cannot tell"], "does not hold"),
        (["cannot tell"], "cannot tell"),
        ([], "cannot tell"),
    ],
)
def test_a_claim_holds_where_it_does_everywhere(places: list[str], verdict: str) -> None:
    tested = [TestedPlace(task="t", model="m", target="x", verdict=one, because="so") for one in places]  # type: ignore[arg-type]
    assert decide_claim("grace", claim(), tested).verdict == verdict


# ---------------------------------------------------------------- by tokens and pass@k


def test_a_measure_of_each_question_by_hand() -> None:
    a, b = np.array([[10.0, 12, 8, 10]] * 2), np.array([[4.0, 5, 4, 3]] * 2)
    found = compare_by(
        a, b, [0, 1], task="t", split="test", model="m", measure="tokens", method_a="a", method_b="b", predictions=[]
    )
    assert (found.value_a, found.value_b, found.difference.value) == (10, 4, 6)
    assert 4 <= found.difference.low <= 6 <= found.difference.high <= 7
    assert found.p_value == pytest.approx(2 / 16, abs=0.02)  # all four signs alike
    assert found.difference_over_seeds is not None


def compared(tmp_path: Path, measure: str, a: list, b: list) -> MeasureComparison:
    rows = examples(len(a))
    write_jsonl(tmp_path / "data/gsm8k/test.jsonl", rows)
    paths = []
    for name, flags in (("a", a), ("b", b)):
        path = tmp_path / "gsm8k/tiny_t5/seed0/sft" / name / "test.jsonl"
        write_predictions(path, [prediction(row, one) for row, one in zip(rows, flags, strict=True)])
        paths.append(path)
    words = arguments([paths[0]], [paths[1]], tmp_path / "c.json")
    compare_methods.main([*words, "--measure", measure])
    return load_document(tmp_path / "c.json", MeasureComparison)


def test_pass_at_k_and_tokens_of_predictions(tmp_path: Path) -> None:
    right, wrong = [True, False, False, False], [False] * 4
    found = compared(tmp_path, "pass_at_2", [right, wrong], [wrong, wrong])
    assert (found.value_a, found.value_b) == (0.25, 0)  # 1 - C(3, 2) / C(4, 2) = a half, of one of two questions
    assert (found.measure, found.seeds, found.n) == ("pass_at_2", [0], 2)
    tokens = compared(tmp_path, "tokens", [right, wrong], [[True], [False]])
    assert (tokens.value_a, tokens.value_b) == (28, 7)
    with pytest.raises(UserError, match=r"pass@5 needs 5 samples a question, and one has 4; draw more"):
        compared(tmp_path, "pass_at_5", [right, wrong], [wrong, wrong])
    for unknown in ("length", "pass_at_0", "pass_at_x"):
        with pytest.raises(UserError, match="is unknown; valid: tokens, pass_at_K"):
            compared(tmp_path, unknown, [right], [wrong])


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"at_least": 1, "at_most": 2}, "exclude each other"),
        ({"b": "grace"}, "a and b are both grace"),
        ({"measure": "pass_at_0"}, "measure"),
        ({"small": []}, "small"),
        ({"placces": []}, r"unknown key 'claims.0.placces'; did you mean 'places'"),
        ({"name": "Bad-Name"}, "name"),
    ],
)
def test_a_faulty_claim_is_refused_with_its_place(tmp_path: Path, change: dict, message: str) -> None:
    import yaml

    (tmp_path / "claims").mkdir()
    one = claim().model_dump(exclude_none=True) | change
    (tmp_path / "claims/grace.yaml").write_text(yaml.safe_dump({"paper": "grace", "claims": [one]}))
    with pytest.raises(UserError, match=message) as fault:
        load_claims(tmp_path)
    assert "claims/grace.yaml" in str(fault.value)


def test_a_claim_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    import yaml

    (tmp_path / "claims").mkdir()
    one = claim().model_dump(exclude_none=True)
    (tmp_path / "claims/grace.yaml").write_text(yaml.safe_dump({"paper": "grace", "claims": [one, one]}))
    with pytest.raises(UserError, match="claim x is there twice"):
        load_claims(tmp_path)


def test_each_paper_has_at_least_six_claims() -> None:
    counts = Counter(paper for paper, _ in CLAIMS)
    assert set(counts) == {"grace", "dpo_st", "icot", "latro", "learn_to_reason"}
    assert min(counts.values()) >= 6


@pytest.mark.parametrize("preset", ["paper", "tiny", "smoke"])
def test_each_claim_can_be_tested_in_each_preset(preset: str) -> None:
    settings = Settings({"preset": preset}, CONFIG)
    targets = Targets(settings)
    for target in comparisons_of_claims(settings):
        targets.check(target)
    nowhere = {one.name for paper, one in CLAIMS if not places_of(paper, one, settings)}
    assert nowhere == ({"icot_by_its_thoughts"} if preset == "paper" else set())


def test_the_document_makes_nothing_and_has_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = claims_document(Settings({"preset": "tiny"}, CONFIG), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert {one.verdict for one in document.claims} == {"cannot tell"}
    text = to_markdown(document)
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("|")}) == 1
    assert "- `results/mult_2x2/tiny_gpt2/compare/explicit_cot_vs_icot_by_tokens.json`" in text
    page = ElementTree.fromstring(re.sub(r"<!doctype html>|<meta [^>]*>|<br>", "", to_html(document)))
    assert len([cell for cell in page.iter("th") if cell.get("scope") == "row"]) == len(document.claims)
    decide_claims.main(["--folder", str(tmp_path), "--json", str(tmp_path / "c.json")])
    assert "37 claims: 0 holds, 0 does not hold, 37 cannot tell" in capsys.readouterr().out
    assert ClaimsDocument.model_validate(json.loads((tmp_path / "c.json").read_text())).preset == "paper"
    with pytest.raises(UserError, match="nothing to write: give --json"):
        decide_claims.main([])
