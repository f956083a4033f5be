"""Tasks with answers only: the user's own columns, ARC's rows from a mirror, and every task as a chat model sees it."""

import json
from pathlib import Path

import pytest

from retrace.decoding.vote import make_sample
from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks.answer_task import AnswerTask, in_chat
from retrace.tasks.formats import demonstrations, read_split
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[3] / "config"
OWN = """
name: own
title: My data
family: {family}
format: queries_responses
{more}
splits:
  train: {{file: {folder}/train.jsonl, part: [0.5, 1.0]}}
  dev: {{part_of: train, part: [0.0, 0.5]}}
  test: {{file: {folder}/test.jsonl}}
"""
REVISION = "210d026faf9955653af8916fad021475a3f00453"
ARC = [
    {
        "id": "Mercury_1",
        "question": "George wants to warm his hands\nby rubbing them. Which is best?",
        "choices": {"text": ["dry palms", "wet palms", "oil"], "label": ["A", "B", "C"]},
        "answerKey": "B",
    },
    {
        "id": "MCAS_2",
        "question": "Where is up?",
        "choices": {"text": ["north", "south"], "label": ["1", "2"]},
        "answerKey": "1",
    },
]


def write_rows(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def own_task(folder: Path, family: str = "numeric", more: str = "", rows: list[dict] | None = None):
    rows = rows or [
        {"queries": f"Ann has {n} pens.\nAnd 1 more?", "responses": f"The answer is {n + 1}.", "groundtruth": n + 1}
        for n in range(8)
    ]
    write_rows(folder / "train.jsonl", rows[:6])
    write_rows(folder / "test.jsonl", rows[6:] or rows)
    (folder / "own.yaml").write_text(OWN.format(family=family, folder=folder, more=more))
    return load_task(folder / "own.yaml")


def arc_task(mirror: Path, rows: list[dict] = ARC):
    folder = mirror / "huggingface.co" / "datasets" / "allenai" / "ai2_arc" / "ARC-Challenge"
    write_rows(folder / "validation.jsonl", rows)
    return load_task("arc_challenge", CONFIG)


# ---------------------------------------------------------------- queries, responses, groundtruth


def test_own_columns_become_examples(tmp_path) -> None:
    task = own_task(tmp_path)
    examples = read_split(task, "test")
    assert [example.final_answer for example in examples] == ["7", "8"]
    first = examples[0]
    assert first.question == "Ann has 6 pens.\nAnd 1 more?"
    assert task.prompt(first.question, family="decoder_only") == first.question  # line breaks and all
    assert task.answer_text(first) == "The answer is 7."
    assert task.solution_text(first) == "The answer is 7."
    assert task.rationale_stops() == ["The answer is", "the answer is"]
    assert len(read_split(task, "train")) == len(read_split(task, "dev")) == 3


@pytest.mark.parametrize(
    ("family", "groundtruth", "right", "wrong"),
    [
        ("numeric", "1,200", "That makes 1200. The answer is $1,200.", "The answer is 12."),
        ("exact_match", "Blue whale", "the answer is blue whale.", "The answer is whale."),
        ("multiple_choice", "(B)", "I think the answer is B.", "The answer is (C)."),
        ("multiple_choice", "wet palms", "The answer is 'Wet palms'", "The answer is dry palms."),
    ],
)
def test_graders(tmp_path, family, groundtruth, right, wrong) -> None:
    row = {"queries": "What?", "responses": f"The answer is {groundtruth}.", "groundtruth": groundtruth}
    task = own_task(tmp_path, family, rows=[row])
    (example,) = read_split(task, "test")
    assert task.grade(task.answer_text(example), example.answer)
    assert task.grade_strict(f"So:\n{task.answer_text(example)}", example.answer)
    assert task.grade(right, example.answer)
    assert not task.grade(wrong, example.answer)
    assert not task.grade("", example.answer)


def test_another_phrase_for_the_answer(tmp_path) -> None:
    task = own_task(tmp_path, more='chat: {answer: "Result: {answer}"}')
    assert task.rationale_stops() == ["Result:", "result:"]
    assert task.extract("5 things. Result: 9") == "9"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"queries": "", "responses": "a", "groundtruth": "1"}, "field 'queries' is empty"),
        ({"queries": "q", "responses": "  ", "groundtruth": "1"}, "field 'responses' is '  '"),
        ({"queries": "q", "responses": "a"}, "field 'groundtruth' is missing"),
        ({"queries": "q", "responses": "a", "groundtruth": ""}, "field 'groundtruth' is empty"),
        ({"queries": "q", "responses": "a", "groundtruth": ["1"]}, "field 'groundtruth' is"),
        ({"queries": "q", "responses": "a", "groundtruth": "many"}, "holds no number"),
        ({"queries": "q #### 1", "responses": "a", "groundtruth": "1"}, "holds '####'"),
    ],
)
def test_faulty_rows_are_named(tmp_path, row, message) -> None:
    good = {"queries": "first", "responses": "The answer is 1.", "groundtruth": "1"}
    task = own_task(tmp_path, rows=[good, row])
    with pytest.raises(UserError, match=r"test\.jsonl:2: ") as caught:
        read_split(task, "test")
    assert message in str(caught.value)


# ---------------------------------------------------------------- ARC


def test_arc_rows_become_examples(tmp_path) -> None:
    first, second = read_split(arc_task(tmp_path), "dev", str(tmp_path))
    assert first.id == "Mercury_1"
    assert first.question == (
        "George wants to warm his hands\nby rubbing them. Which is best?\nOptions: ['dry palms', 'wet palms', 'oil']"
    )
    assert first.answer == "(A) dry palms\n(B) wet palms\n(C) oil\n#### wet palms"
    assert (first.final_answer, second.final_answer) == ("wet palms", "north")
    assert first.steps == []
    assert first.source == f"allenai/ai2_arc@{REVISION}"


def test_arc_is_read_from_parquet_too(tmp_path) -> None:
    import datasets

    folder = tmp_path / "huggingface.co/datasets/allenai/ai2_arc/resolve" / REVISION / "ARC-Challenge"
    folder.mkdir(parents=True)
    for part, row in enumerate(ARC):
        datasets.Dataset.from_list([row]).to_parquet(str(folder / f"validation-0000{part}-of-00002.parquet"))
    examples = read_split(load_task("arc_challenge", CONFIG), "dev", str(tmp_path))
    assert [example.id for example in examples] == ["Mercury_1", "MCAS_2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answerKey": "Z"}, "answerKey 'Z' is none of the labels A, B, C"),
        ({"choices": {"text": ["a"], "label": ["A", "B"]}}, "equally many"),
        ({"choices": None}, "equally many"),
        ({"question": " "}, "field 'question'"),
    ],
)
def test_faulty_arc_rows_are_named(tmp_path, change, message) -> None:
    with pytest.raises(UserError, match=r"allenai/ai2_arc validation:1: ") as caught:
        read_split(arc_task(tmp_path, [ARC[0] | change]), "dev", str(tmp_path))
    assert message in str(caught.value)


def test_a_data_set_that_is_nowhere_says_what_to_do(tmp_path) -> None:
    with pytest.raises(UserError, match=r"allenai/ai2_arc.*MIRROR/huggingface\.co/datasets/allenai/ai2_arc/"):
        read_split(arc_task(tmp_path), "test", str(tmp_path))  # the mirror has another split only; tests are offline


@pytest.mark.parametrize(
    ("text", "answer", "right", "strict"),
    [
        ("Water cools. The answer is wet palms.", "wet palms", True, True),
        ("The answer is (B).", "wet palms", False, False),  # LaTRO's authors count the option's text only ...
        ("The answer is not dry palms but wet palms, which cool.", None, True, False),  # ... wherever it stands
        ("The answer is C", "oil", False, False),
        ("The answer is soap.", None, False, False),
    ],
)
def test_a_chat_models_choice_is_graded_as_latros_authors_do(tmp_path, text, answer, right, strict) -> None:
    task = in_chat(arc_task(tmp_path))
    example = read_split(task, "dev", str(tmp_path))[0]
    sample = make_sample(task, example, text, 5, -1.0)
    assert (sample.answer, sample.correct, sample.correct_strict) == (answer, right, strict)


def test_without_a_named_grader_a_label_names_its_option(tmp_path) -> None:
    config = load_task("arc_challenge", CONFIG).config
    plain = config.model_copy(update={"chat": config.chat.model_copy(update={"grader": "phrase"})})
    task = in_chat(AnswerTask(plain, CONFIG / "tasks/arc_challenge.yaml"))
    gold = "(A) dry palms\n(B) wet palms\n#### wet palms"
    assert task.grade("The answer is (B).", gold)
    assert not task.grade("The answer is not dry palms but wet palms, which cool.", gold)


@pytest.mark.parametrize(
    ("text", "answer", "right", "strict"),
    [
        ("So 24 clips. The answer is 24.", "24", True, True),
        ("The answer is 20 + 4 = 24.", "20", False, False),
        ("The answer is 24 = 20 + 4.", "24", True, False),
        ("She sold 48 / 2 = 24", "24", True, False),
        ("none", None, False, False),
    ],
)
def test_a_chat_models_number_is_graded_as_latros_authors_do(text, answer, right, strict) -> None:
    sample = make_sample(in_chat(load_task("gsm8k", CONFIG)), gsm8k_example(), text, 5, -1.0)
    assert (sample.answer, sample.correct, sample.correct_strict) == (answer, right, strict)


def test_a_grader_of_another_kind_of_answer_is_refused(tmp_path) -> None:
    with pytest.raises(UserError, match=r"chat\.grader: latro_option reads multiple_choice answers, .* are numeric"):
        own_task(tmp_path, more="chat: {grader: latro_option}")


def test_without_a_chat_template_arc_answers_behind_the_marker(tmp_path) -> None:
    task = arc_task(tmp_path)
    example = read_split(task, "dev", str(tmp_path))[0]
    assert task.solution_text(example) == "#### wet palms"
    assert task.grade("#### wet palms", example.answer)
    assert not task.grade("#### oil", example.answer)
    assert task.rationale_stops() == ["####"]
    with pytest.raises(UserError, match="GRACE cannot be trained"):
        task.step_correct("a", "b")


# ---------------------------------------------------------------- word problems in chat


def gsm8k_example() -> Example:
    return Example(
        id="g",
        question="How many clips?",
        answer="She sold 48/2 = <<48/2=24>>24 clips.\n#### 24",
        steps=["She sold 48/2 = <<48/2=24>>24 clips"],
        final_answer="24",
        split="train",
        source="",
    )


def test_a_chat_model_solves_word_problems_in_prose() -> None:
    task, example = in_chat(load_task("gsm8k", CONFIG)), gsm8k_example()
    assert task.solution_text(example) == "She sold 48/2 = 24 clips\nThe answer is 24."
    assert task.grade("24 clips. The answer is 24.", example.answer)
    assert task.extract("Then #### 7") == "7"
    turns = task.messages("How many?", [example])
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
    assert turns[-1]["content"] == "How many? Let's think step by step."
    assert turns[1]["content"] == task.solution_text(example)
    with pytest.raises(UserError, match="no '#### number'"):
        task.grade("The answer is 1.", "no marker")


def test_direct_questions_have_direct_examples() -> None:
    task = in_chat(load_task("arc_challenge", CONFIG))
    direct = task.messages("Which? Options: ['a', 'b']", direct=True)[0]["content"]
    assert "Do not include any text after" in direct
    assert "step by step" not in direct
    assert "step by step" in task.messages("Which?")[0]["content"]


def test_a_task_without_demonstrations_shows_training_examples() -> None:
    task = load_task("arithmetic", CONFIG)
    assert demonstrations(task, 2) == read_split(task, "train", limit=2)
