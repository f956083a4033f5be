"""Learn-to-Reason as a user runs it: targets, the loop of the smoke preset, what changes redo, a served teacher."""

import json
import re
import shutil
from pathlib import Path

import pytest

from retrace.evaluation.result import Result, load_document
from retrace.evaluation.rounds import RoundFigure
from retrace.machine.storage import read_jsonl
from retrace.schemas import MarkedAnswer, Prediction, TeacherRationale
from suites import first_daily
from unit.chat_server import ChatServer
from workflow.costs_behind import assert_costs_are_those_of_the_graph

TASKS = ["gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa", "arithmetic"]
METHODS = ["learn_to_reason", "no_feedback", "no_reflection", "single_round", "random_questions"]
FOLDER = "results/arithmetic/tiny_t5"
SEED = f"{FOLDER}/seed0"
LOOP = [f"{FOLDER}/{name}_acc.json" for name in ("learn_to_reason", "learn_to_reason_round0", "random_questions")]
KEY = "sk-workflow-secret"


def jobs(output: str) -> dict[str, int]:
    """Rule name and number of jobs, from the table that a dry run prints."""
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, flags=re.MULTILINE)}


# ---------------------------------------------------------------- targets


def test_headline_targets_of_the_paper(workflow) -> None:
    targets = [f"results/{task}/{method}_acc.json" for task in TASKS for method in METHODS]
    shown = workflow.dry(*targets)
    rules = jobs(shown)
    assert rules["score_headline"] == len(targets)
    assert "gptj_6b" in shown
    assert rules["fetch_model"] == 1
    # Six tasks, three rounds of four variants and the single one.
    assert rules["train_learn_to_reason"] == 6 * (4 * 3 + 1)


@pytest.mark.parametrize("preset", first_daily(["smoke", "tiny"]))
def test_small_presets_and_every_kind_of_target(workflow, preset: str) -> None:
    # The oracle, who teaches here, has no worked solutions of CommonsenseQA to give.
    targets = [f"results/{task}/learn_to_reason_acc.json" for task in TASKS if task != "commonsense_qa"]
    targets += [f"results/arithmetic/tiny_gpt2/learn_to_reason_round{number}_acc.json" for number in (0, 1, 2)]
    targets += [
        f"{FOLDER}/learn_to_reason_round1_self_consistency_acc.json",
        f"{FOLDER}/learn_to_reason_round1_grace_acc.json",
        f"{FOLDER}/compare/learn_to_reason_vs_random_questions.json",
        "results/figures/learn_to_reason_arithmetic.svg",
        "results/tables/learn_to_reason_table1.html",
        f"{SEED}/learn_to_reason_round2/price.json",
        "results/svamp_kojima/tiny_t5/learn_to_reason_acc.json",
    ]
    rules = jobs(workflow.dry(*targets, "--config", f"preset={preset}"))
    assert {"ask_teacher", "mark_exam", "plot_learn_to_reason", "price_of_the_teacher", "make_table"} <= set(rules)
    assert "fetch_model" not in rules


@pytest.mark.slow
def test_rounds_chain(workflow) -> None:
    """Round 3 needs two rounds before it; round 0 is the generator; the control asks as often as the method itself."""

    def made(target: str, *config: str) -> dict[str, int]:
        return jobs(workflow.dry(f"results/gsm8k/gptj_6b/{target}_acc.json", "--config", "seeds=[0]", *config))

    assert made("learn_to_reason_round3")["train_learn_to_reason"] == 3
    assert made("learn_to_reason")["train_learn_to_reason"] == 3
    assert made("learn_to_reason", "rounds={learn_to_reason: 2}")["train_learn_to_reason"] == 2
    assert "train_learn_to_reason" not in made("learn_to_reason_round0")
    assert made("single_round")["train_learn_to_reason"] == 1
    control = made("learn_to_reason_random_round2")
    assert (control["train_learn_to_reason"], control["ask_teacher"]) == (3, 4)


def test_the_paper_preset_asks_trains_and_marks_in_the_authors_form(workflow) -> None:
    """Whatever reads or writes the student's texts is given the worked examples, in round 0 and after; others are not."""
    folder = "results/strategy_qa/gptj_6b"
    targets = [f"{folder}/learn_to_reason_round{number}_acc.json" for number in (0, 1)]
    shown = workflow.dry("-p", *targets, f"{folder}/greedy_acc.json", "--config", "seeds=[0]")
    commands = re.findall(r"python \S*RETRACE_SCRIPTS/.*", shown)
    file = "results/data/strategy_qa/learn_to_reason_examples.txt"
    assert jobs(shown)["fetch_examples"] == 1
    student = [line for line in commands if "/learn_to_reason_round" in line]
    decoding = [line for line in student if "decode.py" in line]
    assert len(decoding) == 3 * 4  # the exam of round 0 and two tests, in four shards
    marking = [line for line in student if "mark_exam.py" in line]
    assert all(f"--form learn_to_reason:{file} " in line for line in [*decoding, *marking])
    assert all("--model results/models/gptj_6b " in line for line in decoding if "_round0/" in line)
    (training,) = (line for line in student if "train_learn_to_reason.py" in line)
    assert f"--examples {file} " in training
    for words in ("--form learn_to_reason ", "--keep accuracy ", "--answer-tokens 128 ", "--evaluations 10 "):
        assert words in training
    plain = [line for line in commands if "decode.py" in line and line not in decoding]
    assert len(plain) == 4
    assert not any("--form" in line for line in plain)


def test_one_training_has_the_steps_of_the_rounds_that_it_is_a_variant_of(workflow_class, tmp_path) -> None:
    workflow = workflow_class(tmp_path).configured("preset: smoke\n")
    folder = workflow.folder / "config" / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    five = "name: five\nextends: learn_to_reason\nset: {rounds.learn_to_reason: 5}\n"
    (folder / "five.yaml").write_text(five)
    single = "name: five_single\nextends: five\nset: {rounds.learn_to_reason: 1, rounds.as_one: true}\n"
    (folder / "five_single.yaml").write_text(single)
    assert "--repeat 5 " in workflow.dry("-p", "results/arithmetic/tiny_t5/five_single_round1_acc.json")
    assert "--repeat 2 " in workflow.dry("-p", "results/arithmetic/tiny_t5/single_round_acc.json")


def test_released_files_replace_exam_and_teacher(workflow) -> None:
    for name in ("rationales", "mistakes"):
        (workflow.folder / f"{name}.json").write_text("{}")
    feedback = "feedback={released_rationales: [rationales.json], released_mistakes: [mistakes.json]}"
    target = "results/gsm8k/gptj_6b/learn_to_reason_round1_acc.json"
    rules = jobs(workflow.dry(target, "--config", "seeds=[0]", feedback))
    assert rules["mark_released_mistakes"] == 1
    assert "mark_exam" not in rules
    assert rules["decode"] == 4  # of the test split alone, in four shards


# ---------------------------------------------------------------- the loop


@pytest.fixture(scope="module")
def smoke(copied_project, workflow_class, tmp_path_factory):
    """Two rounds and the control of the smoke preset, with the oracle."""
    workflow = workflow_class(tmp_path_factory.mktemp("learning"), copied_project()).configured("preset: smoke\n")
    workflow.make(*LOOP)
    return workflow


@pytest.mark.slow
def test_the_loop_runs_by_itself(smoke) -> None:
    for number in (1, 2):
        folder = smoke.folder / SEED / f"learn_to_reason_round{number}"
        rationales = read_jsonl(folder / "rationales.jsonl", TeacherRationale)
        assert rationales
        assert all(row.accepted and row.teacher == "oracle" for row in rationales)
        training = json.loads((folder / "training.json").read_text())
        assert training["questions"] == len(rationales)
        assert training["contrasted_visits"] > 0
        student = "base" if number == 1 else "learn_to_reason_round1"
        marks = read_jsonl(smoke.folder / SEED / student / "exam/marks.jsonl", MarkedAnswer)
        missed = {one.example_id for one in marks if not one.correct}
        assert {row.example_id for row in rationales} <= missed
        # The control has as many questions, drawn from all that were asked in the exam.
        control = smoke.folder / SEED / f"learn_to_reason_random_round{number}" / "rationales.jsonl"
        assert len(read_jsonl(control, TeacherRationale)) == len(rationales)
    exam = read_jsonl(smoke.folder / SEED / "base/exam/train.jsonl", Prediction)
    assert {len(row.samples) for row in exam} == {4}
    names = sorted(path.name for path in (smoke.folder / SEED / "learn_to_reason_round1/released").glob("*.json"))
    assert names == ["arithmetic.student.train.round0.neg4.json", "arithmetic.train.round1.json"]


@pytest.mark.slow
def test_results_say_what_they_are(smoke) -> None:
    result = load_document(smoke.folder / LOOP[0], Result)
    assert (result.method, result.checkpoint, result.decoder) == ("learn_to_reason", "learn_to_reason_round2", "greedy")
    assert result.provenance.configuration.values["rounds"] == {"learn_to_reason": 2, "as_one": False}
    assert "base_url" not in json.dumps(result.provenance.model_dump(mode="json"))
    assert result.cost.jobs >= 8  # base, two exams, two asks, two trainings, the answers
    start = load_document(smoke.folder / LOOP[1], Result)
    assert (start.checkpoint, start.method) == ("base", "learn_to_reason_round0")


@pytest.mark.slow
def test_every_result_cost_what_the_jobs_behind_it_took(smoke) -> None:
    assert set(LOOP[:2]) <= set(assert_costs_are_those_of_the_graph(smoke))


def pending(workflow, *arguments: str) -> set[str]:
    """Files of the loop that a run would make again."""
    done = workflow.run("--summary", *LOOP, *arguments)
    assert done.returncode == 0, done.stderr
    lines = [line.split("\t") for line in done.stdout.splitlines() if line.startswith("results/")]
    return {line[0].removeprefix(f"{SEED}/") for line in lines if line[-1] != "no update" and "/shards/" not in line[0]}


@pytest.mark.slow
def test_a_changed_setting_redoes_what_depends_on_it_and_nothing_else(smoke) -> None:
    assert pending(smoke) == set()
    for way in ("{max_requests: 5, kind: oracle}", "{kind: oracle, concurrency: 3, recording: elsewhere}"):
        redone = pending(smoke, "--config", f"teacher={way}")
        assert {name for name in redone if "round" in name and "_acc" not in name} == set(), way
    training = pending(smoke, "--config", "learn_to_reason={margin: 0.5}")
    assert {"learn_to_reason_round1/model", "learn_to_reason_random_round1/model"} <= training
    assert not any("base/" in name or name == "learn_to_reason_round1/rationales.jsonl" for name in training)
    feedback = pending(smoke, "--config", "feedback={max_questions: 3}")
    assert {"learn_to_reason_round1/rationales.jsonl", "learn_to_reason_round1/model"} <= feedback
    assert not any("base/" in name for name in feedback)
    exam = pending(smoke, "--config", "exam={temperature: 0.2}")
    assert {"base/exam/train.jsonl", "base/exam/marks.jsonl", "learn_to_reason_round1/rationales.jsonl"} <= exam
    assert "base/model" not in exam


@pytest.mark.slow
def test_another_template_asks_again(smoke) -> None:
    path = smoke.project / "config/prompts/feedback.yaml"
    before = path.read_text()
    try:
        path.write_text(before.replace("You teach a student", "You help a student"))
        assert "learn_to_reason_round1/rationales.jsonl" in pending(smoke)
    finally:
        path.write_text(before)


@pytest.mark.slow
def test_the_figure_shows_every_variant(smoke) -> None:
    smoke.make("results/figures/learn_to_reason_arithmetic.svg")
    text = (smoke.folder / "results/figures/learn_to_reason_arithmetic.json").read_text()
    figure = RoundFigure.model_validate_json(text)
    assert [len(curve.points) for curve in figure.curves] == [2, 2, 2, 2, 1]
    assert figure.start is not None
    svg = (smoke.folder / "results/figures/learn_to_reason_arithmetic.svg").read_text()
    assert svg.lstrip().startswith(("<?xml", "<svg"))


@pytest.mark.slow
def test_a_served_teacher_a_limit_and_the_price(smoke, workflow_class, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", KEY)
    shutil.copytree(smoke.folder, tmp_path / "copy")
    copy = workflow_class(tmp_path / "copy", smoke.project)
    target = f"{SEED}/learn_to_reason_round1/rationales.jsonl"
    with ChatServer(key=KEY) as server:
        teacher = f"kind: openai, model: wise, base_url: '{server.url}', key_variable: TEACHER_KEY"
        copy.make(f"{SEED}/learn_to_reason_round1/price.json", "--config", f"teacher={{{teacher}}}")
        price = json.loads((copy.folder / SEED / "learn_to_reason_round1/price.json").read_text())
        assert server.log == []
        assert price["requests"] == price["rationales"] > 3
        said = copy.refused(target, "--config", f"teacher={{{teacher}, max_requests: 3}}")
        assert "teacher.max_requests 3 is reached" in said
        assert len(server.log) == 3
        copy.make(target, "--config", f"teacher={{{teacher}}}")
        assert len(server.log) == price["requests"]
        copy.make(target, "--forcerun", "ask_teacher", "--config", f"teacher={{{teacher}}}")
        assert len(server.log) == price["requests"]
    assert {row.teacher for row in read_jsonl(copy.folder / target, TeacherRationale)} == {"wise-1"}
    everything = [path for path in copy.folder.rglob("*") if path.is_file()]
    assert [path for path in everything if KEY in path.read_text(errors="replace")] == []


def test_the_readmes_files_exist() -> None:
    root = Path(__file__).parents[2]
    assert (root / "config/prompts/feedback.yaml").exists()
    assert (root / "config/demonstrations/commonsense_qa.jsonl").exists()
