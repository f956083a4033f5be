"""Sampling of wrong solutions: counts, limits, shards, and no text twice."""

import json
import re

import pytest

import gather_rows
import sample_trajectories
from retrace.errors import UserError
from retrace.machine.progress import last_progress
from retrace.machine.storage import counts_path, read_jsonl, write_jsonl
from retrace.schemas import SamplingCounts, Trajectory, counts_together
from suites import first_daily
from unit import tiny_generators


@pytest.fixture(scope="module", params=first_daily(["encoder_decoder", "decoder_only"]))
def words(request, tmp_path_factory):
    return tiny_generators.write_project(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def demonstrations(tmp_path):
    """Four worked examples; two of them are training questions."""
    rows = [row.model_copy(update={"steps": ["<<1+2=3>>"], "split": "shown"}) for row in tiny_generators.examples()]
    rows[2:] = [row.model_copy(update={"question": f"{row.question} and 9"}) for row in rows[2:]]
    write_jsonl(tmp_path / "shown.jsonl", rows)
    return tmp_path / "shown.jsonl"


@pytest.fixture
def run(words, tmp_path, capsys):
    def sample(*more):
        path = tmp_path / "trajectories.jsonl"
        sample_trajectories.main(
            [*words, "--output", str(path), "--max-new-tokens", "24", "--samples-per-pass", "4", *map(str, more)]
        )
        return read_jsonl(path, Trajectory, allow_empty=True), json.loads(capsys.readouterr().out)

    return sample


def test_until_enough_wrong_ones(run):
    rows, counts = run("--incorrect", 6, "--temperature", 1.5)
    wrong = [row for row in rows if not row.correct]
    assert counts["reached"]
    assert counts["wanted_incorrect"] == 6
    assert len(wrong) == counts["unique_incorrect"] >= 6
    assert len(rows) == counts["unique"] <= counts["drawn"] == 16 * counts["passes"]
    assert any(row.correct for row in rows), "right ones are kept, marked"
    assert len({(row.example_id, row.text) for row in rows}) == len(rows)
    assert [row.example_id for row in rows] == sorted(row.example_id for row in rows)
    golds = {example.id: example.final_answer for example in tiny_generators.examples()}
    for row in rows:
        assert row.correct == (row.final_answer == golds[row.example_id])
        assert row.sampling_seed == 3
        assert row.tokens <= 24
        assert row.logprob < 0
        assert all("|" not in step for step in row.steps)


def test_never_endless(run):
    """A sure model gives the same text for ever; the limit on passes ends it, or that passes bring nothing new."""
    options = ["--temperature", 0.01, "--calculator", "false", "--max-new-tokens", 40]
    rows, counts = run("--incorrect", 1000, "--max-passes", 3, *options)
    assert counts["passes"] == 3
    assert not counts["reached"]
    assert counts["unique_incorrect"] == 0
    assert counts["drawn"] == counts["drawn_correct"] == 48
    assert [row.text for row in rows] == list(tiny_generators.QUESTIONS.values())
    rows, counts = run("--incorrect", 1000, "--idle-passes", 5, *options)
    assert counts["passes"] == 5
    assert (counts["wanted_incorrect"], counts["unique_incorrect"], counts["reached"]) == (1000, 0, False)


def test_what_was_wanted_and_found_is_said(words, tmp_path, capsys):
    path = tmp_path / "trajectories.jsonl"
    common = [
        *words,
        "--output",
        str(path),
        "--max-new-tokens",
        "24",
        "--samples-per-pass",
        "4",
        "--temperature",
        "1.5",
    ]
    sample_trajectories.main([*common, "--incorrect", "1000", "--max-passes", "2"])
    said = capsys.readouterr()
    (counts,) = read_jsonl(counts_path(path), SamplingCounts)
    assert json.loads(said.out) == counts.model_dump()
    assert counts.unique_incorrect == sum(not row.correct for row in read_jsonl(path, Trajectory)) > 0
    assert f"note: {counts.unique_incorrect} of 1000 wrong solutions were found: 1 of 1 blocks ended at" in said.err
    sample_trajectories.main([*common, "--incorrect", "1"])
    assert "note:" not in capsys.readouterr().err


def test_the_same_whatever_the_batches(run):
    options = ["--incorrect", 20, "--max-passes", 4, "--temperature", 1.5]
    assert run(*options)[0] == run(*options, "--batch-size", 3)[0]


@pytest.mark.parametrize(("size", "shown"), first_daily([(1, 0), (2, 0), (64, 0), (2, 2)]))
def test_shards_change_nothing(run, size, shown, demonstrations):
    """Also where blocks need different numbers of passes, and where each pass shows other worked examples."""
    options = ["--max-passes", 6, "--temperature", 1.5, "--incorrect", 14, "--block", size]
    options += ["--demonstrations", demonstrations, "--demonstrations-per-pass", shown] if shown else []
    whole, counts = run(*options)
    shards = [run(*options, "--shard", shard, "--shards", 3) for shard in range(3)]
    assert [row for rows, _ in shards for row in rows] == whole
    passes = {shard["passes"] for _, shard in shards if shard["questions"]}
    assert max(passes) == counts["passes"]
    assert size > 2 or len(passes) > 1
    parts = [SamplingCounts(**shard) for _, shard in shards]
    assert counts_together(parts).model_dump() == counts


def test_gathered_shards_keep_their_counts(tmp_path):
    parts = [SamplingCounts(**dict.fromkeys(SamplingCounts.model_fields, number)) for number in (0, 1)]
    for number, part in enumerate(parts):
        write_jsonl(tmp_path / f"t_{number}.jsonl", [])
        write_jsonl(counts_path(tmp_path / f"t_{number}.jsonl"), [part])
    files = [str(tmp_path / f"t_{number}.jsonl") for number in (0, 1)]
    gather_rows.main([*files, "--output", str(tmp_path / "all.jsonl"), "--counts"])
    assert read_jsonl(tmp_path / "all.counts.jsonl", SamplingCounts) == parts


def test_other_worked_examples_in_each_pass(run, demonstrations):
    options = ["--incorrect", 1000, "--max-passes", 2, "--temperature", 1.5]
    shown = [*options, "--demonstrations", demonstrations, "--demonstrations-per-pass"]
    assert run(*options)[0] != run(*shown, 2)[0]
    with pytest.raises(UserError, match=r"--demonstrations-per-pass 2 needs --demonstrations FILE"):
        run(*options, "--demonstrations-per-pass", 2)
    with pytest.raises(UserError, match=r"shown\.jsonl: has 4 worked examples, but 5 are needed"):
        run(*shown, 5)


def test_some_questions_only(run):
    rows, counts = run("--max-questions", 2, "--max-passes", 1)
    assert counts["questions"] == 2
    assert {row.example_id for row in rows} == {"toy-0", "toy-1"}
    assert run("--max-questions", 0)[1]["passes"] == 0


def test_it_says_how_far_it_is_within_a_pass(words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("retrace.machine.progress.AT_LEAST", 0.0)
    monkeypatch.setattr("retrace.machine.progress.SHARE", 0.0)
    options = ["--max-new-tokens", "8", "--samples-per-pass", "2", "--batch-size", "1", "--max-passes", "2"]
    sample_trajectories.main([*words, "--output", str(tmp_path / "trajectories.jsonl"), *options])
    said = [line for line in capsys.readouterr().err.splitlines() if last_progress(line)]
    kinds = [re.sub(r"  \d+ s left$", "  left", line) for line in said]
    for number in (1, 2):
        lines = kinds[5 * number - 5 : 5 * number]
        assert lines[0] == f"1/4 questions of pass {number}"
        assert lines[1:4] == [f"{done}/4 questions of pass {number}  left" for done in (2, 3, 4)]
        assert lines[4].startswith(f"pass {number}: ")
    assert len(kinds) == 10
