"""Implicit chain of thought in the workflow: which jobs its targets need, what is refused, and the smoke preset's run."""

import json
import re

import pytest

from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result, load_document
from retrace.machine.storage import read_jsonl
from retrace.schemas import Example, Prediction
from retrace.systems.icot.speed import Speed
from suites import first_daily
from workflow.costs_behind import assert_costs_are_those_of_the_graph

TASKS = ["mult_2x2", "mult_3x3", "mult_4x4", "mult_5x5", "gsm8k"]
WAYS = ["no_cot", "explicit_cot", "icot"]
CONTROLS = ["no_cot_deep", "no_cot_from_teacher", "icot_undistilled"]
STAGES = {"train_explicit_cot", "cache_states", "train_icot_student", "train_icot_emulator", "train_icot"}


def jobs(output: str) -> dict[str, int]:
    """Rule name and number of jobs, from the table that a dry run prints."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


@pytest.mark.parametrize("task", first_daily(reversed(TASKS)))
def test_headline_targets_of_the_paper(workflow, task: str) -> None:
    shown = workflow.dry(*[f"results/{task}/{way}_acc.json" for way in WAYS])
    rules = jobs(shown)
    assert set(rules) - {"total"} == STAGES | {
        "fetch_model",
        "prepare_data",
        "train_no_cot",
        "decode",
        "gather_predictions",
        "score_method",
        "score_headline",
    }
    assert rules["train_icot"] == 1  # the paper names no number of runs
    assert "Fetching gpt2\n" in shown
    assert ("Preparing icot_train of gsm8k" in shown) == (task == "gsm8k")
    assert f"Preparing test of {task}\n" in shown


@pytest.mark.parametrize("model", first_daily(["gpt2", "tiny_gpt2", "gpt2_medium", "gpt2_large", "small_gpt2"]))
def test_every_model(workflow, model: str) -> None:
    targets = [f"results/{task}/{model}/{way}_acc.json" for task in ("mult_4x4", "gsm8k") for way in WAYS]
    rules = jobs(workflow.dry(*targets, f"results/gsm8k/{model}/icot_speed.json"))
    assert rules["score_method"] == 6
    assert rules["measure_icot_speed"] == 1
    assert ("train_base" in rules) == model.endswith(("tiny_gpt2", "small_gpt2"))


def test_other_tasks_give_their_steps_too(workflow) -> None:
    shown = workflow.dry("results/arithmetic/icot_acc.json", "--config", "preset=tiny")
    assert set(jobs(shown)) > STAGES
    assert "with implicit from icot of tiny_gpt2" in shown


@pytest.mark.parametrize(("preset", "tasks"), first_daily([("tiny", 3), ("smoke", 1), ("small", 1)]))
def test_all_of_a_small_preset(workflow, preset: str, tasks: int) -> None:
    rules = jobs(workflow.dry("icot", "--config", f"preset={preset}"))
    assert rules["score_method"] == tasks * len([*WAYS, *CONTROLS])
    assert rules["compare_methods"] == 4 * tasks
    assert rules["measure_icot_speed"] == tasks
    assert rules["plot_icot"] == 1
    assert "fetch_model" not in rules
    # Six checkpoints a task, and the three controls.
    assert sum(rules[rule] for rule in rules if rule.startswith("train_")) == tasks * (6 + 3)


@pytest.mark.slow
def test_the_table(workflow) -> None:
    rules = jobs(workflow.dry("results/tables/icot_table1.html", "--config", "tables=run"))
    assert rules["score_method"] == 27
    assert rules["make_table"] == 1
    small = jobs(workflow.dry("results/tables/icot_table1.html", "--config", "preset=tiny", "tables=run"))
    assert small["score_method"] == 9


def test_states_in_every_step_need_no_cache(workflow) -> None:
    rules = jobs(workflow.dry("results/mult_4x4/icot_acc.json", "--config", 'icot_states={"cached": false}'))
    assert "cache_states" not in rules
    assert "train_icot_student" in rules


def test_a_released_pair_needs_no_training(workflow) -> None:
    for folder in ("student", "emulator"):
        (workflow.folder / folder).mkdir()
    chosen = 'icot={"released_student": "student", "released_emulator": "emulator"}'
    rules = jobs(workflow.dry("results/mult_4x4/icot_acc.json", "--config", "seeds=[0]", chosen))
    assert set(rules) & (STAGES | {"fetch_model"}) == {"train_icot", "fetch_model"}
    assert rules["prepare_data"] == 1  # the test split
    shown = workflow.dry("results/mult_4x4/icot_acc.json", "--printshellcmds", "--config", "seeds=[0]", chosen)
    command = next(line for line in shown.splitlines() if "train_icot.py" in line)
    assert command.count("--released-student student") == command.count("--released-emulator emulator") == 1
    assert "--released_" not in command
    speed = workflow.dry("results/mult_4x4/gpt2/icot_speed.json", "--printshellcmds", "--config", "seeds=[0]", chosen)
    assert set(jobs(speed)) - {"total"} == {"fetch_model", "prepare_data", "train_icot", "measure_icot_speed"}
    command = next(line for line in speed.splitlines() if "measure_icot_speed.py" in line)
    assert "--icot results/mult_4x4/gpt2/seed0/icot/model " in command
    assert "cot results/mult_4x4/gpt2/seed0/no_cot" not in command


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ('{"released_student": "student", "released_emulator": "none_such"}', "none_such"),
        (
            '{"released_emulator": "student"}',
            "icot: released_emulator is set and released_student is not; give both, or neither",
        ),
    ],
)
def test_a_released_pair_that_is_not_there_is_refused_at_once(workflow, chosen: str, message: str) -> None:
    (workflow.folder / "student").mkdir()
    done = workflow.run("--dry-run", "results/mult_4x4/icot_acc.json", "--config", "seeds=[0]", f"icot={chosen}")
    assert done.returncode != 0
    assert message in done.stdout + done.stderr


def test_the_training_split_can_be_chosen(workflow) -> None:
    split = 'icot_data={"train": "icot_unaugmented_train"}'
    shown = workflow.dry("results/gsm8k/no_cot_acc.json", "--config", split)
    assert "Preparing icot_unaugmented_train of gsm8k" in shown
    done = workflow.run("--dry-run", "results/gsm8k/no_cot_acc.json", "--config", 'icot_data={"train": "none_such"}')
    assert done.returncode != 0
    assert "icot_data.train: task gsm8k has no split 'none_such'; it has train, dev, test" in done.stdout + done.stderr


# ---------------------------------------------------------------- a run

FOLDER = "results/mult_2x2/tiny_gpt2"
TARGETS = ["icot", "results/tables/icot_table1.html", "results/mult_2x2/icot_acc.json"]


@pytest.fixture(scope="module")
def made(copied_project, workflow_class, tmp_path_factory):
    """Everything of implicit chain of thought in the smoke preset."""
    workflow = workflow_class(tmp_path_factory.mktemp("icot"), copied_project()).configured("preset: smoke\n")
    workflow.make(*TARGETS)
    return workflow


@pytest.mark.slow
@pytest.mark.parametrize("method", [*WAYS, *CONTROLS])
def test_every_method_has_an_honest_result(made, method: str) -> None:
    result = load_document(made.folder / FOLDER / f"{method}_acc.json", Result)
    assert (result.task, result.model, result.method, result.preset) == ("mult_2x2", "tiny_gpt2", method, "smoke")
    assert "tiny_gpt2" in result.made_from
    assert "generated data (multiplication, seed 13)" in result.made_from
    assert result.reported is None or not result.reported.comparable
    # What it was trained on is recorded, with the options of every stage behind it.
    assert any(record.path.endswith("data/mult_2x2/train.jsonl") for record in result.provenance.files)
    sections = {"icot_states", "icot_student", "icot_emulator", "icot"}
    assert (sections <= set(result.provenance.configuration.values)) == (method == "icot")
    assert result.cost.wall_seconds > 0
    assert result.cost.jobs >= {"icot": 7, "no_cot_from_teacher": 4}.get(method, 3)
    rows = read_jsonl(made.folder / FOLDER / "seed0" / result.checkpoint / result.decoder / "test.jsonl", Prediction)
    examples = read_jsonl(made.folder / "results/data/mult_2x2/test.jsonl", Example)
    assert [row.example_id for row in rows] == [example.id for example in examples]


@pytest.mark.slow
def test_every_result_cost_what_the_jobs_behind_it_took(made) -> None:
    assert f"{FOLDER}/icot_acc.json" in assert_costs_are_those_of_the_graph(made)


@pytest.mark.slow
def test_comparisons_speed_figure_and_table_are_there(made) -> None:
    for rival in ("no_cot", *CONTROLS):
        found = load_document(made.folder / FOLDER / "compare" / f"icot_vs_{rival}.json", Comparison)
        assert found.n == 12
    speed = load_document(made.folder / FOLDER / "icot_speed.json", Speed)
    assert set(speed.ways) == set(WAYS)
    drawing = (made.folder / "results/figures/icot_accuracy_vs_speed.svg").read_text()
    assert "implicit CoT" in drawing
    assert "mult_2x2, tiny_gpt2, preset smoke" in drawing
    assert "tiny GPT-2" in (made.folder / "results/tables/icot_table1.html").read_text()
    headline = (made.folder / "results/mult_2x2/icot_acc.json").read_bytes()
    assert headline == (made.folder / FOLDER / "icot_acc.json").read_bytes()


@pytest.mark.slow
def test_states_tell_their_size_and_their_makers(made) -> None:
    log = (made.folder / "logs/mult_2x2/tiny_gpt2/seed0/explicit_cot/states.log").read_text()
    assert "48 rows x 4 layers x " in log.splitlines()[0]
    states = made.folder / FOLDER / "seed0/explicit_cot/states"
    record = json.loads((states / "train/states.json").read_text())
    assert record["rows"] == 48
    assert not list((made.folder / "results").rglob("state"))


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do_and_a_change_redoes_what_depends_on_it(made) -> None:
    assert "Nothing to be done" in made.dry(*TARGETS)
    changed = jobs(
        made.dry(*TARGETS, "--config", 'icot_student={"learning_rate": 0.004, "max_steps": 3, "evaluations": 1}')
    )
    trained = {rule for rule in changed if rule.startswith("train_") or rule == "cache_states"}
    assert trained == {"train_icot_student", "train_icot"}
    faster = made.dry(*TARGETS, "--config", 'icot_states={"rows_at_once": 7}')
    assert not {"cache_states", "train_icot_student"} & set(jobs(faster))
