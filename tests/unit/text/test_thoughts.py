"""What a model says, apart from what it thinks."""

import pytest

from retrace.text.thoughts import split_thoughts, without_thoughts


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("<think>3 and 4?</think>\n\nIt is 7.", "\n\nIt is 7.", "3 and 4?"),
        ("<think>\n\n</think>\n\nIt is 7.", "\n\nIt is 7.", ""),
        ("3 and 4?\n</think>\nIt is 7.", "\nIt is 7.", "3 and 4?"),
        ("It is 5. </think> No: 6. </think> It is 7.", " It is 7.", "It is 5.\nNo: 6."),
        ("<think>3 and 4? it takes", "", "3 and 4? it takes"),
        ("<think>one <think>two</think> It is 7.", " It is 7.", "one\ntwo"),
        ("<THINKING>a</THINKING>One.<thinking>b</thinking> Two.", "One. Two.", "a\nb"),
        ("[THINK]a[/THINK]One.", "One.", "a"),
        ("<|begin_of_thought|>a<|end_of_thought|>One.", "One.", "a"),
        ("◁think▷a◁/think▷One.", "One.", "a"),
        ("<seed:think>a</seed:think>One.", "One.", "a"),
        ("<think>", "", ""),
        ("</think>", "", ""),
        ("<reasoning>3 + 4</reasoning> is 7.", "<reasoning>3 + 4</reasoning> is 7.", ""),
        ("One < 2 and 3 > 2, <thinkers> say.", "One < 2 and 3 > 2, <thinkers> say.", ""),
        (" as it came ", " as it came ", ""),
        ("", "", ""),
    ],
)
def test_thoughts_are_kept_apart(text: str, said: str, thought: str) -> None:
    assert split_thoughts(text) == (said, thought)
    assert without_thoughts(text) == said


def test_a_long_text_takes_no_long_time() -> None:
    """A pattern that looks back for the beginning of a thought would need hours."""
    text = "<think" * 200_000 + "</think>It is 7."
    assert split_thoughts(text)[0] == "It is 7."
