"""The check of a GPU (tests/gpu) at toy size on a processor: its ways exist and its figures are what they say."""

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from gpu import check
from gpu.measure import shares
from gpu.processes import SECTIONS
from workflow_fixtures import WARM

GPU = Path(__file__).parents[2] / "gpu"
# Processes and runs of their own, which tests/faults, test_launch.py and tests/workflow try.
ELSEWHERE = {"launch", "restarts", "killed_decoding", "workflow"}


@pytest.fixture(autouse=True)
def put_back(monkeypatch) -> None:
    """The check's environment ends with the test."""
    for name, value in check.ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.mark.slow
def test_every_section_runs_at_toy_size(tmp_path, capsys) -> None:
    names = [name for name in SECTIONS if name not in ELSEWHERE]
    output = tmp_path / "figures.json"
    status = check.main(["--toy", "--output", str(output), "--limit", "9999", "--allowance", "9999", "--only", *names])
    report = json.loads(output.read_text())
    failed = {name: found["error"] for name, found in report["sections"].items() if not found["ok"]}
    assert failed == {}
    assert status == 0
    assert list(report["sections"]) == names
    assert report["toy"] is True
    for name in ("sampling", "guided_decoding", "sft_flan_t5"):
        assert report["sections"][name]["tokens_a_second"] > 0
    assert report["sections"]["latro"]["steps"] == 3
    assert 0 <= report["sections"]["learn_to_reason"]["dev_accuracy"] <= 1
    assert f"ok     {names[0]}  " in capsys.readouterr().out


def test_a_section_that_fails_stops_no_other(tmp_path, monkeypatch, capsys) -> None:
    def broken(world) -> dict:
        print("what a script says")
        raise ValueError("first line\nlast line")

    monkeypatch.setitem(SECTIONS, "alignment", broken)
    output = tmp_path / "figures.json"
    assert check.main(["--toy", "--output", str(output), "--only", "alignment", "beam_search"]) == 1
    sections = json.loads(output.read_text())["sections"]
    assert sections["alignment"]["error"] == "ValueError: last line"
    assert sections["beam_search"]["ok"]
    shown = capsys.readouterr().out
    assert "FAILED alignment" in shown
    assert "what a script says" not in shown
    assert check.main(["--toy", "--output", str(output), "--limit", "-1", "--only", "beam_search"]) == 1
    assert "not begun" in json.loads(output.read_text())["sections"]["beam_search"]["error"]


def test_the_whole_ends_in_time(tmp_path, monkeypatch) -> None:
    """A section begins before the limit and is broken off when its allowance is over."""
    assert check.LIMIT + check.ALLOWANCE < check.WHOLE == 8 * 60
    text = (GPU / "README.md").read_text(encoding="utf-8")
    assert f"`--limit SECONDS` ({check.LIMIT})" in text
    assert f"`--allowance SECONDS` ({check.ALLOWANCE})" in text

    def endless(world) -> dict:
        while True:
            time.sleep(0.01)

    monkeypatch.setitem(SECTIONS, "alignment", endless)
    output = tmp_path / "figures.json"
    assert check.main(["--toy", "--output", str(output), "--allowance", "0.1", "--only", "alignment"]) == 1
    error = json.loads(output.read_text())["sections"]["alignment"]["error"]
    assert error == "TimeoutError: broken off after 0.1 s (--allowance)"


def test_the_share_of_waiting() -> None:
    # Two kernels of 2 ms that overlap by 1, a gap of 1 ms, one of 1 ms; then loading for a second, and one of 5 ms.
    million = 1_000_000
    spans = [(0, 2), (1, 3), (4, 5), (1005, 1010)]
    found = shares([(start * million, stop * million) for start, stop in spans])
    assert found["window_seconds"] == pytest.approx(0.010)
    assert found["gpu_waits"] == pytest.approx(0.1)
    assert found["kernels"] == 4
    assert shares([]) == {}


def test_the_command_names_its_sections() -> None:
    around = {**os.environ, "PYTHON": str(WARM.python())}
    done = subprocess.run([GPU / "run", "--list"], env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(SECTIONS)
    missing = subprocess.run([GPU / "run", "--wheels", "/nowhere"], capture_output=True, text=True, check=False)
    assert missing.returncode == 2
    assert "no such folder" in missing.stderr


def test_wheels_have_the_pins_of_the_environment() -> None:
    pins, wheels = (
        dict(line.split(" ")[0].split("==") for line in file.read_text().splitlines() if re.match(r"\w[\w.-]*==", line))
        for file in (GPU.parents[1] / "envs/requirements.txt", GPU / "wheels.txt")
    )
    shared = set(pins) & set(wheels)
    assert {"snakemake", "trl", "pydantic", "datasets", "deepspeed"} <= shared
    assert {name: pins[name] for name in shared} == {name: wheels[name] for name in shared}
