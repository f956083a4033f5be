"""The smoke preset from raw data to results, run as a user does, and what changes, faults and own files do to it."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
import yaml
from huggingface_hub import ModelCard

from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_jsonl, timing_path
from retrace.schemas import Example, Prediction, Timing
from retrace.workflow.configuration import Configuration
from retrace.workflow.settings import Settings
from suites import first_daily
from workflow.smoke_run import TARGETS

FAMILY = ["greedy", "beam", "self_consistency", "verifier", "stepwise", "grace", "grace_self_consistency"]
RIVALS = ["greedy", "self_consistency", "stepwise"]
OF_THE_TABLE = ["greedy", "self_consistency", "verifier", "grace", "grace_self_consistency"]
FOLDER = "results/arithmetic/tiny_t5"
SECONDS_OF_A_JOB = 40  # processor time; a job of this preset that needs more is set up wrongly


def limits(workflow) -> dict[str, int]:
    return Settings({"preset": "smoke"}, workflow.project / "config").resolved()["limits"]


def predictions(workflow, method: str, checkpoint: str = "base", model: str = FOLDER) -> list[Prediction]:
    return read_jsonl(workflow.folder / model / "seed0" / checkpoint / method / "test.jsonl", Prediction)


def pending(workflow, *arguments: str) -> set[str]:
    """Files that a run would make or make again, those of shards left out."""
    done = workflow.run("--summary", *TARGETS, *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("results/")]
    return {line[0] for line in lines if line[-1] != "no update" and not re.search(r"/shards/|\.timing\.", line[0])}


# ---------------------------------------------------------------- what the default run makes


@pytest.mark.parametrize("method", FAMILY)
def test_every_method_has_an_honest_result(smoke, method: str) -> None:
    result = load_document(smoke.folder / FOLDER / f"{method}_acc.json", Result)
    assert (result.task, result.model, result.method, result.preset) == ("arithmetic", "tiny_t5", method, "smoke")
    assert result.n == limits(smoke)["test"]
    assert "tiny_t5" in result.made_from
    assert "generated data" in result.made_from
    assert result.reported is None or not result.reported.comparable
    assert result.provenance.configuration.values["limits"]["test"] == result.n
    assert result.cost is not None


@pytest.mark.parametrize("method", FAMILY)
def test_predictions_are_in_the_order_of_the_data(smoke, method: str) -> None:
    questions = read_jsonl(smoke.folder / "results/data/arithmetic/test.jsonl", Example)
    assert [row.example_id for row in predictions(smoke, method)] == [example.id for example in questions]


def test_comparisons_figure_table_and_configuration_are_there(smoke) -> None:
    for rival in RIVALS:
        found = load_document(smoke.folder / FOLDER / "compare" / f"grace_vs_{rival}.json", Comparison)
        assert found.n == limits(smoke)["test"]
    assert (smoke.folder / FOLDER / "grace_beta_sweep.svg").read_text().lstrip().startswith(("<?xml", "<svg"))
    table = (smoke.folder / "results/tables/grace_table1.html").read_text()
    assert "tiny T5, trained from scratch" in table
    values = yaml.safe_load((smoke.folder / "results/configuration.yaml").read_text())
    assert Configuration.model_validate(values).preset == "smoke"
    headline = (smoke.folder / "results/arithmetic/grace_acc.json").read_bytes()
    assert headline == (smoke.folder / FOLDER / "grace_acc.json").read_bytes()


def test_every_checkpoint_has_a_model_card(smoke) -> None:
    folders = list((smoke.folder / "results").glob("*/*/seed*/*/model"))
    assert {folder.parent.name for folder in folders} >= {"base", "base_discriminator", "base_verifier"}
    for folder in folders:
        metadata = ModelCard.load(folder / "README.md").data.to_dict()
        assert "retrace" in metadata["tags"], folder
        assert "model-index" not in metadata, folder  # nothing was measured yet


def test_every_job_takes_seconds_and_leaves_nothing_behind(smoke) -> None:
    seconds = {}
    for path in (smoke.folder / "benchmarks").rglob("*.tsv"):
        names, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
        seconds[path.stem] = float(dict(zip(names, values, strict=True))["cpu_time"].replace("NA", "0"))
    assert {name: value for name, value in seconds.items() if value > SECONDS_OF_A_JOB} == {}
    left = [path for path in (smoke.folder / "results").rglob("*") if path.name in ("state", "shards")]
    assert [path for path in left if any(path.iterdir())] == []


# ---------------------------------------------------------------- what is made again

SEED = f"{FOLDER}/seed0"
GRACE = f"{SEED}/base_discriminator"
# What is made from what, named by the last part of the path that tells it from the others.
MADE_FROM = {
    f"{GRACE}/trajectories.jsonl": [
        f"{GRACE}/trajectories.counts.jsonl",
        f"{GRACE}/alignments.jsonl",
        f"{SEED}/base_verifier/model",
    ],
    f"{GRACE}/trajectories.counts.jsonl": [f"{GRACE}/report.json"]
    + [f"{FOLDER}/{method}_acc.json" for method in ("grace", "grace_self_consistency", "verifier")],
    f"{GRACE}/alignments.jsonl": [f"{GRACE}/pairs.jsonl"],
    f"{GRACE}/pairs.jsonl": [f"{GRACE}/model", f"{GRACE}/report.json"],
    f"{GRACE}/model": [
        f"{GRACE}/pair_accuracy.json",
        f"{GRACE}/report.json",
        f"{GRACE}/sweep.json",
        f"{SEED}/base/grace/test.jsonl",
        f"{SEED}/base/grace_self_consistency/test.jsonl",
    ],
    f"{GRACE}/sweep.json": [
        f"{GRACE}/choices.json",
        f"{FOLDER}/grace_beta_sweep.json",
        f"{FOLDER}/grace_beta_sweep.svg",
    ],
    f"{GRACE}/choices.json": [f"{SEED}/base/grace/test.jsonl", f"{SEED}/base/grace_self_consistency/test.jsonl"],
    f"{SEED}/base_verifier/model": [f"{SEED}/base_verifier/report.json", f"{SEED}/base/verifier/test.jsonl"],
    f"{SEED}/base/self_consistency/test.jsonl": [f"{SEED}/base/verifier/test.jsonl"],
    f"{FOLDER}/grace_acc.json": ["results/arithmetic/grace_acc.json"],
}
for _method in FAMILY:
    MADE_FROM.setdefault(f"{SEED}/base/{_method}/test.jsonl", []).append(f"{FOLDER}/{_method}_acc.json")
for _rival in RIVALS:
    for _method in ("grace", _rival):
        MADE_FROM[f"{SEED}/base/{_method}/test.jsonl"].append(f"{FOLDER}/compare/grace_vs_{_rival}.json")
for _method in OF_THE_TABLE:
    MADE_FROM.setdefault(f"{FOLDER}/{_method}_acc.json", []).extend(
        f"results/tables/grace_table1.{kind}" for kind in ("json", "csv", "md", "tex", "html")
    )


def behind(*files: str) -> set[str]:
    """These files, all that is made from them, the configuration that is saved beside the results, and the report."""
    found, todo = {"results/configuration.yaml", "results/report.html"}, list(files)
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += MADE_FROM.get(file, [])
    return found


def test_a_second_run_has_nothing_to_do(smoke) -> None:
    assert "Nothing to be done" in smoke.dry(*TARGETS)
    assert pending(smoke) == set()


@pytest.mark.parametrize(
    ("setting", "changed"),
    first_daily(
        [
            (
                "grace={temperature: 0.9}",
                [f"{GRACE}/sweep.json", f"{GRACE}/report.json", f"{SEED}/base/grace/test.jsonl"],
            ),
            ("align={threshold: 0.7}", [f"{GRACE}/alignments.jsonl"]),
            ("sft={epochs: 7}", []),  # nothing here is made with it
            ("grace={batch_size: 3}", []),
            ("discriminator={max_steps: 4}", [f"{GRACE}/model"]),
            ("sample={temperature: 1.1}", [f"{GRACE}/trajectories.jsonl"]),
            ("self_consistency={samples: 4}", [f"{SEED}/base/self_consistency/test.jsonl"]),
            ("stepwise={temperature: 0.9}", [f"{SEED}/base/stepwise/test.jsonl"]),
            ("verifier={learning_rate: 0.01}", [f"{SEED}/base_verifier/model"]),
            ("sweep={betas: [0.5]}", [f"{GRACE}/sweep.json"]),
            ("threads={decode: 2}", []),
            ("base={save_minutes: 1}", []),
            ("mirror=/nowhere", []),
        ],
        count=4,
    ),
)
def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(smoke, setting: str, changed: list[str]) -> None:
    assert pending(smoke, "--config", setting) == behind(*changed)


def test_another_seed_adds_to_what_is_there(smoke) -> None:
    redone = pending(smoke, "--config", "seeds=[0,1]")
    own = {file for file in redone if "/seed1/" in file}
    made = {str(path.relative_to(smoke.folder)) for path in (smoke.folder / SEED).rglob("test.jsonl")}
    assert {file.replace("/seed0/", "/seed1/") for file in made} <= own
    assert f"{FOLDER}/seed1/base/model" in own
    summaries = {file for file in behind(*made, f"{GRACE}/sweep.json") if "/seed" not in file}
    assert redone - own == summaries


def test_a_text_for_readers_redoes_nothing_and_a_text_for_the_model_everything(smoke) -> None:
    path = smoke.project / "config/tasks/arithmetic.yaml"
    before = path.read_text()
    values = yaml.safe_load(before)
    try:
        path.write_text(yaml.safe_dump(values | {"title": "Another title", "about": "More words."}))
        assert pending(smoke) == set()
        for changed in ({"delimiter": ";"}, {"prompt": "Question: {question}"}):
            path.write_text(yaml.safe_dump(values | changed))
            redone = pending(smoke)
            assert f"{SEED}/base/model" in redone
            assert behind(f"{GRACE}/trajectories.jsonl", f"{SEED}/base/greedy/test.jsonl") - redone == {
                "results/configuration.yaml"
            }
    finally:
        path.write_text(before)
    assert pending(smoke) == set()


def test_a_checkout_may_lie_in_a_folder_with_a_space_and_brackets(smoke, workflow_class, tmp_path) -> None:
    project = tmp_path / "a folder [1]"
    shutil.copytree(smoke.project, project, ignore=shutil.ignore_patterns("__pycache__"))
    workflow = workflow_class(tmp_path / "run here", project).configured("preset: smoke\n")
    workflow.make("results/data/arithmetic/test.jsonl")
    made = "results/data/arithmetic/test.jsonl"
    assert (workflow.folder / made).read_bytes() == (smoke.folder / made).read_bytes()


def test_a_checkout_that_moved_redoes_nothing(smoke, copied_project, workflow_class) -> None:
    assert pending(workflow_class(smoke.folder, copied_project())) == set()


# ---------------------------------------------------------------- faults


def test_a_truncated_trajectories_file_is_named_with_the_mend(copy) -> None:
    file = copy.folder / GRACE / "trajectories.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    shown = copy.refused(f"{GRACE}/alignments.jsonl", "--forcerun", "align_steps")
    lines = len(file.read_bytes().splitlines())
    assert f"{GRACE}/trajectories.jsonl:{lines}: the last line is cut off; delete the file and rebuild it" in shown
    file.unlink()
    assert "sample_trajectories" in copy.dry(f"{GRACE}/alignments.jsonl")


def test_corrupted_predictions_are_named_with_the_mend(copy) -> None:
    file = copy.folder / SEED / "base/greedy/test.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([*lines[:2], lines[2].replace('"chosen":0', '"chosen":"x"'), *lines[3:]]))
    shown = copy.refused(f"{FOLDER}/greedy_acc.json", "--forcerun", "score_method")
    assert re.search(r"base/greedy/test\.jsonl:3: chosen: .* \(got 'x'\)", shown)
    assert "rebuild the file" in shown
    assert not (copy.folder / FOLDER / "greedy_acc.json").exists()


@pytest.mark.slow
def test_a_killed_decoding_leaves_no_half_file_and_a_rerun_completes(smoke, copy) -> None:
    output, count = f"{SEED}/base/grace_self_consistency/test.jsonl", limits(smoke)["test"]
    log = copy.folder / "logs" / SEED.removeprefix("results/") / "base/grace_self_consistency/test_0.log"
    log.unlink()
    for made in (copy.folder / output).parent.glob("test*.jsonl"):
        made.unlink()  # the predictions, and the times beside them
    (copy.folder / output).with_name("test.candidates.jsonl.gz").unlink()
    # One question at a time: the same output, and time to die in the middle.
    arguments = [output, "--config", "grace_self_consistency={batch_size: 1}"]
    running = subprocess.Popen(
        copy.command(*arguments),
        cwd=copy.folder,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 180
        while not (log.exists() and f"/{count} questions" in log.read_text()):
            assert time.monotonic() < deadline
            assert running.poll() is None, "over before it could be killed"
            time.sleep(0.01)
        family = psutil.Process(running.pid).children(recursive=True)
        assert any("decode.py" in " ".join(process.cmdline()) for process in family if process.is_running())
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    psutil.wait_procs(family, timeout=20)
    assert f"{count}/{count}" not in log.read_text()
    folder = copy.folder / SEED / "base/grace_self_consistency"
    # What was answered is kept apart, for the next run alone.
    left = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    assert [path.parts[:2] for path in left] == [("shards", "state")] * len(left)
    copy.make(*arguments)
    assert (copy.folder / output).read_bytes() == (smoke.folder / output).read_bytes()
    assert not (folder / "shards" / "state").exists()


# ---------------------------------------------------------------- shards and batches


@pytest.mark.slow
def test_shards_and_batches_change_no_byte(smoke, copy) -> None:
    files = [
        f"{SEED}/base/{method}/test.jsonl" for method in ("greedy", "beam", "self_consistency", "verifier", "grace")
    ]
    settings = ["shards={sample: 2, decode: 3}", "sample={batch_size: 11}", "greedy={batch_size: 5}"]
    settings += ["beam={batch_size: 10}", "self_consistency={batch_size: 7}", "grace={batch_size: 10}"]
    copy.make(*files, "--config", *settings)
    for file in [*files, f"{GRACE}/trajectories.jsonl"]:
        assert (copy.folder / file).stat().st_mtime_ns != (smoke.folder / file).stat().st_mtime_ns
        assert (copy.folder / file).read_bytes() == (smoke.folder / file).read_bytes()
    timings = read_jsonl(timing_path(copy.folder / files[0]), Timing)
    assert [row.questions for row in timings] == [limits(copy)["test"] // 3] * 3


# ---------------------------------------------------------------- other models, own files, real data


@pytest.fixture(scope="session")
def decoder_only(smoke, workflow_class, tmp_path_factory):
    """The whole family with the decoder-only model, beside the smoke run's data."""
    folder = tmp_path_factory.mktemp("gpt2") / "run"
    shutil.copytree(smoke.folder, folder)
    workflow = workflow_class(folder, smoke.project)
    workflow.make(*[f"results/arithmetic/tiny_gpt2/{method}_acc.json" for method in FAMILY])
    return workflow


@pytest.mark.slow
def test_the_family_works_with_a_decoder_only_model(decoder_only) -> None:
    for method in FAMILY:
        result = load_document(decoder_only.folder / f"results/arithmetic/tiny_gpt2/{method}_acc.json", Result)
        assert (result.model, result.n) == ("tiny_gpt2", limits(decoder_only)["test"])


@pytest.mark.slow
def test_the_fine_tuned_checkpoint_works(copy) -> None:
    copy.make(f"{FOLDER}/sft_grace_acc.json", f"{FOLDER}/sft_greedy_acc.json")
    for method, decoder in (("sft_grace", "grace"), ("sft_greedy", "greedy")):
        result = load_document(copy.folder / FOLDER / f"{method}_acc.json", Result)
        assert (result.checkpoint, result.decoder, result.method) == ("sft", decoder, method)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "source"), [("encoder_decoder", "tiny_t5"), ("decoder_only", "tiny_gpt2")], ids=["t5", "gpt2"]
)
def test_own_task_and_own_model(copied_project, decoder_only, workflow_class, tmp_path, family, source) -> None:
    workflow = workflow_class(tmp_path, copied_project()).configured("preset: smoke\n")
    made = decoder_only.folder / "results"
    (tmp_path / "my_data").mkdir()
    for split in ("train", "test"):
        rows = read_jsonl(made / f"data/arithmetic/{split}.jsonl", Example)
        lines = [json.dumps({"question": row.question, "answer": row.answer}) + "\n" for row in rows]
        (tmp_path / "my_data" / f"{split}.jsonl").write_text("".join(lines))
    shutil.copytree(made / f"arithmetic/{source}/seed0/base/model", tmp_path / "my_checkpoint")
    task = {
        "name": "my_task",
        "title": "My word problems",
        "family": "word_problems",
        "format": "question_answer",
        "splits": {
            "train": {"file": "my_data/train.jsonl", "part": [0.2, 1.0]},
            "dev": {"part_of": "train", "part": [0.0, 0.2]},
            "test": {"file": "my_data/test.jsonl"},
        },
    }
    model = {"name": "my_model", "title": "My model", "family": family, "file": "my_checkpoint", "generator": "base"}
    for kind, values in (("tasks", task), ("models", model)):
        (workflow.project / "config" / kind / f"{values['name']}.yaml").write_text(yaml.safe_dump(values))
    targets = [f"results/my_task/my_model/{method}_acc.json" for method in ("greedy", "grace")]
    workflow.make(*targets)
    for target in targets:
        result = load_document(tmp_path / target, Result)
        assert (result.task, result.model, result.n) == ("my_task", "my_model", limits(workflow)["test"])
        assert "my_checkpoint" in result.made_from
        assert "own data (my_data/test.jsonl)" in result.made_from
        assert result.reported is None
    (tmp_path / "my_data" / "test.jsonl").write_text('{"question": "How many?"}\n')
    shown = workflow.refused("results/data/my_task/test.jsonl", "--forcerun", "prepare_data")
    assert "my_data/test.jsonl:1" in shown


@pytest.mark.slow
def test_real_data_from_the_mirror(copied_project, workflow_class, tmp_path, request) -> None:
    mirror = request.config.getoption("--mirror")
    if not mirror:
        pytest.skip("needs --mirror FOLDER (or RETRACE_MIRROR): the published GSM8K files at HOST/PATH")
    workflow = workflow_class(tmp_path, copied_project()).configured("preset: smoke\n")
    targets = [f"results/gsm8k/{method}_acc.json" for method in ("greedy", "grace")]
    workflow.make(*targets, "--config", f"mirror={Path(mirror).resolve()}")
    for target in targets:
        result = load_document(tmp_path / target, Result)
        assert (result.model, result.n) == ("tiny_t5", limits(workflow)["test"])
        assert result.reported is None or not result.reported.comparable
        assert "tiny_t5" in result.made_from
