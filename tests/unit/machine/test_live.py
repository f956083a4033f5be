"""What the terminal shows of running and failed jobs."""

import io
import logging
import os
import pty
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import decode
from retrace.machine.live import JobEvents, last_words, name_of
from retrace.machine.progress import Pace, last_progress
from unit.tiny_trainers import TRAINERS


def record(event: str, **values) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", logging.INFO, "", 0, "", None, None)
    made.__dict__.update(event=SimpleNamespace(value=event), **values)
    return made


@pytest.fixture
def logger():
    """A logger with one handler, as Snakemake's."""
    made = logging.Logger("run")
    made.addHandler(logging.NullHandler())
    return made


def followed(logger, stream, **times) -> JobEvents:
    events = JobEvents(stream, shows=False, **times)
    events.attach(logger)
    return events


def job(tmp_path: Path, monkeypatch, name: str, text: str | None = None) -> str:
    """The path of a job's log, below the working folder; text: what an earlier try left there."""
    monkeypatch.chdir(tmp_path)
    log = Path("logs") / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if text is not None:
        log.write_text(text)
    return str(log)


@pytest.mark.parametrize("name", ["sft_decoder_only", "dpo_decoder_only", "latro", "discriminator"])
def test_a_training_says_how_far_it_is(name: str, tmp_path, capfd, monkeypatch) -> None:
    monkeypatch.setattr("retrace.machine.progress.AT_LEAST", 0.0)
    monkeypatch.setattr("retrace.machine.progress.SHARE", 0.0)
    TRAINERS[name].train(tmp_path / "state", max_steps=4)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]
    assert said[-1].startswith("step 4/4  loss ")
    assert said[-1].endswith("  0 s left")
    assert last_progress("\n".join(said)) == said[-1]


def test_lines_of_a_long_job_become_rare(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pace = Pace()
    pace.start(0)
    said = 0
    for _ in range(24 * 3600):  # a day, a step a second
        now += 1
        said += pace.due()
    assert 24 * 60 <= said < 24 * 60 + 150
    assert pace.left(100, 200) == "  86400 s left"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("torchrun --nproc 2\nstep 3/40  loss 1.5000  100 s left\nother\n", "step 3/40  loss 1.5000  60 s left"),
        ("step 3/40  development loss 0.7000  30 s left", "step 3/40  development loss 0.7000  0 s left"),
        ("20/80 questions  90 s left\n", "20/80 questions  50 s left"),
        ("pass 2: 10 of 80 wrong solutions\n", "pass 2: 10 of 80 wrong solutions"),
        ("1,000 of 5,000 rows\n", "1,000 of 5,000 rows"),
        ("added to the tokenizer: <<\n", None),
        ("a ratio of 3/4\n", None),
    ],
)
def test_what_a_log_says_of_progress(text: str, shown: str | None) -> None:
    assert last_progress(text, age=40) == shown


def test_running_jobs_have_a_line_each_on_a_terminal(logger, tmp_path, monkeypatch) -> None:
    master, slave = pty.openpty()
    first = job(tmp_path, monkeypatch, "gsm8k/tiny_t5/seed0/sft")
    second = job(tmp_path, monkeypatch, "gsm8k/tiny_t5/seed1/sft")
    with open(slave, "w") as terminal:
        events = followed(logger, terminal)
        for number, log in enumerate((first, second)):
            logger.handle(record("job_info", jobid=number, log=[log]))
            Path(log).write_text(f"step {number + 1}/9  loss 0.5000  77 s left\n")
        events.lines.quiet_until = 0
        events.lines.turn()
        shown = os.read(master, 10_000).decode()
        assert "gsm8k/tiny_t5/seed0/sft  step 1/9  loss 0.5000  77 s left" in shown
        assert "gsm8k/tiny_t5/seed1/sft  step 2/9" in shown
        # The lines are gone before anything else is printed, and a job that is done has none.
        logger.handle(record("job_finished", job_id=0))
        assert os.read(master, 10_000).decode().endswith("\x1b[1A\x1b[J")
        events.lines.quiet_until = 0
        events.lines.turn()
        shown = os.read(master, 10_000).decode()
        assert "seed1" in shown
        assert "seed0" not in shown
        events.close()
        assert os.read(master, 10_000).decode() == "\r\x1b[J"
    os.close(master)


def test_without_a_terminal_lines_are_plain_and_rare(logger, tmp_path, monkeypatch) -> None:
    stream = io.StringIO()
    log = job(tmp_path, monkeypatch, "x/decode", "step 9/9  loss 1.0000\n")  # of an earlier try
    events = followed(logger, stream, printed=0.0)
    logger.handle(record("job_info", jobid=1, log=[log]))
    events.lines.turn()
    assert stream.getvalue() == ""
    Path(log).write_text("5/90 questions\n")
    events.lines.turn()
    events.lines.turn()
    assert stream.getvalue() == "x/decode  5/90 questions\n"
    events.lines.printed = 60.0
    Path(log).write_text("6/90 questions\n")
    events.lines.turn()
    assert stream.getvalue() == "x/decode  5/90 questions\n"


def test_the_error_of_a_failed_job_is_shown(logger, tmp_path, monkeypatch) -> None:
    stream = io.StringIO()
    followed(logger, stream)
    log = job(tmp_path, monkeypatch, "x/sft", "error: of an earlier try\n")
    about = {"jobid": 1, "log": [log], "rule_name": "train_sft"}
    logger.handle(record("job_info", **about))
    logger.handle(record("job_error", **about))
    assert stream.getvalue() == "x/sft failed: nothing was said\n"
    logger.handle(record("job_info", **about))
    Path(log).write_text("step 1/2\nerror: batch_size 0: at least 1\ntorchrun's words\n")
    logger.handle(record("job_error", **about))
    assert stream.getvalue().endswith("\nx/sft failed: error: batch_size 0: at least 1 (its log: logs/x/sft.log)\n")


def test_last_words() -> None:
    assert last_words("error: mine\nerror: process 1 of 2 failed; its last output is above\n") == "error: mine"
    assert last_words("Traceback\n  File\nRuntimeError: boom\n\n") == "RuntimeError: boom"
    assert name_of(Path("logs/gsm8k/sft.log")) == "gsm8k/sft"


def test_decoding_says_how_far_it_is(capfd, monkeypatch) -> None:
    monkeypatch.setattr("retrace.machine.progress._paces", {})
    for done in range(1, 41):
        decode.report(done, 40)
    said = capfd.readouterr().err.splitlines()
    assert said == ["1/40 questions", "40/40 questions  0 s left"]  # and none in between: all in one second
    assert last_progress("\n".join(said)) == said[-1]
