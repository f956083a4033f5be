"""The programs of implicit chain of thought from base model to answers, and bad input."""

import json
import subprocess
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import cache_states
import decode
import measure_icot_speed
import plot_icot
import train_base
import train_cot
import train_icot
import train_icot_emulator
import train_icot_student
import train_icot_undistilled
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.prompting.layouts import layout_of
from retrace.schemas import Prediction
from retrace.systems.icot.files import load_coupled, load_emulator, load_student
from retrace.systems.icot.speed import Speed
from unit.implicit_world import CONFIG, examples, save_base
from workflow_fixtures import WARM

TASK = str(CONFIG / "tasks" / "mult_2x2.yaml")
MODEL = {"name": "tiny", "title": "T", "family": "decoder_only"}
SIZES = {"width": 16, "layers": 2, "heads": 2, "feedforward": 32, "positions": 64}
QUICK = [
    "--max-steps",
    "3",
    "--evaluations",
    "1",
    "--batch-size",
    "8",
    "--device-batch-size",
    "8",
    "--learning-rate",
    "1e-3",
]


class Project:
    """A folder with data and a model's YAML, and the words that name them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for split, count in (("train", 24), ("dev", 6), ("test", 6)):
            write_jsonl(folder / f"{split}.jsonl", examples(count, split))
        (folder / "tiny.yaml").write_text(yaml.safe_dump({**MODEL, "scratch": SIZES}))

    def __call__(self, *names: str, **files: str) -> list[str]:
        """`--name FILE` for each; names that are the file's own name are given as words."""
        known = {"model-file": "tiny.yaml", "train": "train.jsonl", "dev": "dev.jsonl", "data": "test.jsonl"}
        words = [word for name in names for word in (f"--{name}", str(self.folder / known[name]))]
        words += [
            word for name, file in files.items() for word in (f"--{name.replace('_', '-')}", str(self.folder / file))
        ]
        return [*words, "--task-file", TASK]

    def training(self, name: str, **files: str) -> list[str]:
        return [*self("train", "dev", **files, state=f"{name}_state", output=name), "--seed", "0", *QUICK]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Project:
    """All checkpoints, each made by its program."""
    project = Project(tmp_path_factory.mktemp("icot"))
    words = project("model-file", "train", state="base_state", output="base")
    train_base.main([*words, "--seed", "0"])
    for layout in ("no_cot", "explicit_cot"):
        train_cot.main([*project.training(layout, model="base"), *project("model-file")[:2], "--layout", layout])
    deep = [*project.training("deep", model="base"), *project("model-file")[:2], "--layout", "no_cot", "--deep"]
    train_cot.main(deep)
    cache_states.main(project("train", "dev", teacher="explicit_cot", output="states"))
    files = {"model": "base", "teacher": "explicit_cot", "states": "states"}
    train_icot_student.main(project.training("icot_student", **files))
    train_icot_emulator.main(project.training("icot_emulator", **files))
    train_icot.main(project.training("icot", student="icot_student", emulator="icot_emulator"))
    train_icot_undistilled.main(project.training("undistilled", model="base"))
    return project


def decoded(project: Project, decoder: str, checkpoint: str, *more: str) -> list[Prediction]:
    words = project("model-file", "data", model=checkpoint, output="out.jsonl")
    decode.main([decoder, *words, "--seed", "0", "--max-new-tokens", "24", *more])
    return read_jsonl(project.folder / "out.jsonl", Prediction)


def card_of(project: Project, name: str) -> str:
    return (project.folder / name / "README.md").read_text(encoding="utf-8")


def test_every_checkpoint_is_there_and_no_state_is_left(made) -> None:
    assert not list(made.folder.glob("*_state"))
    for name in ("base", "no_cot", "explicit_cot", "deep", "icot_student", "icot_emulator", "icot", "undistilled"):
        assert (made.folder / name).is_dir()
        assert "measured without a calculator" in card_of(made, name) or name in (
            "base",
            "icot_student",
            "icot_emulator",
        )
    for part in ("student", "emulator"):
        assert f"import load_{part}" in card_of(made, f"icot_{part}")
        assert "a part of the checkpoint `icot`" in card_of(made, f"icot_{part}")
    assert "import load_coupled" in card_of(made, "icot")
    assert [layout_of(made.folder / name) for name in ("base", "no_cot", "explicit_cot", "deep")] == [
        None,
        "no_cot",
        "explicit_cot",
        "no_cot",
    ]
    curves = [json.loads(line) for line in (made.folder / "icot" / "curves.jsonl").read_text().splitlines()]
    assert curves[-1]["dev_accuracy"] >= 0
    assert json.loads((made.folder / "deep" / "config.json").read_text())["n_layer"] == 4


@pytest.mark.parametrize(
    ("decoder", "checkpoint"),
    [("greedy", "no_cot"), ("greedy", "deep"), ("implicit", "icot"), ("implicit", "undistilled")],
)
def test_answers_come_at_once(made, decoder: str, checkpoint: str) -> None:
    rows = decoded(made, decoder, checkpoint)
    assert [row.example_id for row in rows] == [example.id for example in examples(6, "test")]
    assert decoded(made, decoder, checkpoint, "--batch-size", "1")[3].samples[0].text == rows[3].samples[0].text


def test_explicit_answers_may_hold_steps(made) -> None:
    rows = decoded(made, "greedy", "explicit_cot")
    assert all(1 <= row.tokens <= 24 for row in rows)
    several = decoded(made, "self_consistency", "explicit_cot", "--samples", "2")
    assert all(len(row.samples) == 2 for row in several)


def test_states_in_every_step_need_no_cache(made, tmp_path) -> None:
    words = made.training("fly_student", model="base", teacher="explicit_cot")
    train_icot_student.main([*words, "--cached", "false", "--max-steps", "2"])
    assert (made.folder / "fly_student" / "student" / "model.safetensors").exists()


def test_a_student_may_start_from_the_teacher(made) -> None:
    words = made.training("from_teacher", model="base", teacher="explicit_cot", states="states")
    train_icot_student.main([*words, "--start", "teacher", "--learning-rate", "1e-12", "--max-steps", "1"])
    student = load_student(made.folder / "from_teacher")
    teacher = load_file(made.folder / "explicit_cot" / "model.safetensors")
    for name, weight in student.base_model.state_dict().items():
        if name in teacher:
            torch.testing.assert_close(weight, teacher[name], atol=1e-6, rtol=0)


def test_the_checkpoint_of_each_evaluation_can_be_kept_and_used(made) -> None:
    """Beside the best one, in its own form: the emulator of the first, and both coupled from kept ones."""
    states = {"model": "base", "teacher": "explicit_cot", "states": "states"}
    more = ["--max-steps", "4", "--evaluations", "2", "--keep-each", "true"]
    train_icot_student.main([*made.training("each_student", **states), *more])
    train_icot_emulator.main([*made.training("each_emulator", **states), *more])
    for kind in ("student", "emulator"):
        folder = made.folder / f"each_{kind}"
        assert sorted(path.name for path in (folder / "each").iterdir()) == ["step2", "step4"]
        one, two = (load_file(folder / "each" / step / kind / "model.safetensors") for step in ("step2", "step4"))
        best = load_file(folder / kind / "model.safetensors")
        assert any(not torch.equal(one[name], two[name]) for name in one)
        assert any(all(torch.equal(best[name], other[name]) for name in best) for other in (one, two))
        assert not (made.folder / f"each_{kind}_state").exists()
    parts = {"student": "each_student/each/step2", "emulator": "each_emulator/each/step4"}
    train_icot.main([*made.training("each_icot", **parts), *more])
    load_coupled(made.folder / "each_icot/each/step2")
    words = [*made.training("each_no_cot", model="base"), *made("model-file")[:2], "--layout", "no_cot", *more]
    train_cot.main(words)
    assert layout_of(made.folder / "each_no_cot/each/step4") == "no_cot"
    assert not (made.folder / "no_cot" / "each").exists()  # only where it is asked for


def test_speed_and_figure(made, capsys) -> None:
    words = made("model-file", "data", no_cot="no_cot", explicit_cot="explicit_cot", icot="icot", output="speed.json")
    options = [
        "--preset",
        "tiny",
        "--questions",
        "4",
        "--batch-sizes",
        "1",
        "3",
        "--repeats",
        "2",
        "--max-new-tokens",
        "20",
    ]
    measure_icot_speed.main([*words, *options])
    speed = Speed.model_validate_json((made.folder / "speed.json").read_text())
    assert (speed.task, speed.model, speed.questions) == ("mult_2x2", "tiny", 4)
    assert [timing.normalised for timing in speed.ways["no_cot"]] == [1.0, 1.0]
    latency = {way: timings[0].seconds_per_question for way, timings in speed.ways.items()}
    assert speed.explicit_over_implicit == pytest.approx(latency["explicit_cot"] / latency["icot"])
    assert all(len(timing.rounds) == 2 for timings in speed.ways.values() for timing in timings)
    capsys.readouterr()
    words[words.index(str(made.folder / "speed.json"))] = str(made.folder / "short.json")
    measure_icot_speed.main(
        [*words, *options[:3], "6", "--batch-sizes", "4", "--repeats", "1", "--max-new-tokens", "1"]
    )
    short = Speed.model_validate_json((made.folder / "short.json").read_text())
    assert short.explicit_over_implicit is None  # batch size 1 is not among them
    cut = {way: timings[0].truncated for way, timings in short.ways.items()}
    assert any(cut.values())
    noted = [f"note: {way}: {count} of 6 answers were cut off at 1 token(s)" for way, count in cut.items() if count]
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines() if "cut off" in line] == noted
    assert short.missing == {}
    at = words.index("--no-cot")
    alone = [*words[:at], *words[at + 4 :], *options]  # as for a released pair, which has no baselines
    assert "--explicit-cot" not in alone
    measure_icot_speed.main(alone)
    found = Speed.model_validate_json((made.folder / "short.json").read_text())
    assert (list(found.ways), list(found.missing)) == (["icot"], ["no_cot", "explicit_cot"])
    with pytest.raises(UserError, match="no such file"):
        plot_icot.main(["--results", "none.json", "--speeds", str(made.folder / "speed.json"), "--svg", "x.svg"])


# ---------------------------------------------------------------- when student and emulator are trained together


def noted(project: Project, accuracy: object, couple_at: str, name: str) -> str | None:
    """Train the pair with a student that notes this accuracy; what the report says."""
    file = project.folder / "icot_student" / "student" / "icot.json"
    before = file.read_text()
    values = json.loads(before)
    values |= {"accuracy_on_true_states": accuracy}
    file.write_text(json.dumps(values))
    try:
        words = project.training(name, student="icot_student", emulator="icot_emulator", report=f"{name}.json")
        train_icot.main([*words, "--couple-at", couple_at])
    finally:
        file.write_text(before)
    return json.loads((project.folder / f"{name}.json").read_text())["note"]


def same_weights(project: Project, one: str, other: str, part: str) -> bool:
    first, second = (load_file(project.folder / name / part / "model.safetensors") for name in (one, other))
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_student_notes_what_it_reads_of_true_states(made) -> None:
    curve = [json.loads(line) for line in (made.folder / "icot_student" / "curves.jsonl").read_text().splitlines()]
    values = json.loads((made.folder / "icot_student" / "student" / "icot.json").read_text())
    assert values["accuracy_on_true_states"] == max(row["dev_accuracy"] for row in curve if "dev_accuracy" in row)
    assert "accuracy_on_true_states" not in json.loads((made.folder / "icot_emulator/emulator/icot.json").read_text())


def test_both_are_trained_together_where_the_student_is_ready(made) -> None:
    assert noted(made, 0.95, "0.95", "ready") is None
    assert not same_weights(made, "ready", "icot_student", "student")


def test_both_stay_as_they_are_where_the_student_is_not_ready(made, capsys) -> None:
    note = noted(made, 0.9, "0.95", "unready")
    assert note == (
        "emulator and student were not trained together: from the teacher's own states the student answers 90.0 % of the "
        "development questions, and icot.couple_at is 0.95"
    )
    assert f"note: {note}" in capsys.readouterr().err
    assert same_weights(made, "unready", "icot_student", "student")
    assert same_weights(made, "unready", "icot_emulator", "emulator")
    assert len(decoded(made, "implicit", "unready")) == 6
    assert not (made.folder / "unready_state").exists()


@pytest.mark.parametrize("accuracy", [None, "high", 1.5])
def test_a_student_that_notes_nothing_is_trained_again(made, accuracy: object) -> None:
    with pytest.raises(UserError, match=r"student/icot.json: does not say how many .* or set icot.couple_at to 0"):
        noted(made, accuracy, "0.5", "unknown")
    assert noted(made, accuracy, "0", "unknown") is None


def test_without_a_teacher_both_start_from_the_base_model(made) -> None:
    words = made.training("fresh", model="base")
    train_icot_undistilled.main([*words, "--learning-rate", "1e-12", "--max-steps", "1", "--mixture-size", "2"])
    student, emulator = load_student(made.folder / "fresh"), load_emulator(made.folder / "fresh")
    base = load_file(made.folder / "base" / "model.safetensors")
    for network in (student, emulator):
        own = network.base_model.state_dict()
        assert all(torch.allclose(own[name], weight, atol=1e-6) for name, weight in base.items())
    assert emulator.mixture_size == 2


# ---------------------------------------------------------------- bad input


def refused(main, words: list[str], output: Path) -> str:
    with pytest.raises(UserError) as caught:
        main(words)
    assert not output.exists()
    return str(caught.value)


def test_a_checkpoint_of_the_wrong_kind_is_refused(made) -> None:
    out = made.folder / "wrong"
    files = {"model": "base", "teacher": "no_cot", "states": "states"}
    message = refused(train_icot_student.main, made.training("wrong", **files), out)
    assert "no_cot: no teacher: it was trained on the layout no_cot" in message
    words = made.training("wrong", student="icot_emulator", emulator="icot_emulator")
    assert "icot_emulator: has no student" in refused(train_icot.main, words, out)
    words = made.training("wrong", student="icot_student", emulator="nowhere")
    assert "nowhere: no such folder; train the emulator first" in refused(train_icot.main, words, out)
    words = ["implicit", *made("model-file", "data", model="no_cot", output="wrong"), "--seed", "0"]
    assert "no_cot: has no emulator" in refused(decode.main, words, out)
    words = ["greedy", *made("model-file", "data", model="icot", output="wrong"), "--seed", "0"]
    assert "icot has an emulator and a student of implicit chain of thought; decode it with implicit" in refused(
        decode.main, words, out
    )
    for decoder in ("beam", "guided"):
        words = [decoder, *made("model-file", "data", model="explicit_cot", output="wrong"), "--seed", "0"]
        words += ["--beta", "0"] if decoder == "guided" else []
        assert "writes an end token between steps and answer" in refused(decode.main, words, out)


def test_a_cache_is_needed_unless_said_otherwise(made) -> None:
    words = made.training("wrong", model="base", teacher="explicit_cot")
    assert "--states: name the folder" in refused(train_icot_emulator.main, words, made.folder / "wrong")


def test_a_teacher_of_another_size_is_refused(made) -> None:
    save_base(made.folder / "wide", layers=2, width=32)
    for cached in ("true", "false"):
        words = made.training("wrong", model="wide", teacher="explicit_cot", states="states")
        message = refused(train_icot_student.main, [*words, "--cached", cached], made.folder / "wrong")
        assert "2 layers of width 16, but the student has 2 of width 32" in message


def test_a_cache_of_another_teacher_or_other_data_is_refused(made) -> None:
    words = [*made.training("other", model="base"), *made("model-file")[:2], "--layout", "explicit_cot", "--seed", "5"]
    train_cot.main([*words, "--learning-rate", "5e-3"])
    words = made.training("wrong", model="base", teacher="other", states="states")
    assert "was made by another teacher" in refused(train_icot_student.main, words, made.folder / "wrong")
    write_jsonl(made.folder / "fewer.jsonl", examples(20))
    words = made.training("wrong", model="base", teacher="explicit_cot", states="states")
    words[words.index("--train") + 1] = str(made.folder / "fewer.jsonl")
    assert "was made from other data" in refused(train_icot_student.main, words, made.folder / "wrong")


def test_rows_beyond_the_context_are_refused(made) -> None:
    write_jsonl(made.folder / "long.jsonl", examples(3, digits=5))
    for main, words in (
        (train_cot.main, [*made.training("wrong", model="base"), *made("model-file")[:2], "--layout", "no_cot"]),
        (cache_states.main, made("train", "dev", teacher="explicit_cot", output="wrong")),
    ):
        words[words.index("--train") + 1] = str(made.folder / "long.jsonl")
        message = refused(main, words, made.folder / "wrong")
        assert "long.jsonl: example mult_5x5-train-1-0 has 99 tokens, 64 are allowed" in message


def test_an_encoder_decoder_is_refused(made, tmp_path) -> None:
    from unit.tiny_models import arithmetic_task, problems, tiny_folder

    folder = tiny_folder(tmp_path / "t5", arithmetic_task(), problems(5))
    words = made.training("wrong", model="base")
    words[words.index("--model") + 1] = str(folder)
    message = refused(train_cot.main, [*words, *made("model-file")[:2], "--layout", "no_cot"], made.folder / "wrong")
    assert "a model of family encoder_decoder (t5)" in message


def test_an_error_is_one_line_and_status_2(made) -> None:
    script = Path(train_icot.__file__)
    words = made.training("wrong", student="nowhere", emulator="icot_emulator")
    done = subprocess.run([WARM.python(), str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
