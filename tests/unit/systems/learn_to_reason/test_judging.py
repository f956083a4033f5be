"""A judge of steps through the teacher's interface: what it is asked, what is read of its answers, and the shares."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

import judge_steps
from retrace.errors import UserError
from retrace.evaluation.paper_tables import Ours
from retrace.evaluation.predictions import write_predictions
from retrace.evaluation.table_cells import read_cell
from retrace.machine.storage import write_jsonl
from retrace.schemas import Prediction, Sample
from retrace.systems.learn_to_reason.judging import first_wrong, load_prompt, prefix_correctness, trace_error
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from unit.chat_server import ChatServer
from unit.teacher_world import ROOT, TASK_YAML
from unit.tiny_models import problems

PROMPT = ROOT / "config/prompts/judge.yaml"


@pytest.fixture(autouse=True)
def no_proxy_and_a_key(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", "sk-very-secret-0123456789")


@pytest.mark.parametrize(
    ("reply", "number"),
    [
        ("All is right.\nFirst wrong step: none", 4),
        ("first wrong step: **2**", 2),
        ("The first wrong step: 1? No.\nFirst wrong step: 3", 3),
        ("First wrong step is step two", None),
        ("First wrong step: 9", None),
        ("First wrong step: 0", None),
        ("", None),
    ],
)
def test_what_is_read_of_an_answer(reply: str, number: int | None) -> None:
    assert first_wrong(reply, 3) == number


def test_shares_by_hand() -> None:
    right = np.array([[1.0, 0.5, np.nan, 0.0], [1.0, 0.5, 1.0, 0.5]])
    found = prefix_correctness(right)
    assert (found.value, found.per_seed) == (pytest.approx((0.5 + 2 / 3) / 2), pytest.approx([0.5, 2 / 3]))
    wrong = np.array([[0.0, 1.0, np.nan, 1.0]])
    error = trace_error(wrong, np.array([[1, 1, 1, 0]]))
    assert error is not None
    assert error.value == 0.5
    assert trace_error(wrong, np.zeros((1, 4))) is None
    with pytest.raises(UserError, match="no verdict of the judge could be read"):
        prefix_correctness(np.full((1, 2), np.nan))


def written(folder: Path, seeds: int) -> list[str]:
    (folder / "arithmetic.yaml").write_text(TASK_YAML)
    rows = problems(4)
    write_jsonl(folder / "data.jsonl", rows)
    paths = []
    for seed in range(seeds):
        predictions = []
        for place, row in enumerate(rows):
            text = "<<1+1=2>> | <<2+2=4>> | #### 4" if place else "#### 4"
            sample = Sample(text=text, answer="4", correct=place < 3, correct_strict=False, tokens=9, logprob=-1.0)
            fixed = {"gold": row.answer, "samples": [sample], "chosen": 0, "answer": "4", "tokens": 9, "seconds": 0.1}
            known = {"example_id": row.id, "question": row.question, "correct": place < 3, "correct_strict": False}
            predictions.append(Prediction(**fixed, **known))
        paths.append(folder / f"{seed}.jsonl")
        write_predictions(paths[-1], predictions)
    words = ["--task-file", folder / "arithmetic.yaml", "--data", folder / "data.jsonl", "--predictions", *paths]
    words += ["--seeds", *range(seeds), "--method", "grace", "--judged-model", "tiny_t5", "--preset", "paper"]
    words += ["--prompt-file", PROMPT, "--output", folder / "judged.json", "--recording", folder / "recording"]
    return [*map(str, words), "--model", "wise", "--key-variable", "TEACHER_KEY", "--max-wait-seconds", "0.2"]


def test_a_judge_is_asked_once_about_what_is_the_same(tmp_path: Path) -> None:
    def say(body: dict) -> str:
        steps = re.findall(
            r"^\d+\. (.*)$", body["messages"][-1]["content"].partition("Steps to check:")[2], re.MULTILINE
        )
        assert steps[:2] == ["<<1+1=2>>", "<<2+2=4>>"] or len(steps) == 1
        return "Hm.\nFirst wrong step: " + ("2" if len(steps) > 1 else "none")

    words = written(tmp_path, 2)
    with ChatServer(reply=say) as server:
        judge_steps.main([*words, "--base-url", server.url])
        assert len(server.log) == 3  # two seeds wrote the same, and one solution has no steps
        judge_steps.main([*words, "--base-url", server.url])
        assert len(server.log) == 3, "what was answered is not asked again"
        judge_steps.main([*words, "--base-url", server.url, "--kind", "replay"])
    found = json.loads((tmp_path / "judged.json").read_text())
    assert (found["kind"], found["judge"], found["n"], found["unread"]) == ("judged_steps", "wise", 4, 0)
    steps = found["prefix_correctness"]["value"]
    assert steps == 0.375  # half of the steps in three of four solutions
    assert found["prefix_correctness"]["per_seed"] == [steps, steps]
    assert found["trace_error"]["value"] == pytest.approx(2 / 3)  # of three right answers, two with a wrong step
    cell = read_cell(
        Ours(task="t", model="m", file="judged.json", at=["prefix_correctness"]), ["judged.json"], tmp_path
    )
    assert (cell.value, cell.comparable, cell.n) == (steps, True, 4)


def test_an_oracle_judges_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="oracle gives references and judges no steps"):
        judge_steps.main([*written(tmp_path, 1), "--kind", "oracle"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{steps}", "", r"ask: must hold \{steps\}"),
        ("{question}", "{quest}", r"\{quest\} is unknown"),
        ("ask:", "asks:", "ask: Field required"),
    ],
)
def test_a_faulty_prompt_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = re.sub(r"^#.*\n", "", PROMPT.read_text(), flags=re.MULTILINE)
    (tmp_path / "judge.yaml").write_text(text.replace(old, new))
    with pytest.raises(UserError, match=message):
        load_prompt(tmp_path / "judge.yaml")


def test_judged_steps_are_targets_of_every_method() -> None:
    targets = Targets(Settings({"preset": "paper"}, ROOT / "config"))
    targets.check("results/gsm8k/flan_t5_large/grace_self_consistency_judged.json")
    with pytest.raises(UserError, match="method 'grase' is unknown"):
        targets.check("results/gsm8k/flan_t5_large/grase_judged.json")
