"""Learn-to-Reason's own text form: worked examples read as data, prompts, training texts and graders."""

import json
from pathlib import Path

import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

import decode
import fetch_examples
import mark_exam
import train_learn_to_reason
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.prompting.prompting import Prompting
from retrace.schemas import Example, MarkedAnswer, Prediction, TeacherRationale
from retrace.systems.learn_to_reason.form import examples_of
from retrace.systems.learn_to_reason.lessons import make_lessons
from retrace.systems.learn_to_reason.options import LearnToReasonTraining
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task
from retrace.text.constants import string_constant
from retrace.training.data import solution_rows

CONFIG = Path(__file__).parents[4] / "config"
# Of the form of the authors' file; run, it would end the test.
AUTHORS = '''import nowhere
WORKED = """Question: How many legs have 2 cats?
Reasoning: A cat has 4 legs, so 2 cats have 2 * 4 = 8 legs.
Answer: 8
"""
OTHER = 'Question: a\\nAnswer: b\\n'
COMPUTED = WORKED + OTHER
TABLE = {"gsm8k": "no text"}
for name in TABLE: TABLE[name] = WORKED
raise SystemExit("this file was run")
'''
TASK = """name: pens
title: Pens
family: {family}
format: {format}
prompt: "Q: {{question}}"
answer_prompt: "A:"
learn_to_reason: {{file: demos.py, constant: WORKED}}
splits: {{train: {{file: train.jsonl}}}}
"""
LAYOUTS = {"word_problems": "question_answer", "yes_no": "strategy_qa", "lettered_choice": "commonsense_qa"}
BLOTTER = "What absorbs ink? Answer choices: (a) shirt pocket (b) blotter (c) desk"


def form_of(folder: Path, family: str = "word_problems", zero_shot: bool = False):
    """A task of a user in the authors' form, with examples as fetch_examples.py brings them."""
    (folder / "demos.py").write_text(AUTHORS)
    (folder / "pens.yaml").write_text(TASK.format(family=family, format=LAYOUTS[family]))
    fetch_examples.main(["--task-file", f"{folder}/pens.yaml", "--output", f"{folder}/examples.txt"])
    form = "learn_to_reason_zero_shot" if zero_shot else f"learn_to_reason:{folder}/examples.txt"
    return load_task(folder / "pens.yaml").in_form(form, "decoder_only")


def example(
    question: str = "Tom has 3 pens and buys 4.", steps=("He has <<3+4=7>>7 pens",), final: str = "7"
) -> Example:
    answer = "\n".join([*steps, f"#### {final}"])
    return Example(
        id="one", question=question, answer=answer, steps=list(steps), final_answer=final, split="train", source=""
    )


# ---------------------------------------------------------------- the authors' examples


def test_a_file_of_texts_is_read_and_never_run(tmp_path) -> None:
    path = tmp_path / "demos.py"
    path.write_text(AUTHORS)
    assert string_constant(path, "WORKED").startswith("Question: How many legs")
    assert string_constant(path, "OTHER") == "Question: a\nAnswer: b\n"
    for name in ("COMPUTED", "TABLE", "nowhere"):
        with pytest.raises(UserError, match=rf"demos\.py: no text constant '{name}'; it has WORKED, OTHER"):
            string_constant(path, name)
    for broken in ("WORKED = '", "(" * 5000, "\0"):
        path.write_text(broken)
        with pytest.raises(UserError, match=r"demos\.py: cannot be read as Python text"):
            string_constant(path, "WORKED")
    path.write_text(f"WORKED = '{'x' * 1_000_000}'")
    with pytest.raises(UserError, match="has more than 1,000,000 bytes"):
        string_constant(path, "WORKED")


def test_nobody_is_tested_on_a_question_that_the_examples_show(tmp_path) -> None:
    form_of(tmp_path)
    rows = [
        example(question).model_copy(update={"id": name})
        for name, question in [("one", "How many legs have 3 cats?"), ("two", "how many legs have  2 cats")]
    ]
    words = [
        "--task-file",
        f"{tmp_path}/pens.yaml",
        "--output",
        f"{tmp_path}/again.txt",
        "--test",
        f"{tmp_path}/test.jsonl",
    ]
    write_jsonl(tmp_path / "test.jsonl", rows[:1])
    fetch_examples.main(words)
    write_jsonl(tmp_path / "test.jsonl", rows)
    with pytest.raises(UserError, match=r"learn_to_reason show two with the answer; leave these .*without: \[two\]"):
        fetch_examples.main(words)


def test_where_the_examples_come_from_is_checked(tmp_path) -> None:
    task = form_of(tmp_path)
    assert (tmp_path / "examples.txt").read_text() == task.examples == examples_of(task.config, task.path)
    for source, message in (
        ("{constant: A}", "give either a url or a file"),
        ("{url: 'https://host/x.py', constant: A}", "a url needs the sha256 of its file"),
    ):
        text = TASK.format(family="word_problems", format="question_answer")
        (tmp_path / "bad.yaml").write_text(
            text.replace("pens\n", "bad\n", 1).replace("{file: demos.py, constant: WORKED}", source)
        )
        with pytest.raises(UserError, match=message):
            load_task(tmp_path / "bad.yaml")
    with pytest.raises(UserError, match=r"mathqa\.yaml: learn_to_reason: no worked examples are named"):
        fetch_examples.main(["--task-file", str(CONFIG / "tasks/mathqa.yaml"), "--output", str(tmp_path / "none.txt")])


def test_all_five_tasks_have_the_authors_examples() -> None:
    names = {
        "gsm8k": "PROMPTS_GSM8K",
        "multiarith": "PROMPTS_MultiArith",
        "multiarith_kojima": "PROMPTS_MultiArith",
        "svamp": "PROMPTS_SVAMP",
        "svamp_kojima": "PROMPTS_SVAMP",
        "commonsense_qa": "PROMPTS_CQA",
        "strategy_qa": "PROMPTS_SQA",
    }
    sources = {name: load_task(name, CONFIG).config.learn_to_reason for name in names}
    assert {name: source.constant for name, source in sources.items()} == names
    assert len({(source.url, source.sha256) for source in sources.values()}) == 1


@pytest.mark.parametrize(
    ("name", "form", "family", "message"),
    [
        ("gsm8k", "learn_to_reason", "decoder_only", "needs the file with the worked examples"),
        ("gsm8k", "learn_to_reason_zero_shot", "encoder_decoder", "is for decoder-only models"),
        (
            "mathqa",
            "learn_to_reason_zero_shot",
            "decoder_only",
            "of family lettered_choice, word_problems, yes_no",
        ),
    ],
)
def test_what_has_no_such_form(name: str, form: str, family: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_task(name, CONFIG).in_form(form, family)


# ---------------------------------------------------------------- texts


def test_prompts(tmp_path) -> None:
    task = form_of(tmp_path)
    assert task.prompt("Tom  has 3 pens.") == f"{task.examples}\nQuestion: Tom has 3 pens.\nReasoning: "
    assert Prompting(task, "decoder_only", None).stops == ["\n\n"]
    assert not task.config.calculator
    assert load_task(tmp_path / "pens.yaml").config.calculator, "the task itself keeps it"
    choice = form_of(tmp_path, "lettered_choice")
    asked = "Question: What absorbs ink?\nAnswer Choices:\n(a) shirt pocket\n(b) blotter\n(c) desk\nAnswer:"
    assert choice.prompt(BLOTTER) == f"{choice.examples}\n{asked} "
    assert form_of(tmp_path, "lettered_choice", zero_shot=True).prompt(BLOTTER) == asked
    assert Prompting(choice, "decoder_only", None).stops == ["\n"], "the authors read the first line alone"
    with pytest.raises(UserError, match="lists no choices"):
        choice.prompt("What absorbs ink?")


@pytest.mark.parametrize(
    "text",
    [
        "He has 3 and 4.\nSo he has 7.\nAnswer: 7",
        "He has 3 and 4. So he has 7.",
        " He has 3 and 4.\n  So he has 7.\nAnswer: 7\n",
        "He has 3 and 4 | So he has <<3+4=7>>7 | #### 7",
        "He has 3 and 4.\nSo he has 7.\n#### 7",
    ],
)
def test_a_teachers_rationale_becomes_one_line_and_the_answer_stands_once(text: str, tmp_path) -> None:
    assert form_of(tmp_path).written(text, example()) == "He has 3 and 4. So he has 7.\nAnswer: 7"


def test_references_and_other_answers(tmp_path) -> None:
    task = form_of(tmp_path)
    assert task.solution_text(example()) == "He has 7 pens.\nAnswer: 7"
    assert task.solution_text(example(steps=["<<3+4=7>>"])) == "3+4=7.\nAnswer: 7"
    assert task.reference_steps(example(steps=["One", "Two."])) == ["One", "Two"]
    assert task.join_steps(["One", "Two"], "7") == "One. Two.\nAnswer: 7"
    assert task.join_steps(["One", "Two"]) == "One. Two."
    assert task.split_steps("One. Two.\nAnswer: 7") == ["One", "Two"]
    assert task.split_steps("Answer: 7") == []
    assert task.official_mistake("He has 8.\nAnswer: 8", example()) == "He has 8. Answer: 8\nAnswer: 7"
    yes = form_of(tmp_path, "yes_no")
    assert yes.solution_text(example(steps=["Cats purr"], final="yes")) == "Cats purr.\nAnswer: Yes"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (" Ink is wet. Therefore, the answer is blotter (b).", "Ink is wet. Therefore, the answer is blotter (b)."),
        ("Ink is wet.\nAnswer: (b)", "Ink is wet. Therefore, the answer is blotter (b)."),
        ("Not (a), that is cloth.\nIt is (b).", "Not a, that is cloth. It is b. Therefore, the answer is blotter (b)."),
    ],
)
def test_a_choice_is_the_first_letter_in_brackets_of_one_line(text: str, written: str, tmp_path) -> None:
    task = form_of(tmp_path, "lettered_choice")
    found = task.written(text, example(BLOTTER, final="b"))
    assert found == written
    assert task.extract(found) == "b"


@pytest.mark.parametrize(
    ("family", "text", "gold", "paper", "strict"),
    [
        ("word_problems", "So 7.\nAnswer: 7", "7", True, True),
        ("word_problems", "So 7.\nAnswer: 7.0 pens", "7", True, False),
        ("word_problems", "So 7.\nAnswer: 1,200", "1200", True, True),
        ("word_problems", "It is 3 and then 7", "7", True, False),
        ("word_problems", "So 7.\nAnswer: 8", "7", False, False),
        ("word_problems", "", "7", False, False),
        ("yes_no", "Cats purr.\nAnswer: Yes", "yes", True, True),
        ("yes_no", "Cats purr, so no", "yes", False, False),
        ("lettered_choice", "Therefore, the answer is blotter (b).", "b", True, True),
        ("lettered_choice", "Not (a), so (b).", "b", False, False),
        ("lettered_choice", "It is (b) I think", "b", True, False),
    ],
)
def test_graders(family: str, text: str, gold: str, paper: bool, strict: bool, tmp_path) -> None:
    task = form_of(tmp_path, family)
    assert task.grade(text, f"why\n#### {gold}") is paper
    assert task.grade_strict(text, f"why\n#### {gold}") is strict
    with pytest.raises(UserError, match="has no '#### answer'"):
        task.grade(text, "why")


def test_mistakes_are_learned_as_written_or_by_option_as_the_authors_do(tmp_path) -> None:
    task, asked = form_of(tmp_path), example()
    wrong = MarkedAnswer(example_id="one", text="So 8.\nAnswer: 8", answer="8", correct=False)
    for official, negative in ((False, wrong.text), (True, "So 8. Answer: 8\nAnswer: 7")):
        options = LearnToReasonTraining(official_mistakes=official)
        (lesson,) = make_lessons(task, [asked], [("one", "So 7.\nAnswer: 7")], [wrong], options)
        assert lesson.samples == lesson.positives == ["So 7.\nAnswer: 7"]
        assert lesson.negatives == [negative]


# ---------------------------------------------------------------- the scripts, with a tokenizer of bytes


def byte_model(folder: Path, task) -> None:
    """A small GPT-2 whose tokenizer writes every text, line ends included."""
    made = ByteLevelBPETokenizer(add_prefix_space=False)
    made.train_from_iterator([task.prompt("Tom has 3 pens and buys 4.")] * 4, vocab_size=400, special_tokens=["<end>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, eos_token="<end>", pad_token="<end>")
    sizes = {"n_positions": 320, "n_embd": 16, "n_layer": 1, "n_head": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
    GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **sizes, **ends)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_round_in_the_authors_form(tmp_path) -> None:
    """Exam, marks, training by accuracy and greedy answers: every prompt begins with the authors' examples."""
    task = form_of(tmp_path)
    byte_model(tmp_path / "base", task)
    (tmp_path / "tiny.yaml").write_text("name: tiny\ntitle: tiny\nfamily: decoder_only\nhub: a/b\ngenerator: base\n")
    rows = [
        example(f"Tom has {n} pens and buys 4.", [f"He has {n + 4} pens"], str(n + 4)).model_copy(
            update={"id": f"pens-{n}"}
        )
        for n in range(8)
    ]
    write_jsonl(tmp_path / "train.jsonl", rows)
    files = ["--model-file", f"{tmp_path}/tiny.yaml", "--task-file", f"{tmp_path}/pens.yaml", "--seed", "0"]
    form = ["--form", f"learn_to_reason:{tmp_path}/examples.txt"]
    asked = [*files, *form, "--data", f"{tmp_path}/train.jsonl"]

    words = ["--model", f"{tmp_path}/base", "--output", f"{tmp_path}/exam.jsonl", "--samples", "2"]
    decode.main(["exam", *asked, *words, "--max-new-tokens", "12"])
    words = ["--predictions", f"{tmp_path}/exam.jsonl", "--output", f"{tmp_path}/marks.jsonl"]
    words += ["--task-file", f"{tmp_path}/pens.yaml", "--data", f"{tmp_path}/train.jsonl"]
    mark_exam.main([*words, *form, "--report", f"{tmp_path}/marks.json"])
    marks = read_jsonl(tmp_path / "marks.jsonl", MarkedAnswer)
    assert all("\n\n" not in one.text for one in marks)
    fixed = {"mistake": None, "accepted": True, "verdict": "accepted", "responses": 1, "teacher": "oracle"}
    taught = [TeacherRationale(example_id=row.id, text=f"{row.steps[0]}.", **fixed) for row in rows]
    write_jsonl(tmp_path / "rationales.jsonl", taught)
    train_learn_to_reason.main(
        [*files, "--form", "learn_to_reason", "--examples", f"{tmp_path}/examples.txt", "--model", f"{tmp_path}/base"]
        + [word for name in ("train", "rationales", "marks") for word in (f"--{name}", f"{tmp_path}/{name}.jsonl")]
        + ["--dev", f"{tmp_path}/train.jsonl", "--state", f"{tmp_path}/state", "--output", f"{tmp_path}/round1"]
        + ["--report", f"{tmp_path}/report.json", "--keep", "accuracy", "--answer-tokens", "24", "--epochs", "50"]
        + ["--batch-size", "8", "--device-batch-size", "8", "--learning-rate", "1e-2", "--evaluations", "2"]
    )
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["questions"], report["rationales"], report["steps"]) == (8, 8, 50)
    assert report["contrasted_visits"] == 0  # one right rationale a question: nothing to draw a positive from
    curve = [json.loads(line) for line in (tmp_path / "round1/curves.jsonl").read_text().splitlines()]
    accuracies = [row["dev_accuracy"] for row in curve if "dev_accuracy" in row]

    words = ["--model", f"{tmp_path}/round1", "--output", f"{tmp_path}/out.jsonl", "--max-new-tokens", "24"]
    decode.main(["greedy", *asked, *words])
    answers = read_jsonl(tmp_path / "out.jsonl", Prediction)
    assert sum(one.correct for one in answers) / 8 == max(accuracies), "chosen by what it is then scored by"
    assert any(one.samples[0].text.startswith("He has") for one in answers)


def test_rows_are_what_decoding_sees(tmp_path) -> None:
    """The prompt ends in a blank of its own, in training as in decoding."""
    task = form_of(tmp_path)
    byte_model(tmp_path / "base", task)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path / "base")
    (row,) = solution_rows(Prompting(task, "decoder_only", tokenizer), ["Tom has 3 pens."], ["He has 7.\nAnswer: 7"])
    assert row.ids == tokenizer(task.prompt("Tom has 3 pens."))["input_ids"]
    assert tokenizer.decode(row.ids) == task.prompt("Tom has 3 pens.")
    assert tokenizer.decode(row.target) == "He has 7.\nAnswer: 7<end>"


@pytest.mark.parametrize("name", ["gsm8k", "svamp_kojima", "multiarith", "commonsense_qa", "strategy_qa"])
def test_real_references_are_right_by_both_graders(name: str, mirror: str, tmp_path) -> None:
    plain = load_task(name, CONFIG)
    (tmp_path / "examples.txt").write_text("Question: a\nAnswer: b\n")
    task = plain.in_form(f"learn_to_reason:{tmp_path}/examples.txt", "decoder_only")
    for row in read_split(plain, "dev", mirror):
        text = task.solution_text(row)
        assert task.grade(text, row.answer), row.id
        assert task.grade_strict(text, row.answer), row.id
        assert "<<" not in text
        lines = task.prompt(row.question).split("\n")
        assert lines[-1] == ("Answer: " if name == "commonsense_qa" else "Reasoning: ")
        assert [line[:4] for line in lines[-6:-1]] == [f"({letter}) " for letter in "abcde"] or name != "commonsense_qa"
