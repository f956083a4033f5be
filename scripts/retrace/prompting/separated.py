"""Question, steps and answer as one text with separators: what the models of implicit chain of thought read and write.

    question <end> steps <end> #### answer <end>        explicit_cot, and what the teacher's states are taken from
    question <end> #### answer <end>                    no_cot, and the student

The separator is the tokenizer's end token, as in the authors' code, and white space stays as the data has it; so a
released checkpoint sees the tokens that it was trained on. A model of the layout `explicit_cot` therefore writes two end
tokens, the other one.
"""

from collections.abc import Sequence

from retrace.errors import UserError

END_TOKENS = {"no_cot": 1, "explicit_cot": 2}  # how many a model of the layout writes


def prompt_text(question: str, end: str) -> str:
    """The model's input; `end`: the text of the separator."""
    return f" {question} {end}"


def whole_text(question: str, steps: str, answer: str, end: str) -> str:
    """Question, steps and answer with its marker; steps may be empty."""
    return f"{prompt_text(question, end)} {steps} {end} {answer} {end}"


def separators(ids: Sequence[int], end_id: int, wanted: int, name: str) -> list[int]:
    """The positions of the `wanted` end tokens of a row, the last of which closes it.

    Raises UserError naming the row where there are others: a row that was cut, or a text that holds the separator.
    """
    found = [place for place, token in enumerate(ids) if token == end_id]
    if len(found) == wanted + 1 and found[-1] == found[-2] + 1 == len(ids) - 1:
        found.pop()  # a tokenizer that adds an end token to every text
    if len(found) != wanted:
        raise UserError(
            f"{name}: {len(found)} separators among its {len(ids)} tokens, {wanted} are needed (behind question, steps "
            "and answer): the row was cut, or its text holds the end token; raise max_length or mend the row"
        )
    return found
