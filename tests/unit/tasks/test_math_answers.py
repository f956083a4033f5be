r"""Answers in LaTeX: what is read in a text, what is the same, and that nothing a model writes stops the evaluation."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrace.errors import UserError
from retrace.tasks import math_process
from retrace.tasks.math_answers import MATHEMATICS, boxed, latex, read_math, same_answer, trimmed, words_of, written
from retrace.tasks.math_process import LONGEST, MathProcess, math_key, same_math
from suites import first_daily

PHRASES = ["The answer is", "####"]

READ = [
    (r"So the value is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"\boxed{4}. No: x = \boxed{\sqrt{\frac{5}{2}}}", r"\sqrt{\frac{5}{2}}"),
    (r"\boxed{4}. So the answer is 5.", "5"),
    (r"The answer is 4. Check again: \fbox{5}, no, \boxed{5}", "5"),
    (r"The answer is $\boxed{\text{(C)}}$.", r"\text{(C)}"),
    ("The answer is 3/4 of a cup.", "3/4"),
    ("The answer is 5 a day", "5"),
    ("The answer is $5$ for $x=2$.", "5"),
    ("The answer is $x = 2$ or $x = 3$.", "x = 2, x = 3"),
    ("The answer is x = 2 or x = 3.", "x = 2, x = 3"),
    ("The answer is 7/20 (or 0.35)", "7/20"),
    ("The answer is $18.90.", "$18.90"),
    ("The answer is $5 for 3 at $2 each", "$5"),
    (r"The answer is $\$32{,}348$", r"\$32{,}348"),
    ("The answer is 4. Check: 2+2=4", "4"),
    ("The answer is (3, π/2).", "(3, π/2)"),
    (r"The answer is \(\sqrt{8}\).", r"\sqrt{8}"),
    ("The answer is:\n\n18", "18"),
    ("The answer is Evelyn.", "Evelyn"),
    (r"The answer is \text{even}.", r"\text{even}"),
    ("**The answer is:** **18**", "18"),
    (r"#### \frac{3}{4}", r"\frac{3}{4}"),
    ("#### $1,200", "$1,200"),
    (r"#### 11,\! 111,\! 100", r"11,\! 111,\! 100"),
    (r"#### \begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}", r"\begin{pmatrix} -1 & 0 \\ 0 & -1 \end{pmatrix}"),
    (r"The answer is |x| \le 3; that is all.", r"|x| \le 3"),
    ("We know 3.\n**Final answer:** $18$", "18"),
    ("Answer: 18 pens", "18"),
    (r"We get 3 and then \[ x = 18 \]", "x = 18"),
    ("so x is 12", "12"),
    (r"<think>\boxed{4}</think> The answer is 5", "5"),
    (r"<think>The answer is \boxed{5}", None),
    ("#### ", None),
    ("no idea", None),
    ("", None),
    (r"\boxed{", None),
    ("The answer is:\n$$\n\\frac{14}{3}\n$$", r"\frac{14}{3}"),
    ("The answer is:\n\n\\[\n5\n\\]\nDone.", "5"),
    ("**Answer:**\n\n$$x^2$$", "x^2"),
    ("### Final Answer\n\n$$\n5\n$$", "5"),
    ("The answer is\n\\begin{align*}\nx &= 5\n\\end{align*}", "x = 5"),
]


@pytest.mark.parametrize(("text", "answer"), READ)
def test_what_is_read_in_a_text(text: str, answer: str | None) -> None:
    found = read_math(text, PHRASES)
    assert found == answer


SAME = [
    (r"\frac{1}{2}", "0.5"),
    ("1/2", r"\frac12"),
    ("1200", r"1{,}200"),
    ("0.3333333", r"\frac{1}{3}"),
    ("2√3", r"2\sqrt{3}"),
    (r"\sqrt{8}", r"2\sqrt 2"),
    ("pi/2", r"\frac{\pi}{2}"),
    ("1e3", "1000"),
    ("3 1/2", "3.5"),
    ("−5", "-5"),
    ("10%", r"10\%"),
    ("90°", r"90^\circ"),
    ("$18.90", r"\$18.90"),
    ("5.4", r"5.4 \text{ cents}"),
    ("-5i+6", "6-5i"),
    ("(x+1)^2", "x^2+2x+1"),
    ("x = 5", "5"),
    ("5", "x=5"),
    ("2, 3", "3,2"),
    (r"\{2,3\}", "3, 2"),
    ("(3, π/2)", r"\left( 3, \frac{\pi}{2} \right)"),
    ("(-∞, 3)", r"(-\infty, 3)"),
    (r"[-2,7]", r"x \in [-2,7]"),
    ("1 ≤ x", r"x \ge 1"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    ("even", r"\text{even}"),
    ("Even.", "even"),
    ("(C)", r"\text{(C)}"),
    ("a circle", "circle"),
    (r"\dfrac{7}{20}", r"\frac{7}{20}"),
]
DIFFERENT = [
    ("0.33", r"\frac{1}{3}"),
    ("5", "50"),
    ("(2, 1)", "(1,2)"),
    ("seat", r"\text{east}"),
    ("five", "5"),
    ("x", "5"),
    (r"\frac{", "5"),
    ("(A)", "B"),
    ("-5", "5"),
    ("", "5"),
    (None, "5"),
    ("(1, 2)", "[1, 2]"),
    ("x > 1", r"x \ge 1"),
]


@pytest.mark.parametrize(("found", "right"), SAME)
def test_answers_that_are_the_same(found: str, right: str) -> None:
    assert same_answer(found, right)


@pytest.mark.parametrize(("found", "right"), DIFFERENT)
def test_answers_that_differ(found: str | None, right: str) -> None:
    assert not same_answer(found, right)


@pytest.mark.parametrize(
    "answers",
    [
        ("0.5", r"\frac{1}{2}", "1/2", r"\dfrac12", ".50", "x=0.5"),
        (r"2\sqrt{2}", r"\sqrt{8}", "2√2"),
        ("3, 4", "4,3", r"\{3,4\}"),
        ("x^2+2x+1", "(x+1)^2", "(1+x)(x+1)"),
        ("x > 3", "3 < x"),
        ("even", r"\text{even}", "Even"),
        ("1,200", "1200", r"1{,}200", r"\$1200"),
        ("(1, 2]", r"\left(1,2\right]"),
        ("6-5i", "-5i+6"),
    ],
)
def test_equal_answers_meet_in_a_vote(answers: tuple[str, ...]) -> None:
    assert len({MATHEMATICS.key(answer) for answer in answers}) == 1


def test_different_answers_do_not_meet_in_a_vote() -> None:
    answers = [
        "0.5",
        "5",
        "(1,2)",
        "(2,1)",
        "{1,2}",
        "[1,2]",
        "x",
        "y",
        "even",
        "odd",
        "x>3",
        "x<3",
        "-5",
        "i",
        r"\infty",
    ]
    assert len({MATHEMATICS.key(answer) for answer in answers}) == len(answers)


@pytest.mark.parametrize(
    ("text", "right", "strict"),
    [
        (r"So it is $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}", True),
        (r"So it is \[\boxed{0.5}\]", r"\frac{1}{2}", True),
        (r"So it is \boxed{0.50} pens", r"\frac{1}{2}", False),
        ("Half.\n#### 1/2", r"\frac12", True),
        ("The answer is $x^2 + 1$.", "x^2+1", True),
        ("The answer is $1 + x^2$.", "x^2+1", False),
        ("The answer is 5 or so", "5", False),
        (r"<think>\boxed{5}", "5", False),
    ],
)
def test_the_strict_grader_wants_the_answer_as_it_is_written_at_the_end(text: str, right: str, strict: bool) -> None:
    assert MATHEMATICS.ends_in(text, PHRASES, right) == strict


def test_parts_of_answers() -> None:
    assert boxed(r"\boxed{a} \boxed {\{b\}^{c}}") == r"\{b\}^{c}"
    assert boxed(r"\boxed{a") is None
    assert trimmed(r" **$\boxed{5}$**. ") == "5"
    assert trimmed("$5$ and $6$") == "$5$ and $6$"
    assert words_of("xyz w") == "xyz w"
    assert words_of("xy") is None
    assert words_of("pi") is None
    assert written(r"\left( 1,\; \dfrac{1}{2} \right)") == r"(1,\frac{1}{2})"
    assert latex("1/3") == r"$\frac{1}{3}$"
    assert latex("2e3x") == "$2e3x$"
    assert latex("2e3 + x") == r"$2 \cdot 10^{3} + x$"


@given(
    st.fractions(min_value=-10_000, max_value=10_000, max_denominator=500),
    st.sampled_from(
        ["The answer is {}.", r"So $\boxed{{{}}}$", "#### {}", "Hence the answer is: ${}$", r"\boxed{{{}}}."]
    ),
    st.booleans(),
)
def test_any_fraction_in_any_frame_is_read_as_itself(number, frame, in_latex) -> None:
    sign, number_text = "-" if number < 0 else "", f"{abs(number.numerator)}/{number.denominator}"
    if in_latex:
        number_text = rf"\frac{{{abs(number.numerator)}}}{{{number.denominator}}}"
    text = frame.format(sign + number_text)
    right = f"{number.numerator}/{number.denominator}"
    assert same_answer(read_math(text, PHRASES), right)
    assert not same_answer(read_math(text, PHRASES), f"{number.numerator + 1}/{number.denominator}")


# ---------------------------------------------------------------- hostile texts


@pytest.fixture(scope="module")
def process():
    one = MathProcess(seconds=0.4, patience=20.0)
    one.ask("key", "$1$")
    yield one
    one.close()


BOMBS = ["9^{9^{9^9}}", "(10^9)!", "(" * 450 + "1" + ")" * 450, "(x+y+z+1)^{9000}"]


@pytest.mark.parametrize("bomb", first_daily(BOMBS))
def test_a_bomb_has_no_answer_and_harms_nothing(process: MathProcess, bomb: str) -> None:
    assert process.ask("key", f"${bomb}$") is None
    assert process.ask("same", "$5$", f"${bomb}$") is not True
    assert process.ask("same", "$1/2$", "$0.5$") is True


@pytest.mark.parametrize(
    "text", ["", "$", r"\frac{", "\x00", "\ud800", "a" * 5000, "{" * 900, "\\" * 900, "$$$$", "∑∏∫"]
)
def test_texts_that_are_no_mathematics(text: str) -> None:
    assert read_math(f"The answer is {text}", PHRASES) != "5"
    assert not same_answer(text, "5")
    assert isinstance(MATHEMATICS.key(text), str)


@pytest.mark.parametrize("answer", ["1+" * LONGEST, "(" * 300, ")" * 300, r"\sqrt{" * 60 + "1" + "}" * 60])
def test_answers_of_any_length_and_depth_are_not_sent(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math_process, "_SHARED", None)  # who asked it would fail
    assert not same_math("1", answer)
    assert math_key(answer) is None


def test_threads_take_turns_and_a_killed_process_starts_again(process: MathProcess) -> None:
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda n=n: found.append(process.ask("key", f"${n}/2$"))) for n in range(2, 12, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["1", "2", "3", "4", "5"]
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    assert process.ask("key", "$1/2$") == "0.5"


def test_a_process_that_is_stuck_is_given_up(process: MathProcess) -> None:
    assert process._process is not None
    os.kill(process._process.pid, 19)  # SIGSTOP: it computes nothing
    process.patience = 0.2
    assert process.ask("key", "$1/2$") is None
    process.patience = 20.0
    assert process.ask("key", "$1/2$") == "0.5"


def test_a_forked_child_has_a_process_of_its_own(process: MathProcess) -> None:
    child = os.fork()
    if child == 0:
        same = process.ask("same", "$1/2$", "$0.5$") is True
        process.close()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert process.ask("key", "$1/2$") == "0.5"


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text("raise ImportError('no math_verify here')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(UserError, match=r"no math_verify here.*pip install -r envs/requirements\.txt"):
        MathProcess().ask("key", "$1$")


def test_what_a_library_prints_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "math_verify.py").write_text(
        "LatexExtractionConfig = dict\n"
        "def parse(*words, **options):\n"
        "    import sys\n"
        "    print('noise ' * 10_000)\n"
        "    print('noise ' * 100_000, file=sys.stderr)\n"
        "    return []\n"
        "def verify(*words, **options):\n"
        "    return False\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    noisy = MathProcess(seconds=5.0, patience=20.0)
    try:
        assert [noisy.ask("key", "$1$"), noisy.ask("same", "$1$", "$1$")] == [None, False]
        assert noisy._process is not None
        assert noisy._process.poll() is None
    finally:
        noisy.close()


def test_plain_text_is_not_parsed(process: MathProcess) -> None:
    """math-verify's reader of plain text ends in `eval`: the process reads LaTeX between delimiters alone."""
    assert process.ask("key", "1+1") is None
    assert process.ask("key", "$1+1$") == "2"
