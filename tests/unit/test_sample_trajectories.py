"""Sampling of wrong solutions: counts, limits, shards, and no text twice."""

import json

import pytest
import tiny_generators

import sample_trajectories
from retrace.schemas import Trajectory
from retrace.storage import read_jsonl


@pytest.fixture(scope="module", params=["encoder_decoder", "decoder_only"])
def words(request, tmp_path_factory):
    return tiny_generators.write_project(tmp_path_factory.mktemp(request.param), request.param)


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
    """A sure model gives the same text for ever; the limit on passes ends it."""
    options = ["--temperature", 0.01, "--calculator", "false", "--max-new-tokens", 40]
    rows, counts = run("--incorrect", 1000, "--max-passes", 3, *options)
    assert counts["passes"] == 3
    assert not counts["reached"]
    assert counts["unique_incorrect"] == 0
    assert counts["drawn"] == counts["drawn_correct"] == 48
    assert [row.text for row in rows] == list(tiny_generators.QUESTIONS.values())


def test_the_same_whatever_the_batches(run):
    options = ["--incorrect", 20, "--max-passes", 4, "--temperature", 1.5]
    assert run(*options)[0] == run(*options, "--batch-size", 3)[0]


def test_blocks_share_the_target():
    blocks = sample_trajectories.blocks_of(10, 4, 7)
    assert blocks == [(0, 4, 2), (4, 8, 3), (8, 10, 2)]
    assert sample_trajectories.blocks_of(0, 4, 7) == []
    assert [block.wanted for block in sample_trajectories.blocks_of(4, 64, 7)] == [7]


@pytest.mark.parametrize("size", [1, 2, 64])
def test_shards_change_nothing(run, size):
    """Also where blocks need different numbers of passes."""
    options = ["--max-passes", 6, "--temperature", 1.5, "--incorrect", 14, "--block", size]
    whole, counts = run(*options)
    shards = [run(*options, "--shard", shard, "--shards", 3) for shard in range(3)]
    assert [row for rows, _ in shards for row in rows] == whole
    passes = {shard["passes"] for _, shard in shards if shard["questions"]}
    assert max(passes) == counts["passes"]
    assert size > 2 or len(passes) > 1
    assert sum(shard["wanted_incorrect"] for _, shard in shards) == 14


def test_some_questions_only(run):
    rows, counts = run("--max-questions", 2, "--max-passes", 1)
    assert counts["questions"] == 2
    assert {row.example_id for row in rows} == {"toy-0", "toy-1"}
    assert run("--max-questions", 0)[1]["passes"] == 0
