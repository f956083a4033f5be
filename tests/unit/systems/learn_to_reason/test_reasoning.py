"""What a student learns of a teacher's rationale: the reasoning in plain lines, no answer and no marks of a markup."""

import re

import pytest

from retrace.schemas import Example
from retrace.systems.learn_to_reason.feedback import ACCEPTED, judge
from retrace.systems.learn_to_reason.lessons import in_task_form
from retrace.systems.learn_to_reason.options import Feedback
from retrace.systems.learn_to_reason.reasoning import program_lines, reasoning_lines
from retrace.systems.learn_to_reason.teachers.base import Response
from retrace.tasks.load import load_task

TASK = load_task("gsm8k", "config")
PENS = Example(
    id="pens", question="How many pens?", answer="#### 18", steps=[], final_answer="18", split="train", source=""
)
PARK = PENS.model_copy(
    update={"question": "Where is grass? Answer choices: (a) bank (b) park", "answer": "#### b", "final_answer": "b"}
)
PLAIN = ["There are 3 bags", "Each has 6 pens, so 3*6=18."]

# Rationale, and the steps that it becomes.
RATIONALES = {
    "answer line": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\nAnswer: 18", PLAIN),
    "bold answer line": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\n**Answer:** 18", PLAIN),
    "final answer": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\nFinal answer: 18", PLAIN),
    "blank lines and a check": (
        "There are 3 bags.\n\nEach has 6 pens, so 3*6=18.\n\n#### 18\n\nCheck: 18/3=6.\nHope this helps!",
        PLAIN,
    ),
    "answer below its word": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\n\n### Answer\n\n**18 pens**", PLAIN),
    "headings, list and formula": (
        "## Solution\n\n**Step 1: Count the bags**\nThere are **3** bags.\n\n### Step 2: Multiply\n1. Each has 6 pens:\n"
        "   \\[\n   3 \\times 6 = 18 \\text{ pens}\n   \\]\n\nTherefore, the answer is \\(\\boxed{18}\\).",
        ["There are 3 bags", "Each has 6 pens:", "3 * 6 = 18 pens"],
    ),
    "table": (
        "| Item | Count |\n|---|---:|\n| bags | 3 |\n| pens | 3*6=18 |\n| **Answer** | 18 |\n\n**Answer: 18**",
        ["Item: bags, Count: 3", "Item: pens, Count: 3*6=18"],
    ),
    "table without outer bars": (
        "Item | Count\n--- | ---\nbags | 3\n\nSo 3*6=18.\nAnswer: 18",
        ["Item: bags, Count: 3", "So 3*6=18."],
    ),
    "answer first": (
        "**Answer: 18**\n\nThere are 3 bags.\nEach has 6 pens, so 3*6=18.",
        PLAIN,
    ),
    "sentence of the answer with its calculation": (
        "There are 3 bags.\nSince each has 6 pens, the answer is 3*6=18.",
        ["There are 3 bags", "Since each has 6 pens, 3*6=18."],
    ),
    "sentence behind the reasoning": (
        "There are 3 bags. So 3*6=18. Therefore, the answer is 18. I am sure.",
        ["There are 3 bags", "So 3*6=18"],
    ),
    "box alone": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\n\\[\\boxed{18 \\text{ pens}}\\]", PLAIN),
    "json": (
        '```json\n{"reasoning": ["There are 3 bags.", "Each has 6 pens, so 3*6=18."], "answer": 18}\n```',
        PLAIN,
    ),
    "answer alone in the first line": (
        "**18**\n\n**Explanation:** There are 3 bags.\nEach has 6 pens, so 3*6=18.",
        PLAIN,
    ),
    "ticks and struck text": (
        "There are ~~4~~ 3 bags. ✅\nEach has 6 pens, so 3*6=18. ✅\n**Final answer: 18** 🎉",
        PLAIN,
    ),
    "answer tag": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\n<answer>18</answer>", PLAIN),
    "short answer line": ("There are 3 bags.\nEach has 6 pens, so 3*6=18.\nA: 18", PLAIN),
    "thoughts": ("<think>Maybe 5?\nAnswer: 5</think>There are 3 bags.\nEach has 6 pens, so 3*6=18.\nAnswer: 18", PLAIN),
    "quote, code and rule": (
        "> There are 3 bags.\n\n---\n```\n3*6 = 18\n```\nAnswer: `18`",
        ["There are 3 bags", "3*6 = 18"],
    ),
    "aligned equations": (
        "$$\n\\begin{aligned}\nx &= 3 \\cdot 6 \\\\\n&= 18\n\\end{aligned}\n$$\nAnswer: $18$",
        ["x = 3 * 6 = 18"],
    ),
    "another question": (
        "There are 3 bags.\nEach has 6 pens, so 3*6=18.\nAnswer: 18\n\nQuestion: Next?\nAnswer: 5",
        PLAIN,
    ),
    "answer behind a sentence": ("There are 3 bags. Each has 6 pens, so 3*6=18. Answer: 18", [*PLAIN[:1], PLAIN[1][:-1]]),
    "answer first in its sentence": (
        "There are 3 bags.\nEach has 6 pens, so 3*6=18.\nTherefore, 18 is the answer.",
        PLAIN,
    ),
    "calculation that is the answer": (
        "There are 3 bags.\nThus 3*6=18 is the answer.",
        ["There are 3 bags", "Thus 3*6=18."],
    ),
    "bold steps and an arrow": (
        "**Step 1:** There are 3 bags.\n**Step 2:** Each has 6 pens, so 3*6=18.\n=> **Answer:** 18 pens",
        PLAIN,
    ),
    "ticks and line ends of another system": (
        "✅ There are 3 bags.\r\n✅ Each has 6 pens, so 3*6=18.\r\n\r\n✅ **Final Answer: 18**\r\n",
        PLAIN,
    ),
    "sentences in bold": (
        "**There are 3 bags in all**\n**Each has 6 pens, so 3*6=18.**\n\n**18**",
        ["There are 3 bags in all", "Each has 6 pens, so 3*6=18."],
    ),
    "HTML": ("There are <b>3</b> bags.<br>Each has 6&nbsp;pens, so 3*6=18.<br>Answer: 18", PLAIN),
    "the project's own form": ("<<3+3=6>> | <<6*3=18>> | #### 18", ["<<3+3=6>>", "<<6*3=18>>"]),
    "money is no formula": (
        "2 pens at $1 each are 2*$1=$<<2*1=2>>2.\nThat and $16 are $18.\nAnswer: 18",
        ["2 pens at $1 each are 2*$1=$<<2*1=2>>2", "That and $16 are $18."],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "parts"), RATIONALES.values(), ids=RATIONALES)
def test_the_training_text_is_the_reasoning(text: str, parts: list[str]) -> None:
    form = in_task_form(TASK, text, PENS)
    assert TASK.split_steps(form) == parts
    assert form.endswith("| #### 18")
    assert not re.search(r"answer|\*\*|^#|\\|```|<think|\$\$", form.removesuffix("#### 18"), re.IGNORECASE)


@pytest.mark.parametrize("name", RATIONALES)
def test_such_rationales_are_accepted(name: str) -> None:
    text, _ = RATIONALES[name]
    assert judge(TASK, PENS, Response(text, "teacher", None, "stop"), Feedback()) == ACCEPTED


@pytest.mark.parametrize("name", RATIONALES)
def test_in_the_authors_form_the_reasoning_is_one_line(name: str) -> None:
    task = TASK.in_form("learn_to_reason_zero_shot", "decoder_only")
    text = in_task_form(task, RATIONALES[name][0], PENS)
    body, line_end, answer = text.partition("\n")
    assert (line_end, answer) == ("\n", "Answer: 18")
    assert not re.search(r"answer:|\*\*|#|\\|\| |```|<think", body, re.IGNORECASE)
    assert task.grade(text, PENS.answer)


@pytest.mark.parametrize("form", ["steps", "learn_to_reason_zero_shot"])
@pytest.mark.parametrize(
    ("text", "finish", "verdict"),
    [
        ("There are 3 bags.\n\nEach has 6 pens, so 3*6=18.\n\nAnswer: 18", "stop", ACCEPTED),
        ("There are 3 bags.\n\nSo 18 pens.\n\nTherefore, the answer is 18.", "stop", ACCEPTED),
        ("There are 3 bags.\n\nEach has 6 pens.\n\n**Answer:** 17", "stop", "wrong_answer"),
        ("There are 3 bags.\nAnswer: 18\n\nWait, that was wrong.\n\nAnswer: 17", "stop", "wrong_answer"),
        ("<think>There are 3 bags. Answer: 18", "length", "unfinished"),
        ("<think>There are 3 bags. Answer: 18", "stop", "no_answer"),
        ("<think>There are 3 bags of 6.</think>\n\n**Answer:** 18", "stop", "no_rationale"),
        ("**Answer:** 18", "stop", "no_rationale"),
        ("There are some bags. The answer is not clear.", "stop", "no_answer"),
    ],
)
def test_verdicts(form: str, text: str, finish: str, verdict: str) -> None:
    task = TASK.in_form(form, "decoder_only")
    assert judge(task, PENS, Response(text, "teacher", None, finish), Feedback()) == verdict


@pytest.mark.parametrize(
    "answer", ["**(b)**", "**B**.", "\\boxed{b}", "\\text{(b)}", "option B", "park", "**park**", "(b) park"]
)
def test_a_choice_in_any_dress_is_accepted(answer: str) -> None:
    task = load_task("commonsense_qa", "config")
    text = f"Grass grows in a park.\n\nAnswer: {answer}"
    assert judge(task, PARK, Response(text, "teacher", None, "stop"), Feedback()) == ACCEPTED
    assert in_task_form(task, text, PARK) == "Grass grows in a park | #### b"


def test_the_limit_of_a_rationale_is_without_its_thoughts() -> None:
    thoughts = f"<think>{'hm ' * 3000}</think>"
    response = Response(f"{thoughts}There are 3 bags.\n3*6=18.\nAnswer: 18", "teacher", None, "stop")
    assert judge(TASK, PENS, response, Feedback()) == ACCEPTED
    assert judge(TASK, PENS, response, Feedback(max_characters=20)) == "too_long"


def test_of_a_program_only_the_result_and_the_fence_are_left_out() -> None:
    text = "```python\nx = 2 ** 3\nanswer = x * __import__\n```\nAnswer: 8"
    assert program_lines(text) == ["x = 2 ** 3", "answer = x * __import__"]


def test_headings_with_a_calculation_stay() -> None:
    assert reasoning_lines("### Step 1: 3*6 = 18\nDone.\nAnswer: 18") == ["3*6 = 18", "Done."]
