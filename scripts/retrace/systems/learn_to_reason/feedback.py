"""Feedback: the questions that a teacher writes rationales for, and the rationales that are kept (arXiv 2310.13332)."""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from retrace.errors import UserError
from retrace.schemas import Example, MarkedAnswer, TeacherRationale
from retrace.systems.learn_to_reason.cleanup import stated_answer
from retrace.systems.learn_to_reason.exam import is_right
from retrace.systems.learn_to_reason.options import Feedback
from retrace.systems.learn_to_reason.reasoning import reasoning_lines
from retrace.systems.learn_to_reason.teachers.base import Request, Response, Teacher, estimated_tokens
from retrace.tasks.base import Task
from retrace.text.thoughts import without_thoughts

ACCEPTED = "accepted"
_REFUSAL = re.compile(r"(?:i'm|i am) sorry|^sorry|^i can(?:no|')t|^i am unable|^i'm unable|^as an ai", re.IGNORECASE)
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_FEW_WORDS = 10  # a rationale with fewer words is not judged by its language
_COMMON = 0.02  # a word in this share of the questions is common
_LEAST_COMMON = 0.05  # least share of common words in a rationale in the questions' language
_ENOUGH_QUESTIONS = 50


@dataclass(frozen=True)
class Ask:
    """One rationale to request. mistake: the student's answer that the teacher is shown; None: none."""

    example: Example
    mistake: str | None


# ---------------------------------------------------------------- selecting questions


def choose(
    examples: Sequence[Example],
    marks: Sequence[MarkedAnswer],
    options: Feedback,
    number: int,
    seed: int,
    random_count: int | None = None,
) -> list[Ask]:
    """The rationales to request in a round, in the order of the data.

    Args:
        examples: The training questions.
        marks: The graded answers of the exam.
        options: Options of feedback.
        number: Number of the round, from 1.
        seed: Seed of random choices.
        random_count: For the control: number of random questions to use instead of missed ones. They are from the exam,
            or from the training split if the exam had fewer questions.
    """
    mistakes: dict[str, list[str]] = {}
    for one in marks:
        if not one.correct:
            mistakes.setdefault(one.example_id, []).append(one.text)
    draw = random.Random(f"feedback {seed} {number}")
    if random_count is not None:
        examined = {one.example_id for one in marks}
        pool = [place for place, example in enumerate(examples) if example.id in examined]
        if random_count > len(pool):
            pool = list(range(len(examples)))
        if random_count > len(pool):
            raise UserError(f"{random_count} random questions are needed, but the training split has {len(pool)}")
        chosen = draw.sample(pool, random_count)
    else:
        everyone = number == 1 and options.first_round == "all"
        chosen = [place for place, example in enumerate(examples) if everyone or example.id in mistakes]
        if 0 <= options.max_questions < len(chosen):
            chosen = draw.sample(chosen, options.max_questions)
    asks = []
    for place in sorted(chosen):
        example = examples[place]
        texts = [text for text in mistakes.get(example.id, []) if text.strip()]
        shown: list[str | None] = [*texts[: options.per_question]]
        asks += [Ask(example, mistake) for mistake in (shown if shown and options.show_mistakes else [None])]
    return asks


# ---------------------------------------------------------------- judging rationales


def judge(
    task: Task, example: Example, response: Response | None, options: Feedback, common: frozenset[str] = frozenset()
) -> str:
    """`accepted`, or the first reason to reject a teacher's rationale."""
    if response is None:
        return "no_response"
    text = without_thoughts(response.text)
    if response.finish in ("refusal", "content_filter"):
        return "refusal"
    if not response.text.strip():
        return "empty"
    if len(text) > options.max_characters:
        return "too_long"
    answer = stated_answer(task, text, example)
    if not is_right(task, answer, example):
        if _REFUSAL.search(text.strip()):
            return "refusal"
        if response.finish == "length":
            return "unfinished"
        return "no_answer" if answer is None else "wrong_answer"
    if not rationale_of(text):
        return "no_rationale"
    if another_language(text, example.question, common):
        return "another_language"
    return ACCEPTED


def rationale_of(text: str) -> str:
    """The reasoning without the statement of the answer; empty if there is none."""
    return "\n".join(reasoning_lines(text)).strip(" |\n")


def common_words(questions: Iterable[str]) -> frozenset[str]:
    """Words of two or more letters that occur in many questions; empty if there are too few questions to tell."""
    counts: Counter[str] = Counter()
    total = 0
    for question in questions:
        counts.update(set(_LETTERS.findall(question.lower())))
        total += 1
    if total < _ENOUGH_QUESTIONS:
        return frozenset()
    return frozenset(word for word, count in counts.items() if count >= max(2, _COMMON * total))


def another_language(text: str, question: str, common: frozenset[str]) -> bool:
    """Whether a rationale is in a different language from its question.

    It is if most of its letters belong to a writing system that the question does not use, or if it has ten or more words
    and hardly any of them is common in the questions. Equations alone count as any language.
    """
    letters = [letter for letter in rationale_of(text) if letter.isalpha()]
    systems = {_system(letter) for letter in question if letter.isalpha()}
    if systems and sum(_system(letter) not in systems for letter in letters) > len(letters) / 2:
        return True
    words = _LETTERS.findall(rationale_of(text).lower())
    if len(words) < _FEW_WORDS or not common:
        return False
    return sum(word in common for word in words) < _LEAST_COMMON * len(words)


def _system(letter: str) -> str:
    return unicodedata.name(letter, "?").split()[0]


def collect(
    task: Task,
    asks: Sequence[Ask],
    teacher: Teacher,
    messages: Callable[[Ask], tuple[tuple[str, str], ...]],
    options: Feedback,
    common: frozenset[str] = frozenset(),
) -> tuple[list[TeacherRationale], dict[str, object]]:
    """Request every rationale, and up to `retries` times again if it is rejected.

    Args:
        task: The task.
        asks: The rationales to request.
        teacher: Answers the requests.
        messages: The conversation for a request.
        options: Options of feedback.
        common: Common words of the questions, see `another_language`.

    Returns:
        Exactly one row per request, and counts for the report.
    """
    rows: list[TeacherRationale | None] = [None] * len(asks)
    responses = [0] * len(asks)
    verdicts: Counter[str] = Counter()
    open_asks = list(range(len(asks)))
    for attempt in range(options.retries + 1):
        if not open_asks:
            break
        requests = [
            Request(asks[place].example.id, messages(asks[place]), attempt, asks[place].mistake) for place in open_asks
        ]
        still_open = []
        for place, response in zip(open_asks, teacher.answer(requests), strict=True):
            ask = asks[place]
            verdict = judge(task, ask.example, response, options, common)
            verdicts[verdict] += 1
            responses[place] += response is not None
            rows[place] = TeacherRationale(
                example_id=ask.example.id,
                mistake=ask.mistake,
                accepted=verdict == ACCEPTED,
                verdict=verdict,
                text=response.text if response else "",
                responses=responses[place],
                teacher=response.model if response else teacher.name,
                time=response.time if response else None,
            )
            if verdict not in (ACCEPTED, "no_response"):
                still_open.append(place)
        open_asks = still_open if teacher.name != "oracle" else []  # it would give the same answer
    final = [row for row in rows if row is not None]
    return final, {
        "asked": len(asks),
        "accepted": sum(row.accepted for row in final),
        "rejected": dict(Counter(row.verdict for row in final if not row.accepted)),
        "responses_judged": sum(responses),
        "responses_by_verdict": dict(verdicts),
    }


def take_released(
    task: Task,
    asks: Sequence[Ask],
    further: Sequence[Example],
    released: Mapping[str, list[str]],
    name: str,
    options: Feedback,
    common: frozenset[str] = frozenset(),
) -> tuple[list[TeacherRationale], dict[str, object]]:
    """Rationales from a file in the authors' format (retrace.systems.learn_to_reason.released), judged like any other.

    A question has one row for each of its texts; a requested question that the file lacks has a rejected row without text.

    Args:
        task: The task.
        asks: The rationales to request.
        further: Other questions; those that the file has are included, because its exam differed from ours.
        released: Texts of the file by question.
        name: Name of the teacher in the rows.
        options: Options of feedback.
        common: Common words of the questions, see `another_language`.

    Returns:
        The rows, and counts for the report.
    """
    rows = []
    counts: Counter[str] = Counter()
    examples = {_plain(ask.example): ask.example for ask in asks}
    known = {_plain(example): example for example in further}
    wanted = examples | {question: known[question] for question in released if question in known}
    for question, example in wanted.items():
        texts = list(dict.fromkeys(released.get(question, [])))
        counts["questions_missing"] += not texts
        for text in texts or [None]:
            response = None if text is None else Response(text, name, None, "stop")
            verdict = judge(task, example, response, options, common)
            rows.append(
                TeacherRationale(
                    example_id=example.id,
                    mistake=None,
                    accepted=verdict == ACCEPTED,
                    verdict=verdict,
                    text=text or "",
                    responses=int(text is not None),
                    teacher=name,
                )
            )
    return rows, {
        "asked": len(wanted),
        "accepted": sum(row.accepted for row in rows),
        "rejected": dict(Counter(row.verdict for row in rows if not row.accepted)),
        "questions_missing": counts["questions_missing"],
        "questions_not_asked_for": len(wanted) - len(examples),
        "questions_left_out": sum(question not in wanted for question in released),
    }


def _plain(example: Example) -> str:
    """The question as retrace.systems.learn_to_reason.released writes it."""
    return " ".join(example.question.split())


# ---------------------------------------------------------------- the price


def estimate(
    asks: Sequence[Ask],
    teacher: Teacher,
    messages: Callable[[Ask], tuple[tuple[str, str], ...]],
    expected_characters: float,
    max_tokens: int,
    prices: tuple[float, float],
) -> dict[str, object]:
    """Estimate the cost of requesting every rationale once; recorded responses cost nothing.

    Args:
        asks: The rationales to request.
        teacher: Knows which responses are recorded.
        messages: The conversation for a request.
        expected_characters: Length of a response, from worked solutions.
        max_tokens: Limit on a response.
        prices: Prices per million input and output tokens.
    """
    requests = [Request(ask.example.id, messages(ask)) for ask in asks]
    new = [request for request, known in zip(requests, teacher.known(requests), strict=True) if not known]
    inputs = sum(estimated_tokens(content) + 4 for request in new for _, content in request.messages)
    outputs = round(len(new) * min(max_tokens, expected_characters / 4))
    cost = (inputs * prices[0] + outputs * prices[1]) / 1e6
    most = (inputs * prices[0] + len(new) * max_tokens * prices[1]) / 1e6
    return {
        "rationales": len(asks),
        "requests": len(new),
        "recorded_already": len(requests) - len(new),
        "estimated_input_tokens": inputs,
        "estimated_output_tokens": outputs,
        "most_output_tokens": len(new) * max_tokens,
        "estimated_cost": round(cost, 4),
        "most_cost": round(most, 4),
        "note": "one request per rationale, about four characters per token; a rejected rationale is requested again, and "
        "so is one for which a model's thinking left no room, with a higher limit",
    }
