"""The script that trains a round of Learn-to-Reason."""

import json

import pytest
import torch

import train_learn_to_reason
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.load import load_model
from retrace.prompting.layouts import has_masked_results, note_masked_results
from suites import first_daily
from unit.systems.learn_to_reason.test_learn_to_reason import EXAMPLES, FAMILIES, TASK, mistake, rationale
from unit.teacher_world import TASK_YAML
from unit.tiny_models import problems, tiny_folder

MODEL_YAML = "name: tiny\ntitle: tiny\nfamily: {family}\nscratch: {{}}\n"


def write_world(folder, family: str, rationales, marks) -> list[str]:
    tiny_folder(folder / "model", TASK, EXAMPLES, family)
    (folder / "tiny.yaml").write_text(MODEL_YAML.format(family=family))
    (folder / "arithmetic.yaml").write_text(TASK_YAML)
    write_jsonl(folder / "train.jsonl", EXAMPLES)
    write_jsonl(folder / "dev.jsonl", problems(8, "dev"))
    write_jsonl(folder / "rationales.jsonl", rationales)
    write_jsonl(folder / "marks.jsonl", marks)
    files = {"model": "model", "model-file": "tiny.yaml", "task-file": "arithmetic.yaml", "train": "train.jsonl"}
    files |= {"dev": "dev.jsonl", "rationales": "rationales.jsonl", "marks": "marks.jsonl", "state": "state"}
    words = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    words += ["--output", str(folder / "out"), "--report", str(folder / "report.json"), "--seed", "0"]
    return [*words, "--batch-size", "8", "--device-batch-size", "4", "--max-steps", "4", "--evaluations", "2"]


@pytest.mark.parametrize("family", first_daily(FAMILIES))
def test_the_script_trains_a_round(family: str, tmp_path) -> None:
    rows = [rationale(example) for example in EXAMPLES] + [rationale(EXAMPLES[0], "no", accepted=False)]
    words = write_world(tmp_path, family, rows, [mistake(example) for example in EXAMPLES[:12]])
    train_learn_to_reason.main([*words, "--learning-rate", "1e-3", "--repeat", "2"])
    before, after = (load_model(tmp_path / name, family)[0] for name in ("model", "out"))
    assert not torch.equal(next(before.parameters()), next(after.parameters()))
    assert not has_masked_results(tmp_path / "out")
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["questions"], report["rationales"], report["steps"]) == (24, 24, 8)
    assert "| trained on | 24 questions with rationales of a teacher |" in (tmp_path / "out" / "README.md").read_text()
    assert report["development_rows"] == 8
    assert not (tmp_path / "state").exists()
    curve = [json.loads(line) for line in (tmp_path / "out" / "curves.jsonl").read_text().splitlines()]
    assert any("dev_loss" in row for row in curve)


@pytest.mark.parametrize("family", first_daily(reversed(FAMILIES)))
def test_the_script_chooses_by_accuracy(family: str, tmp_path, capsys) -> None:
    """On the development split, or by option on the test split, which needs no worked solutions then."""
    words = write_world(tmp_path, family, [rationale(example) for example in EXAMPLES], [])
    words += ["--keep", "accuracy", "--answer-tokens", "12", "--answer-batch-size", "3"]
    write_jsonl(tmp_path / "dev.jsonl", [row.model_copy(update={"steps": []}) for row in problems(8, "dev")])
    for on_test in ("false", "true"):
        train_learn_to_reason.main([*words, "--validation-is-test", on_test])
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["chosen_on"] == ("test" if on_test == "true" else "dev")
        assert report["development_rows"] == 0
        assert report["questions"] == 24  # none is held out
        curve = [json.loads(line) for line in (tmp_path / "out" / "curves.jsonl").read_text().splitlines()]
        assert [row["step"] for row in curve if "dev_accuracy" in row] == [2, 4]
        assert "development accuracy 0." in capsys.readouterr().out


def test_a_student_without_mistakes_stays_as_it_was(tmp_path) -> None:
    words = write_world(tmp_path, "encoder_decoder", [], [])
    note_masked_results(tmp_path / "model")
    train_learn_to_reason.main(words)
    assert has_masked_results(tmp_path / "out"), "also in what it does not know"
    before, after = (load_model(tmp_path / name, "encoder_decoder")[0] for name in ("model", "out"))
    assert all(torch.equal(one, two) for one, two in zip(before.parameters(), after.parameters(), strict=True))
    assert json.loads((tmp_path / "report.json").read_text())["note"].startswith("no rationales")


def test_few_questions_make_a_smaller_batch(tmp_path) -> None:
    words = write_world(tmp_path, "encoder_decoder", [rationale(example) for example in EXAMPLES[:3]], [])
    train_learn_to_reason.main(words)
    assert json.loads((tmp_path / "report.json").read_text())["batch_size"] == 3


def test_fewer_questions_than_processes_leave_the_student_as_it_was(tmp_path, monkeypatch) -> None:
    words = write_world(tmp_path, "encoder_decoder", [rationale(example) for example in EXAMPLES[:3]], [])
    monkeypatch.setenv("WORLD_SIZE", "4")
    train_learn_to_reason.main(words)
    before, after = (load_model(tmp_path / name, "encoder_decoder")[0] for name in ("model", "out"))
    assert all(torch.equal(one, two) for one, two in zip(before.parameters(), after.parameters(), strict=True))
    assert "fewer questions than the 4 processes" in json.loads((tmp_path / "report.json").read_text())["note"]


def test_choosing_on_the_test_split_is_said_and_needs_worked_solutions_there(tmp_path) -> None:
    words = write_world(tmp_path, "encoder_decoder", [rationale(example) for example in EXAMPLES], [])
    train_learn_to_reason.main([*words, "--validation-is-test", "true"])
    assert json.loads((tmp_path / "report.json").read_text())["chosen_on"] == "test"
    write_jsonl(tmp_path / "dev.jsonl", [row.model_copy(update={"steps": []}) for row in problems(8, "dev")])
    with pytest.raises(UserError, match="needs worked solutions in the test split, and arithmetic has none there"):
        train_learn_to_reason.main([*words, "--validation-is-test", "true"])
