"""Worked steps in prose whose answer is a word or a few (last letters, tracked objects, yes or no with reasons)."""

import re
from collections.abc import Sequence
from typing import Any

from retrace.errors import UserError
from retrace.tasks import answers, golds, steps
from retrace.tasks.family import Family
from retrace.tasks.question_files import right_choice
from retrace.tasks.raw_rows import field_of
from retrace.tasks.row_formats import worked

_MOST_WORDS = 6  # of an answer that stands alone: "The Fellowship of the Ring"
_WORDS = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ARTICLES = frozenset(("a", "an", "the"))
_OPENERS = frozenset(("so", "then", "thus", "therefore", "hence", "now", "and", "next", "finally"))
_LINK = re.compile(r"\s(?:is|are|equals|gives|becomes)\s|\s*=\s*")
_NAME = re.compile(r"[\"“'‘`]([^\"”'’`]+)[\"”'’`]|\b([A-Z][\w-]*)")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without articles and without the word that joins it to what came before."""
    words = [word for word in map(str.casefold, _WORDS.findall(text)) if word not in _ARTICLES]
    return words[1:] if words[:1] and words[0] in _OPENERS else words


def conclusion(step: str) -> tuple[frozenset[str], list[str]] | None:
    """What a step with one `is` or `=` is about (names and quoted words before it) and what it says of that; else None."""
    parts = _LINK.split(step)
    if len(parts) != 2:
        return None
    named = (quoted or name for quoted, name in _NAME.findall(parts[0]))
    about = frozenset(name.casefold() for name in named if name.casefold() not in _ARTICLES | _OPENERS)
    said = words_of(parts[1])
    return (about, said) if said else None


def step_correct(step: str, reference_step: str) -> bool:
    """Whether two steps say the same: the same words; or the same value of the same thing, where each states one value."""
    if words_of(step) == words_of(reference_step):
        return bool(words_of(step))
    ours, theirs = conclusion(step), conclusion(reference_step)
    if ours is None or theirs is None or ours[1] != theirs[1]:
        return False
    return ours[0] == theirs[0] or not ours[0] or not theirs[0]


# ---------------------------------------------------------------- the files of Kojima et al. 2022


def _last_letters(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """The last letters of the words of a name, joined; each letter is a step. No steps where they do not come to it."""
    question, answer = field_of(where, row, "question"), field_of(where, row, "answer").strip()
    quoted = re.search(r'"([^"]+)"', question)
    names = quoted[1].split() if quoted else []
    lines = [f'The last letter of "{name}" is "{name[-1]}".' for name in names]
    lines.append(f'Put together they are "{answer}".')
    if "".join(name[-1] for name in names) != answer:
        lines = []
    return question, "\n".join([*lines, f"{steps.MARKER} {answer}"])


_HELD = re.compile(r"\b(Alice|Bob|Claire) (has|gets|is playing|is dancing with) (?:an? )?([^,.:]+?)(?=,|\.|$)")
_SWAP = re.compile(r"(?:First|Then|Finally), (\w+) and (\w+) ([^.]+)\.")


def _tracked(where: str, row: dict[str, Any]) -> tuple[str, str]:
    """BIG-bench's tracking of shuffled objects: the right choice; who holds what after each swap is a step."""
    question = field_of(where, row, "input").strip()
    answer = right_choice(where, row).strip().rstrip(".")
    rest = question.partition(":")[2]
    start, _, _ = rest.partition(". ")
    held = {who: (verb, what) for who, verb, what in _HELD.findall(start)}
    asked = re.search(r"(Alice|Bob|Claire)\b[^.]*$", question)
    lines = []
    for first, second, trade in _SWAP.findall(rest):
        if not {first, second} <= held.keys():
            break
        held[first], held[second] = held[second], held[first]
        state = ", ".join(_holding(who, *held[who]) for who in sorted(held))
        lines.append(f"{first} and {second} {trade}: {state}.")
    if not asked or not lines or words_of(held.get(asked[1], ("", ""))[1]) != words_of(answer):
        lines = []
    return question, "\n".join([*lines, f"{steps.MARKER} {answer}"])


def _holding(who: str, verb: str, what: str) -> str:
    article = "the " if verb == "has" else ""
    return f"{who} {'has' if verb == 'gets' else verb} {article}{what}"


class WorkedWords(Family):
    """Solutions are sentences; the answer is a word or a few, whatever their case. A step is judged by what it says."""

    name = "worked_words"
    tells_states = True
    cuts_references = True
    final_kind = "word"
    formats = (
        worked("last_letters", _last_letters, layout="document"),
        worked("tracked_objects", _tracked, layout="document"),
    )

    def final_of(self, tail: str) -> str | None:
        """All words of the text, on one line."""
        return answers.plain(tail) or None

    def bare_final(self, answer: str) -> str | None:
        """A few words on one line; more are a solution that lacks its answer."""
        return None if "\n" in answer or len(answer.split()) > _MOST_WORDS else self.final_of(answer)

    def body_and_final(self, where: str, solution: str) -> tuple[str, str]:
        """A row's solution and its answer. Raises FaultyAnswer where there is none, or where something follows it."""
        body, final = super().body_and_final(where, solution)
        tail = solution.partition(steps.MARKER)[2].strip()
        if "\n" in tail:
            raise golds.FaultyAnswer(
                f"{where}: behind '{steps.MARKER}' stands {tail[:60]!r}; end the row with one answer on one line"
            )
        return body, final

    def extract(self, text: str) -> str | None:
        """The words behind the first `####`; where there is none, those that the text states as its answer."""
        _, marker, tail = text.partition(steps.MARKER)
        if marker:
            return answers.plain(tail.strip().partition("\n")[0]) or None
        return answers.stated_words(text, [])

    def _reference(self, gold: str) -> str:
        answer = self.extract(gold) if steps.MARKER in gold else None
        if answer is None:
            raise UserError(f"the reference solution has no '{steps.MARKER} word': {gold[-80:]!r}; mend the data")
        return answer

    def grade(self, text: str, gold: str) -> bool:
        """Whether the text's answer is the reference's, whatever its case, quotes and full stop."""
        return answers.same_words(self.extract(text), self._reference(gold))

    def grade_strict(self, text: str, gold: str) -> bool:
        """Right only where the text holds one `####` and ends in it and the answer."""
        reference = self._reference(gold)
        tail = answers.final_line(text, [steps.MARKER])
        return text.count(steps.MARKER) == 1 and tail is not None and answers.same_words(tail, reference)

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str]) -> bool:
        """Whether both steps say the same."""
        return step_correct(step, reference_step)
