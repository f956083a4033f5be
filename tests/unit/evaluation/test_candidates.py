"""Candidates beside predictions: which belong together, and what makes damaged ones again."""

from pathlib import Path

import pytest

import check_files
from retrace.evaluation.candidates import belong_to, digest_of_prediction, read_candidates, write_candidates
from retrace.evaluation.predictions import write_predictions
from retrace.machine.checksums import VARIABLE
from retrace.machine.storage import candidates_path, made_with
from retrace.schemas import Candidate, CandidateStep, Prediction, QuestionCandidates
from unit.evaluation_data import examples, prediction


def rows(*rights: bool) -> list[Prediction]:
    found = [prediction(example, right) for example, right in zip(examples(len(rights)), rights, strict=True)]
    for row in found:
        one = Candidate(text="t", tokens=7, language_model=0.5, discriminator=None, mixed=0.5)
        steps = [[CandidateStep(chosen=0, candidates=[one])]]
        row.candidates = QuestionCandidates(
            example_id=row.example_id, prediction=digest_of_prediction(row), samples=steps
        )
    return found


def test_candidates_belong_to_the_very_predictions(tmp_path: Path) -> None:
    path, found = tmp_path / "test.jsonl", rows(True, False)
    assert list(read_candidates(path)) == []
    write_candidates(path, found, kept=True)
    kept = list(read_candidates(path))
    assert [one.version for one in kept] == [1, 1]
    assert belong_to(kept, found)
    assert not belong_to(kept, rows(True, True))
    assert not belong_to(kept, found[:1])
    assert not belong_to(kept[:1], found)
    write_candidates(path, found, kept=False)
    assert not candidates_path(path).exists()


def test_predictions_hold_no_candidates(tmp_path: Path) -> None:
    with_them, without = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    write_predictions(with_them, rows(True))
    write_predictions(without, [row.model_copy(update={"candidates": None}) for row in rows(True)])
    assert with_them.read_bytes() == without.read_bytes()


def test_damaged_candidates_are_made_again_with_their_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "checksums"))
    path = Path("results/t/m/seed0/sft/grace/test.jsonl")
    write_candidates(path, rows(True), kept=True)
    write_predictions(path, rows(True))
    check_files.main([])
    candidates_path(path).write_bytes(b"other")
    with pytest.raises(SystemExit):
        check_files.main([])
    said = capsys.readouterr().out
    assert f"{candidates_path(path)}: is not what its rule wrote" in said
    assert f"snakemake {path} --forcerun {path}" in said
    assert made_with("a/test.timing.jsonl") == "a/test.timing.jsonl"
