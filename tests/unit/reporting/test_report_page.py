"""The report as a file: what is on it, what is not, and what it says about what it leaves out."""

import gzip
import json
import os
import re
import sys
from base64 import b64decode
from html.parser import HTMLParser
from pathlib import Path

import pytest

import make_report
from retrace.errors import UserError
from retrace.machine.storage import candidates_path, write_json
from retrace.reporting import libraries, page
from retrace.reporting.collect import collect
from retrace.reporting.figures import all_figures, calibrations, thinned
from retrace.reporting.history import collapsed, steps_of
from retrace.reporting.questions import first_departure, fitting, groups_of, spread
from retrace.reporting.remarks import remarks
from unit.evaluation_data import CONFIG
from unit.reporting_world import FOLDER, HOSTILE, path_of, write_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path / "run")
    return tmp_path / "run"


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its styles, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.styles: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.found[-1][0] == "style":
            self.styles.append(data)


def report(*more: str) -> str:
    make_report.main(["--config", str(CONFIG), *more])
    return Path("results/report.html").read_text(encoding="utf-8")


def data_of(text: str, words: str) -> list:
    """What stands in the page's data elements."""
    return [json.loads(found) for found in re.findall(rf'<script type="application/json" {words}>(.*?)</script>', text)]


def rows_of(document: dict, place: int) -> list:
    return json.loads(gzip.decompress(b64decode(document["packed"][place])))


def test_one_file_with_all_sections_and_nothing_from_elsewhere(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = report()
    assert "results/report.html: 3 results, " in capsys.readouterr().out
    for name in ("overview", "tables", "figures", "predictions", "history", "provenance", "limits"):
        assert f'<section id="{name}"' in text
    elements = Elements(text)
    assert {name for name, _ in elements.found} & {"img", "iframe", "object", "video", "audio", "base"} == set()
    assert [about for name, about in elements.found if name == "script" and "src" in about] == []
    assert [about["href"] for name, about in elements.found if name == "link"] == ["data:,"]
    assert not re.search(r"@import|url\((?!data:|#)", "".join(elements.styles))
    assert "default-src 'none'" in text
    assert len(text.encode()) < 8_000_000
    assert report() == text, "the same results make the same page"


def test_text_of_models_ends_no_element(world: Path) -> None:
    text = report()
    assert "<img src=x" not in text
    assert "\u2028" not in text
    (group,) = data_of(text, 'class="predictions-data"')
    questions = rows_of(group, 0)
    assert questions[2][1].endswith(HOSTILE)
    assert sum(name == "script" for name, _ in Elements(text).found) == text.count("</script>") == 8
    assert json.loads(page.data_element("</script><!-- & \u2028")) == "</script><!-- & \u2028"
    assert not re.search("[<>&\u2028]", page.data_element("</script><!-- & \u2028"))


def test_predictions_of_all_methods_with_candidates_and_the_first_departure(world: Path) -> None:
    (group,) = data_of(report(), 'class="predictions-data"')
    assert [(one["name"], one["candidates"]) for one in group["methods"]] == [
        ("grace", True), ("greedy", False), ("self_consistency", False),
    ]  # fmt: skip
    grace, greedy, votes = (rows_of(group, place) for place in (1, 2, 3))
    assert (len(grace), len(greedy)) == (40, 40)
    right, answer, chosen, samples, steps, departs = grace[0]
    assert (right, answer, chosen, departs, len(samples)) == (1, "6", 0, None, 1)
    taken, candidates = steps[1]
    text, times, language, judged, mixed, spans = candidates[taken]
    assert (text, times, language, judged) == ("<<3*2=6>> |", 2, 0.9, 2.0)
    assert [text[start:end] for start, end in spans] == ["6>>"]
    assert mixed == max(one[4] for one in candidates)
    assert greedy[0][5] == 1, "greedy errs in its second step"
    assert grace[3][5] == 1
    assert [sample[2] for sample in votes[9][3]] == [1, 1, 1]


def test_candidates_of_other_predictions_are_not_shown(world: Path) -> None:
    other = candidates_path(path_of("grace"))
    rows = [json.loads(line) for line in gzip.decompress(other.read_bytes()).splitlines()]
    rows[0]["prediction"] = "0" * 16
    other.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    (group,) = groups_of(collect(Path("results")).results, 100, [])
    assert group.methods[0]["rows"][0][4] is None
    assert group.methods[0]["rows"][1][4] is not None


def test_damaged_candidates_are_named_and_their_predictions_shown(world: Path) -> None:
    kept = candidates_path(path_of("grace"))
    kept.write_bytes(kept.read_bytes()[:-9])
    notes: list[str] = []
    (group,) = groups_of(collect(Path("results")).results, 100, notes)
    assert (group.methods[0]["name"], group.methods[0]["candidates"], len(group.methods[0]["rows"])) == (
        "grace",
        False,
        40,
    )
    assert "test.candidates.jsonl.gz: cannot be unpacked" in notes[0]


def test_larger_results_are_sampled_and_it_says_so(world: Path) -> None:
    text = report("--questions", "10")
    (group,) = data_of(text, 'class="predictions-data"')
    assert (group["total"], group["places"]) == (40, [0, 4, 8, 12, 16, 20, 24, 28, 32, 36])
    assert len(rows_of(group, 1)) == 10
    assert "10 of the 40 questions are on this page, evenly spaced" in text
    assert spread(3, 10) == [0, 1, 2]


def test_a_page_that_would_be_too_large_holds_fewer_questions(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = sum(len(part) for part in fitting(collect(Path("results")).results, [])[0].document()["packed"])
    monkeypatch.setattr("retrace.reporting.questions.MOST_BYTES", whole * 3 // 4)
    (group,) = fitting(collect(Path("results")).results, [])
    assert 10 <= len(group.places) < 40
    assert sum(len(part) for part in group.document()["packed"]) <= whole * 3 // 4


def test_every_kind_of_document_has_its_figure(world: Path) -> None:
    found = collect(Path("results"))
    figures = {one["title"]: one for one in all_figures(found, fitting(found.results, found.left_out))}
    assert set(figures) == {
        "Methods on arithmetic, tiny_t5",
        "Paired differences on arithmetic, tiny_t5",
        "The discriminator's weight on arithmetic, tiny_t5",
        "Rounds on arithmetic, tiny_t5",
        "pass@k on arithmetic, tiny_t5",
        "maj@k on arithmetic, tiny_t5",
        "Accuracy against speed on arithmetic, tiny_t5",
        "Speed of chains of thought on arithmetic, tiny_t5",
        "Training on arithmetic, tiny_t5: loss",
        "Training on arithmetic, tiny_t5: dev reward",
    }
    speed = figures["Speed of chains of thought on arithmetic, tiny_t5"]
    assert [row["questions per second"] for row in speed["rows"]] == [8, 512, 6, 384, 2, 128]
    assert "implicit is 3.0 times as fast as explicit" in speed["caption"]
    forest = figures["Methods on arithmetic, tiny_t5"]["rows"]
    assert [(row["method"], row["accuracy"]) for row in forest] == [
        ("greedy", 32.5), ("self_consistency", 50.0), ("grace", 75.0),
    ]  # fmt: skip
    assert figures["Paired differences on arithmetic, tiny_t5"]["rows"][0]["points"] == 42.5
    training = figures["Training on arithmetic, tiny_t5: loss"]
    assert len(training["rows"]) == 300
    assert (training["rows"][0]["step"], training["rows"][-1]["step"]) == (1, 700)
    assert "at most 300 points" in training["caption"]
    assert thinned(training["rows"][:5]) == training["rows"][:5]


def test_the_discriminator_is_calibrated_where_its_shares_differ(world: Path) -> None:
    found = collect(Path("results"))
    groups = fitting(found.results, found.left_out)
    assert list(calibrations(groups)) == [], "all shares fall into one tenth"
    for row in groups[0].methods[0]["rows"]:
        if not row[0]:
            for _, candidates in row[4]:
                candidates[0][3] -= 2.0
    (calibration,) = calibrations(groups)
    assert [(row["right"], row["answers"]) for row in calibration["rows"]] == [(0.0, 10), (100.0, 30)]
    assert calibration["rows"][0]["share"] < calibration["rows"][1]["share"]
    assert calibration["files"] == [str(path_of("grace"))]


def test_cards_say_what_was_run_and_which_claims_hold(world: Path) -> None:
    text = report()
    cards = re.findall(r'<article class="card">(.*?)</article>', text, re.DOTALL)
    papers = len(list((CONFIG / "papers").glob("*.yaml")))
    assert len(cards) == papers >= 5
    (grace,) = (card for card in cards if "GRACE" in card)
    assert "3 methods on arithmetic with tiny_t5: preset tiny, 40 questions, 1 seed" in grace
    assert "1 of 2: holds" in grace
    assert "1 of 2: cannot tell" in grace
    assert "<h4>Next missing cell</h4>" in grace
    assert sum("Nothing yet." in card for card in cards) == papers - 1


def test_tables_have_the_papers_shape(world: Path) -> None:
    path = Path("results/tables/grace_table1.json")
    document = json.loads(path.read_text())
    measured, missing = document["panels"][1]["rows"][0]["cells"][:2]
    measured |= {"status": "measured", "value": 33.04, "low": 30.0, "high": 36.0, "verdict": "reproduced"}
    missing |= {"status": "missing", "targets": ["x.json"], "plan": {"jobs": 1200, "gpu_hours": 4.26, "cpu_hours": 1.0}}
    write_json(path, document)
    text = report()
    assert 'data-table="grace_table1" data-grid="yes"' in text
    assert 'data-table="grace_table1_2" data-grid="yes"' in text
    assert text.count("As the paper lays it out)</h3>") == 1
    assert f"<td>33.0 [30.0 to 36.0] ({measured['reported']}) ✓</td>" in text
    assert f"<td>({missing['reported']})</td>" in text
    (said,) = re.findall(r"<h4>Next missing cell</h4>\s*<p>(.*?)</p>", text)
    assert said.endswith("results/arithmetic/tiny_t5/verifier_acc.json"), (
        "of the model that was run, before the paper's"
    )
    for cell in (cell for row in document["panels"][0]["rows"] for cell in row["cells"]):
        cell["status"] = "reported only"
    write_json(path, document)
    (said,) = re.findall(r"<h4>Next missing cell</h4>\s*<p>(.*?)</p>", report())
    assert said.endswith("(1,200 jobs, about 4.3 GPU hours): snakemake x.json")
    write_json(path, document | {"panels": [{"title": "x"}]})
    assert "tables/grace_table1.json: panels.0.columns: Field required" in report()


def test_limits_are_those_of_the_documents(world: Path) -> None:
    found = collect(Path("results"))
    said = {one["text"]: one["about"] for one in remarks(found, fitting(found.results, found.left_out))}
    assert len(said["No result here was made at a paper's size, so no number can be compared with a paper's."]) == 3
    assert any(text.startswith("Only one seed") for text in said)
    assert any(text.startswith("Fewer than 100 questions") for text in said)
    assert not any(text.startswith("No difference was found") for text in said)
    comparison = FOLDER / "compare/grace_vs_greedy.json"
    document = json.loads(comparison.read_text())
    document["difference"]["low"] = -0.1
    write_json(comparison, document)
    assert any(
        one["text"].startswith(
            "No difference was found between grace and greedy on arithmetic with tiny_t5: +42.5 points"
        )
        for one in remarks(collect(Path("results")), [])
    )


def test_faulty_files_are_named_and_left_out(world: Path) -> None:
    (FOLDER / "broken_acc.json").write_text("{")
    write_json(FOLDER / "old_acc.json", {"kind": "result", "task": "arithmetic"})
    Path("results/tables/grace_table2.json").write_text("[1]")
    Path("results/claims.json").write_text('{"claims": 3}')
    path_of("greedy").write_text("")
    text = report()
    for name in ("broken_acc.json", "old_acc.json", "grace_table2.json", "claims.json", "greedy/test.jsonl"):
        assert name in text[text.index('<section id="limits"') :], name
    assert [one["name"] for one in data_of(text, 'class="predictions-data"')[0]["methods"]] == [
        "grace",
        "self_consistency",
    ]


def test_documents_that_cannot_be_drawn_and_curves_that_diverge_leave_the_rest(world: Path) -> None:
    write_json(FOLDER / "old_beta_sweep.json", {"kind": "sweep", "task": "arithmetic"})
    write_json(FOLDER / "dpo_st_pass_at_k.json", {"kind": "pass_at_k", "task": "arithmetic", "model": "x", "points": 3})
    with open(FOLDER / "seed0/base/model/curves.jsonl", "a") as handle:
        handle.write('{"step": 701, "loss": NaN, "dev_reward": Infinity}\n{"step": 702, "lo')
    text = report()
    assert "old_beta_sweep.json: not a document of kind sweep" in text
    assert "dpo_st_pass_at_k.json: not a document of kind pass_at_k" in text
    (figures,) = data_of(text, 'id="figures-data"')
    titles = [one["title"] for one in figures]
    assert "The discriminator's weight on arithmetic, tiny_t5" in titles
    assert "Training on arithmetic, tiny_t5: loss" in titles


def test_an_empty_folder_has_a_page_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    text = report()
    assert "There is no result in this folder yet." in text
    assert "Snakemake has no record of a job in this folder." in text


def test_history_merges_shards_and_seeds_and_tells_what_is_stale_or_missing(world: Path) -> None:
    text = report()
    step = (
        r'<summary><span class="state (\w+)">.*?<strong>(\w+)</strong>( ×2)? '
        r'<span class="path">(.*?)</span>.*?([\d.]+) s</span>'
    )
    found = re.findall(step, text)
    assert found == [
        ("done", "prepare_data", "", "data/arithmetic/test", "2.5"),
        ("done", "decode", " ×2", "arithmetic/tiny_t5/seed*/base/grace/test_*", "7.5"),
        ("done", "gather_predictions", "", "arithmetic/tiny_t5/seed*/base/grace/test", "2.5"),
        ("done", "score_method", "", "arithmetic/tiny_t5/grace_acc", "2.5"),
    ]
    assert "python decode.py --x &#39;&lt;b&gt;&#39;" in text
    assert text.count('class="box done"') == 4
    os.utime("results/data/arithmetic/test.jsonl", (5000, 5000))
    again = report()
    assert '<span class="state stale">stale</span> <strong>score_method' in again
    path_of("grace").unlink()
    assert '<span class="state missing">missing</span> <strong>gather_predictions' in report()


def test_paths_without_numbers_of_seed_and_shard() -> None:
    assert (
        collapsed("results/t/m/seed12/base/grace/shards/test_3.jsonl")
        == "results/t/m/seed*/base/grace/shards/test_*.jsonl"
    )
    assert collapsed("logs/t/m/seed0/x/sample/7.log") == "logs/t/m/seed*/x/sample/*.log"
    assert collapsed("results/mult_4x4/gpt2/icot_round2_acc.json") == "results/mult_4x4/gpt2/icot_round2_acc.json"
    assert steps_of([]) == []


def test_the_first_step_that_departs_from_the_reference() -> None:
    reference = ["<<15+14=29>>", "<<29+6=35>>"]
    assert first_departure(["<<15+14=29>>", "<<29-6=23>>", "#### 23"], reference) == 1
    assert first_departure(["no number", "<<14+15=29>>", "<<29+6=1,035>>"], reference) == 2
    assert first_departure(["<<15+14=29>>", "#### 29"], reference) is None
    assert first_departure(["heads up"], ["The coin is heads up"]) is None, "no results to compare"


def test_libraries_are_named_when_they_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(UserError, match=r"needs the package vl-convert-python; .*bash envs/setup"):
        libraries.vega()
    assert "</script" not in libraries.datatables()[0].lower()
    assert "<!--" not in libraries.datatables()[0]
