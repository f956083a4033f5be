"""The kinds of final answers in free text: a number, an option, yes or no, words. Each reads answers and compares them."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from retrace.tasks import answers
from retrace.tasks.answers import Kind
from retrace.text.numbers import exact, numbers_in, same_value


class AnswerKind:
    """A kind of answers, and the plain one: words, equal whatever their case, quotes and full stop."""

    name: ClassVar[Kind] = "exact_match"
    wanted = "answer"  # what a message says is missing
    graders: ClassVar[
        tuple[str, ...]
    ] = ()  # whose accuracies every result reports in addition to the paper's and the strict one

    def options(self, reference: str) -> dict[str, str]:
        """The options between which a question lets one choose, from its reference; none for other kinds."""
        return {}

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        """The answer that a text states, behind one of the phrases for instance; None where it states none."""
        return answers.read_words(text, phrases)

    def same(self, found: str | None, right: str, options: Mapping[str, str]) -> bool:
        """Whether what `read` found is the right answer, as the reference states it, or as it would be read in a text."""
        return answers.same_words(found, right) or answers.same_words(found, answers.read_words(right, []) or right)

    def stated(self, answer: str) -> bool:
        """Whether this can be a right answer of the kind."""
        return bool(answer)

    def key(self, answer: str) -> str | None:
        """The text that equal answers share in a vote; None: as numbers and words do everywhere (Task.canonical)."""
        return None

    def ends_in(self, text: str, phrases: Sequence[str], right: str) -> bool:
        """Whether the text ENDS in one of the phrases and exactly the right answer, a full stop aside."""
        tail = answers.final_line(text, phrases)
        return tail is not None and self._exactly(tail, right)

    def _exactly(self, tail: str, right: str) -> bool:
        return answers.same_words(tail, right)


class Number(AnswerKind):
    """Numbers, compared by value."""

    name = "numeric"
    wanted = "number"

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        """The number that a text states, else its last one."""
        return answers.read_number(text, phrases)

    def same(self, found: str | None, right: str, options: Mapping[str, str]) -> bool:
        """Whether both are the same value."""
        return answers.same_number(found, right)

    def _exactly(self, tail: str, right: str) -> bool:
        if not answers.only_number(tail):
            return False
        found, stated = exact(answers.plain(tail)), numbers_in(right)
        return found is not None and bool(stated) and same_value(found, stated[0].value)

    def stated(self, answer: str) -> bool:
        """Whether the text is a number."""
        return bool(answers.numbers_in(answer))


class Option(AnswerKind):
    """One of the options of a question, named by its text or by its label."""

    name = "multiple_choice"

    def options(self, reference: str) -> dict[str, str]:
        """Label and text of each option in the reference."""
        return answers.options_of(reference)

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        """The text of the option that is named; without known options the label or the words."""
        return answers.read_option(text, phrases, options)

    def same(self, found: str | None, right: str, options: Mapping[str, str]) -> bool:
        """Whether both name the same option."""
        return answers.same_words(found, right if options else (answers.label_or_words(right) or right))


class YesOrNo(AnswerKind):
    """Yes or no."""

    name = "yes_no"
    wanted = "yes or no"

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        """`yes` or `no`, whichever the text states."""
        return answers.read_yes_or_no(text, phrases)


class Letter(AnswerKind):
    """The letter of a choice, a to e; `options`, where they are known, give the text of each."""

    name = "letter"
    wanted = "letter"

    def read(self, text: str, phrases: Sequence[str], options: Mapping[str, str]) -> str | None:
        """The letter that a text states, in lower case."""
        return answers.read_letter(text, phrases, options)


NUMBER, OPTION, WORDS, YES_OR_NO, LETTER = Number(), Option(), AnswerKind(), YesOrNo(), Letter()
