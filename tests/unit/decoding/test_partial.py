"""Jobs that are killed go on behind the last answered question and write the bytes of an undisturbed run."""

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

import decode
import gather_rows
import sample_round
import sample_trajectories
from retrace.decoding.options import Greedy
from retrace.decoding.partial import PartialFile, fingerprint, what_counts
from retrace.errors import UserError
from retrace.evaluation.predictions import decoding_seconds
from retrace.machine.storage import read_jsonl, timing_path
from retrace.schemas import Timing
from unit import tiny_generators

torch.set_num_threads(1)
PATIENCE = 120.0
COPIES = 10  # of the four questions: enough to be killed among them


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("project")
    found = tiny_generators.write_project(folder, "encoder_decoder")
    rows = [
        row.model_copy(
            update={"id": f"{row.id}-{number}", "question": f"{row.question} {'and ' * (number % 5)}".strip()}
        )
        for number in range(COPIES)
        for row in tiny_generators.examples()
    ]
    (folder / "test.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in rows))
    return found


DRAWN = ["--temperature", "1.3", "--max-new-tokens", "24"]
JOBS = {
    "greedy": (decode.main, ["greedy", "--max-new-tokens", "24"]),
    "beam": (decode.main, ["beam", "--beams", "3", "--max-new-tokens", "12"]),
    "self_consistency": (decode.main, ["self_consistency", "--samples", "3", *DRAWN]),
    "guided": (
        decode.main,
        ["guided", "--beta", "0", "--candidates", "3", "--max-steps", "3", *DRAWN],
    ),
    "sample_round": (sample_round.main, ["--samples", "3", *DRAWN]),
    "sample_trajectories": (
        sample_trajectories.main,
        ["--samples-per-pass", "2", "--incorrect", "400", "--max-passes", "3", "--block", "16", *DRAWN],
    ),
}


def arguments(job: str, words: list[str], output: Path, *more: str) -> list[str]:
    kind, *options = JOBS[job][1]
    front = [kind] if JOBS[job][0] is decode.main else []
    return [*front, *words, *(options if front else [kind, *options]), "--output", str(output), *more]


def killed(job: str, given: list[str], state: Path, lines: int, by: signal.Signals) -> None:
    """Start the job in a process of its own and end it as soon as so many lines are written."""
    process = multiprocessing.get_context("fork").Process(target=JOBS[job][0], args=(given,))
    process.start()
    deadline = time.monotonic() + PATIENCE
    while not state.is_file() or state.read_bytes().count(b"\n") <= lines:
        assert process.is_alive(), "the job came to its end, or failed, before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, by)
    process.join()
    assert process.exitcode == -by


@pytest.mark.parametrize(
    "job",
    [job if job in ("greedy", "sample_round") else pytest.param(job, marks=pytest.mark.slow) for job in JOBS],
)
def test_killed_jobs_write_the_bytes_of_an_undisturbed_run(job, words, tmp_path, capfd) -> None:
    whole, output = tmp_path / "whole" / "test.jsonl", tmp_path / "killed" / "test.jsonl"
    JOBS[job][0](arguments(job, words, whole, "--batch-size", "64"))
    counts = json.loads(capfd.readouterr().out.splitlines()[-1])
    state = output.parent / "state" / "test.jsonl"
    given = arguments(job, words, output, "--batch-size", "1")
    killed(job, given, state, 5, signal.SIGTERM)  # a time-out of SLURM, Ctrl-C
    killed(job, given, state, state.read_bytes().count(b"\n") + 4, signal.SIGKILL)
    assert not output.exists()
    done = state.read_bytes().count(b"\n") - 1
    with open(state, "ab") as handle:
        handle.write(b'{"index": 3, "row": {"exam')  # a machine that went down in the middle of a line
    capfd.readouterr()
    # Neither the answers nor the rows that are kept depend on the batches.
    JOBS[job][0](arguments(job, words, output, "--batch-size", "7"))
    shown = capfd.readouterr()
    assert f"continuing after {done} rows of an earlier run" in shown.err
    assert output.read_bytes() == whole.read_bytes()
    assert {**json.loads(shown.out.splitlines()[-1]), "seconds": 0} == {**counts, "seconds": 0}
    assert not state.parent.exists()
    if JOBS[job][0] is decode.main:
        (timing,) = read_jsonl(timing_path(output), Timing)
        assert timing.questions == 4 * COPIES
        assert decoding_seconds(output) > 0


def test_seconds_of_the_killed_run_count(words, tmp_path) -> None:
    output = tmp_path / "test.jsonl"
    state = tmp_path / "state" / "test.jsonl"
    given = arguments("greedy", words, output, "--batch-size", "4")
    killed("greedy", given, state, 8, signal.SIGKILL)
    lines = [json.loads(line) for line in state.read_text().splitlines()]
    for line in lines[1:]:
        line["seconds"] = 100.0
    state.write_text("".join(json.dumps(line) + "\n" for line in lines))
    decode.main(given)
    assert 0 < decoding_seconds(output) - 100 * (len(lines) - 1) < 100


@pytest.mark.parametrize("other", ["options", "seed", "data", "model", "form"])
def test_what_another_job_left_is_never_gone_on_with(other, words, tmp_path, capfd) -> None:
    import shutil

    words = list(words)
    output, state = tmp_path / "out" / "test.jsonl", tmp_path / "out" / "state" / "test.jsonl"
    killed("greedy", arguments("greedy", words, output, "--batch-size", "1"), state, 5, signal.SIGKILL)
    more: list[str] = []
    if other == "options":
        more = ["--max-new-tokens", "23"]
    elif other == "form":  # of which the prompts need not say anything
        more = ["--form", "dpo_st"]
    elif other == "seed":
        words[words.index("--seed") + 1] = "4"
    elif other == "data":
        data = words.index("--data") + 1
        lines = Path(words[data]).read_text().splitlines(keepends=True)
        (tmp_path / "fewer.jsonl").write_text("".join(lines[:-1]))
        words[data] = str(tmp_path / "fewer.jsonl")
    else:
        model = words.index("--model") + 1
        shutil.copytree(words[model], tmp_path / "model")
        weights = tmp_path / "model" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
        words[model] = str(tmp_path / "model")
    capfd.readouterr()
    decode.main(arguments("greedy", words, output, *more))
    assert "is from different options, models, data or code; starting over" in capfd.readouterr().err
    decode.main(arguments("greedy", words, tmp_path / "plain.jsonl", *more))
    assert output.read_bytes() == (tmp_path / "plain.jsonl").read_bytes()


def test_speed_changes_no_fingerprint(tmp_path) -> None:
    (tmp_path / "data").write_text("one\n")

    def of(**options) -> str:
        return fingerprint({"options": what_counts(Greedy(**options))}, [tmp_path / "data", None])

    first = of()
    assert first == of(batch_size=7) == of(batch_size="auto")
    assert first != of(max_new_tokens=7)
    (tmp_path / "data").write_text("two\n")
    assert first != of()


def test_a_run_that_was_started_again_elsewhere_stops(tmp_path) -> None:
    first = PartialFile(tmp_path / "rows.jsonl", "job")
    first.append({"index": 0})
    second = PartialFile(tmp_path / "rows.jsonl", "job")
    assert second.entries == [{"index": 0}]
    with pytest.raises(UserError, match="started again elsewhere"):
        first.append({"index": 1})
    second.append({"index": 2})
    assert PartialFile(tmp_path / "rows.jsonl", "job").entries == [{"index": 0}, {"index": 2}]


@pytest.mark.parametrize("damage", [b"", b"\0\0\0\0\n", b'{"index": 1}\n{"ind\n{"index": 2}\n'])
def test_what_is_damaged_is_dropped_with_all_behind_it(damage: bytes, tmp_path) -> None:
    kept = PartialFile(tmp_path / "rows.jsonl", "job")
    kept.append({"index": 0})
    with open(kept.path, "ab") as handle:
        handle.write(damage)
    whole = 2 if damage.startswith(b"{") else 1
    assert PartialFile(tmp_path / "rows.jsonl", "job").entries == [{"index": n} for n in range(whole)]


def test_gathering_removes_what_other_shards_have_left(tmp_path) -> None:
    """A killed job of eight shards, and then four were asked for."""
    for name in ("test_0", "test_1", "test_7", "dev_7"):
        PartialFile(tmp_path / "shards" / f"{name}.jsonl", "job")
    parts = [tmp_path / "shards" / f"test_{number}.jsonl" for number in range(2)]
    for part in parts:
        part.write_text(f"{part.stem}\n")
    gather_rows.main([*map(str, parts), "--output", str(tmp_path / "test.jsonl")])
    assert (tmp_path / "test.jsonl").read_text() == "test_0\ntest_1\n"
    assert [path.name for path in (tmp_path / "shards" / "state").iterdir()] == ["dev_7.jsonl"]


def test_a_finished_job_leaves_nothing(tmp_path) -> None:
    kept = PartialFile(tmp_path / "rows.jsonl", "job")
    kept.finish()
    assert list(tmp_path.iterdir()) == []
