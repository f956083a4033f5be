"""Files appear whole or not at all, and a bad line is named."""

import errno
import re
import subprocess
import sys
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine.storage import atomic_path, read_json, read_jsonl, refusal, sha256_of, write_json, write_jsonl
from retrace.schemas import Trajectory

SCRIPTS = Path(__file__).parents[3] / "scripts"


def trajectory(number: int) -> Trajectory:
    return Trajectory(
        example_id=f"q{number}", text="1+1 | #### 2", steps=["1+1"], final_answer="2", correct=True, tokens=4,
        logprob=-0.5, sampling_seed=0,
    )  # fmt: skip


def test_rows_come_back_as_they_went(tmp_path: Path) -> None:
    rows = [trajectory(n) for n in range(3)]
    assert write_jsonl(tmp_path / "deep" / "rows.jsonl", rows) == 3
    assert read_jsonl(tmp_path / "deep" / "rows.jsonl", Trajectory) == rows


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "rows.jsonl"
    write_jsonl(target, [trajectory(0)])

    def rows():
        yield trajectory(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        UserError, match=r"rows.jsonl: the disk is full \(/.*: [\d,.]+ of [\d,.]+ MB free\); free some space"
    ):
        write_jsonl(target, rows())
    assert [row.example_id for row in read_jsonl(target, Trajectory)] == ["q0"]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for word in ("old", "new"):
        with atomic_path(tmp_path / "model") as folder:
            folder.mkdir()
            (folder / word).write_text(word)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"example_id": "q0"', r"rows.jsonl:1: the last line is cut off"),
        ('{"example_id": "q0"}\n', r"rows.jsonl:1: text: Field required"),
        ("\n", r"rows.jsonl:1: empty line"),
        ("not json\n", r"rows.jsonl:1: .*[Jj]son|JSON"),
        ("", r"holds no Trajectory rows"),
    ],
)
def test_a_malformed_file_names_line_and_fault(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=fault):
        read_jsonl(path, Trajectory)


def test_a_truncated_file_is_found_at_its_last_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, [trajectory(n) for n in range(5)])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=r"rows.jsonl:5: the last line is cut off"):
        read_jsonl(path, Trajectory)


def test_json_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('{"a": 1,\n "b": }\n')
    with pytest.raises(UserError, match=r"x.json:2"):
        read_json(path)
    with pytest.raises(ValueError, match=r"NaN|Out of range"):
        write_json(path, {"a": float("nan")})


def test_checksum_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "a").write_text("1")
    first = sha256_of(tmp_path / "m")
    (tmp_path / "m" / "a").write_text("2")
    second = sha256_of(tmp_path / "m")
    (tmp_path / "m" / "a").rename(tmp_path / "m" / "b")
    assert len({first, second, sha256_of(tmp_path / "m")}) == 3


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    script = (
        "import sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from retrace.machine.storage import atomic_path\n"
        "with atomic_path(sys.argv[2]) as temporary:\n"
        "    temporary.write_text('half'); print('writing', flush=True); time.sleep(600)\n"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(SCRIPTS), str(tmp_path / "rows.jsonl")], stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    try:
        assert [writer.stdout.readline() for writer in writers] == [b"writing\n"] * 2
        assert len(list(tmp_path.iterdir())) == 2
        writers[0].kill()
        writers[0].wait()
        write_jsonl(tmp_path / "rows.jsonl", [trajectory(0)])
        assert len(list(tmp_path.iterdir())) == 2  # the rows, and what the living one writes
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
            writer.stdout.close()
    write_jsonl(tmp_path / "rows.jsonl", [trajectory(1)])
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_full_disk_is_named() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert re.fullmatch(r"the disk is full \(/proc: 0\.0 of 0\.0 MB free\); free .*", refusal(full, "/proc/no/such"))
    quota = OSError(errno.EDQUOT, "Disk quota exceeded", "/proc/no/such")
    assert "the disk is full (your quota is used up; /proc: " in refusal(quota)
    assert "the disk is full (/" in refusal(RuntimeError("I/O error: No space left on device (os error 28)"))
    assert refusal(ValueError("no")) is None
