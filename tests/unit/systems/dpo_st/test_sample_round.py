"""Sampling of a round: the same number for every question, each sample its own, independent of batches and shards."""

import json
import re

import pytest

import sample_round
from retrace.machine.progress import last_progress
from retrace.machine.storage import read_jsonl
from retrace.schemas import Trajectory
from suites import first_daily
from unit import tiny_generators


@pytest.fixture(scope="module", params=first_daily(["decoder_only", "encoder_decoder"]))
def words(request, tmp_path_factory):
    return tiny_generators.write_project(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def run(words, tmp_path, capsys):
    def sample(*more):
        path = tmp_path / "trajectories.jsonl"
        options = ["--max-new-tokens", "24", "--samples", "5", "--temperature", "1.5", "--top-k", "0"]
        sample_round.main([*words, "--output", str(path), *options, *map(str, more)])
        return read_jsonl(path, Trajectory), json.loads(capsys.readouterr().out)

    return sample


def test_every_question_has_its_samples(run):
    rows, counts = run()
    ids = [example.id for example in tiny_generators.examples()]
    assert [row.example_id for row in rows] == [name for name in ids for _ in range(5)]
    assert [row.sampling_seed for row in rows] == list(range(5)) * 4
    assert counts == {"questions": 4, "samples": 20, "correct": sum(row.correct for row in rows)}
    assert len({row.text for row in rows if row.example_id == ids[1]}) > 1, "samples differ"


def test_batches_shards_and_the_number_of_samples_change_no_text(run):
    texts = [row.text for row in run()[0]]
    assert texts == [row.text for row in run("--batch-size", 3)[0]]
    assert texts == [row.text for shard in range(3) for row in run("--shard", shard, "--shards", 3)[0]]
    fewer = [row.text for row in run("--samples", 2)[0]]
    assert fewer == [text for place, text in enumerate(texts) if place % 5 < 2]
    assert texts != [row.text for row in run("--seed", 4)[0]]


def test_only_the_first_questions_are_sampled(run):
    rows = run()[0]
    assert run("--max-questions", 2)[0] == rows[:10]
    shards = [row for shard in range(2) for row in run("--max-questions", 3, "--shard", shard, "--shards", 2)[0]]
    assert shards == rows[:15]
    assert run("--max-questions", 9)[0] == rows, "as many as there are"


def test_it_says_how_far_it_is(words, tmp_path, capsys):
    options = ["--max-new-tokens", "8", "--samples", "2", "--batch-size", "1"]
    sample_round.main([*words, "--output", str(tmp_path / "trajectories.jsonl"), *options])
    assert re.fullmatch(r"4/4 questions  \d+ s left", last_progress(capsys.readouterr().err))
