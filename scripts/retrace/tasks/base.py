"""A task: how its questions are put, where its solutions are cut into steps, and how answers are judged."""

import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.tasks import multiplication, programs, short_answers, steps, symbolic, word_problems
from retrace.tasks.options import TaskConfig
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS, STANDARD
from retrace.yaml_files import read_named

# What a source says about how its rows are read.
_READING = ("format", "question_fields", "answer_field", "repeats", "bulky", "skip_faulty", "equations_of")
_COMMIT = re.compile(r"/[0-9a-f]{40}/")
_NUMBER = re.compile(r"[-+]?\$?\s*[\d,]*\.?\d+(?:[eE][-+]?\d+)?\.?0*%?")


FORMS = ("steps", "dpo_st", "learn_to_reason", "learn_to_reason_zero_shot")


class Task:
    """What the rest of Retrace knows about a data set. Made by `load_task`; holds no data."""

    answer_marker = steps.MARKER
    form = "steps"  # of the texts; see `in_form`
    joint = " "  # between prompt and solution, for a decoder-only model
    stops: tuple[str, ...] = ()  # texts that end a solution of this form, whoever writes it
    calculator_notation: Literal["angle", "bracket"] = "angle"
    calculator_closing: str | None = None  # see retrace.text.calculator.Calculator
    calculator_signs = ("<<", ">>")

    def __init__(self, config: TaskConfig, path: Path) -> None:
        self.config = config
        self.path = path
        self.name = config.name
        self.delimiter = config.delimiter

    def __repr__(self) -> str:
        return f"Task({self.name!r})"

    def in_form(self, form: str, family: str) -> "Task":
        """This task in a paper's text form, for models of `family`.

        `steps`: GRACE's, `step | step | #### answer`, in which steps are told apart; this task itself. `dpo_st`: see
        retrace.tasks.dpo_st_form. `learn_to_reason:FILE`: with the worked examples in FILE, and
        `learn_to_reason_zero_shot`, without any: see retrace.tasks.learn_to_reason_form.
        """
        name, _, examples = form.partition(":")
        if name == "steps":
            return self
        if name == "dpo_st":
            from retrace.tasks.dpo_st_form import DpoStTask

            return DpoStTask(self.config, self.path, family)
        if name.startswith("learn_to_reason") and name in FORMS:
            from retrace.tasks.learn_to_reason_form import FORM, LearnToReasonTask

            if name == FORM and not examples:
                raise UserError(f"text form {form!r}: needs the file with the worked examples, as {form}:FILE")
            return LearnToReasonTask(self.config, self.path, family, examples or None)
        raise UserError(f"text form {form!r} is unknown; use {', '.join(FORMS)}")

    # ---------------------------------------------------------------- text

    def split_steps(self, text: str) -> list[str]:
        """The steps of a solution's text, without delimiter, up to the answer marker."""
        return steps.split_steps(text, self.delimiter)

    def join_steps(self, parts: Sequence[str], answer: str | None = None) -> str:
        """`step | step | #### answer`; without an answer a prefix, which ends in the delimiter if there are steps.

        In a multiplication the delimiter is a plus sign, and none stands before the answer.
        """
        if self.config.family == "multiplication" and answer is not None:
            return f"{multiplication.JOINT.join(parts)} {self.answer_marker} {answer}".strip()
        return steps.join_steps(parts, self.delimiter, answer)

    def solution_text(self, example: Example) -> str:
        """The text that a generator is trained to write for `example`."""
        return self.join_steps(example.steps, example.final_answer)

    def reference_steps(self, example: Example) -> list[str]:
        """The steps of the reference, as this form writes them."""
        return example.steps

    def reasoning_text(self, example: Example) -> str:
        """The steps of `example` on one line, as the data of implicit chain of thought has them; empty without any."""
        joint = multiplication.JOINT if self.config.family == "multiplication" else " "
        joined = joint.join(example.steps)
        written = example.answer.rpartition(f"\n{self.answer_marker}")[0]
        return written if written.split() == joined.split() and "\n" not in written else joined

    def written_answer(self, example: Example) -> str:
        """The final answer with its marker; white space is the data's own."""
        _, marker, tail = example.answer.rpartition(self.answer_marker)
        return f"{marker}{tail}" if marker else f"{self.answer_marker} {example.final_answer}"

    @property
    def words(self) -> list[str] | None:
        """All words of the task's texts, where these are few and stand apart; None for text in natural language."""
        if self.config.family != "multiplication":
            return None
        frame = f"{self.config.prompt} {self.config.answer_prompt}".replace("{question}", " ")
        return [*multiplication.WORDS, *frame.split()]

    def answer_text(self, example: Example) -> str:
        """What states the final answer: `#### answer`."""
        return f"{self.answer_marker} {example.final_answer}"

    def rationale_stops(self) -> list[str]:
        """Texts at which a rationale ends and the answer begins."""
        return [self.answer_marker]

    def prompt(self, question: str, demonstrations: Sequence[Example] = (), family: str = "encoder_decoder") -> str:
        """What the model reads: the question in the task's frame, after worked examples if there are any.

        A decoder-only model (or any model with demonstrations) also reads `answer_prompt`, so that what follows is
        the solution; write `prompt + " " + solution` to train one.
        """
        framed = self.config.prompt.replace("{question}", " ".join(question.split()))
        if not demonstrations and family == "encoder_decoder":
            return framed
        blocks = [
            self._with_answer_prompt(self.prompt(example.question)) + " " + self.solution_text(example)
            for example in demonstrations
        ]
        return "\n\n".join([*blocks, self._with_answer_prompt(framed)])

    def _with_answer_prompt(self, text: str) -> str:
        return f"{text} {self.config.answer_prompt}".strip()

    # ---------------------------------------------------------------- answers

    def extract(self, text: str) -> str | None:
        """The answer in a solution's text by the paper's own extractor; None where it finds none."""
        if self.config.family == "word_problems":
            return word_problems.extract_answer(text)
        if self.config.family in short_answers.FAMILIES:
            return short_answers.extract_answer(text, self.config.family)
        if self.config.family == "programs":
            return programs.extract_answer(text)
        if self.config.family == "multiplication":
            return multiplication.extract_answer(text)
        return symbolic.extract_answer(text)

    def kept_text(self, text: str) -> str:
        """What is kept of a student's sample."""
        return text

    def answer_of(self, text: str, example: Example) -> str | None:
        """The answer in a text that answers `example`."""
        return self.extract(text)

    def grade(self, text: str, gold: str) -> bool:
        """Whether the text's answer is right by the paper's own grader; `gold` is text with '#### answer'."""
        if self.config.family == "word_problems":
            return word_problems.grade(text, gold)
        if self.config.family in short_answers.FAMILIES:
            return short_answers.grade(text, gold, self.config.family)
        if self.config.family == "programs":
            return bool(programs.grade(text, gold))
        if self.config.family == "multiplication":
            return multiplication.grade(text, gold)
        return symbolic.grade(text, gold)

    def grade_strict(self, text: str, gold: str) -> bool:
        """Whether the text ENDS in '#### value' with exactly the right value, numbers read whole."""
        if self.config.family == "word_problems":
            return word_problems.grade_strict(text, gold)
        if self.config.family in short_answers.FAMILIES:
            return short_answers.grade_strict(text, gold, self.config.family)
        if self.config.family == "programs":
            return programs.grade_strict(text, gold)
        if self.config.family == "multiplication":
            return multiplication.grade_strict(text, gold)
        return symbolic.grade_strict(text, gold)

    def canonical(self, answer: str) -> str:
        """The key under which equal answers meet in a vote: '5.0', '5.' and '5' are '5', '1,000' is '1000'."""
        return canonical(answer)

    # ---------------------------------------------------------------- steps

    def step_correct(self, step: str, reference_step: str, prefix: Sequence[str] = (), official: bool = False) -> bool:
        """Whether `step` says the same as the aligned reference step, both behind `prefix` (GRACE section 3.1)."""
        if self.config.family == "word_problems":
            return word_problems.step_correct(step, reference_step, official=official)
        if self.config.family in short_answers.FAMILIES:
            return short_answers.step_correct(step, reference_step)
        if self.config.family == "programs":
            return programs.step_correct(step, reference_step, prefix, official=official)
        if self.config.family == "multiplication":
            return step.split() == reference_step.split()
        return symbolic.step_correct(step, reference_step, self.config.step_kind)

    # ---------------------------------------------------------------- demonstrations

    def demonstrations(self, n: int, mirror: str | None = None) -> list[Example]:
        """The first `n` worked examples for few-shot prompts, never of dev or test."""
        if n == 0:
            return []
        if len(self._demonstrations(mirror)) < n:
            raise UserError(
                f"{self.path}: {len(self._demonstrations(mirror))} demonstrations exist, {n} were asked for"
            )
        return self._demonstrations(mirror)[:n]

    @cached_property
    def _known_demonstrations(self) -> dict[str | None, list[Example]]:
        return {}

    def _demonstrations(self, mirror: str | None) -> list[Example]:
        if mirror not in self._known_demonstrations:
            from retrace.tasks import formats  # reads and downloads; not needed to judge answers

            self._known_demonstrations[mirror] = list(formats.read_demonstrations(self, mirror))
        return self._known_demonstrations[mirror]


def canonical(answer: str) -> str:
    """The form of an answer that equal answers share: numbers by value to ten digits, words in lower case."""
    text = " ".join(answer.split()).strip()
    if _NUMBER.fullmatch(text):
        bare = text.replace(",", "").replace("$", "").replace(" ", "").rstrip("%").rstrip(".")
        try:
            # `+ 0.0` makes -0 and 0 one.
            return f"{float(bare) + 0.0:.10g}"
        except ValueError:
            pass
    return text.casefold().rstrip(".")


def task_names(config_dir: str | Path = "config") -> list[str]:
    """The names of all tasks in `config_dir`/tasks."""
    return sorted(path.stem for path in (Path(config_dir) / "tasks").glob("*.yaml"))


def load_task(path_or_name: str | Path, config_dir: str | Path = "config") -> Task:
    """Load a task by name (`gsm8k`: config_dir/tasks/gsm8k.yaml) or by the path of its YAML file.

    Raises UserError naming the file, the field and the mend; an unknown name lists the known ones.
    """
    text = str(path_or_name)
    path = Path(text)
    if not text.endswith((".yaml", ".yml")) and "/" not in text:
        path = Path(config_dir) / "tasks" / f"{text}.yaml"
        if not path.exists():
            names = task_names(config_dir)
            known = ", ".join(names) if names else f"none in {path.parent}"
            raise UserError(f"unknown task {text!r}; known tasks: {known}")
    if not path.exists():
        raise UserError(f"{path}: no such file; known tasks: {', '.join(task_names(config_dir))}")
    config = read_named(TaskConfig, path)
    _check(config, path)
    return make_task(config, path)


def make_task(config: TaskConfig, path: Path) -> Task:
    """The task of a configuration that was read from `path`."""
    if config.family in ("numeric", "multiple_choice", "exact_match"):
        from retrace.tasks.answer_task import AnswerTask

        return AnswerTask(config, path)
    return Task(config, path)


def _check(config: TaskConfig, path: Path) -> None:
    """What the types cannot say: every source is complete, and the parts fit together."""
    frames = {
        "prompt": config.prompt,
        "chat.prompt": config.chat.prompt,
        "chat.direct_prompt": config.chat.direct_prompt,
        "chat.sft_prompt": config.chat.sft_prompt,
    }
    for where, frame in frames.items():
        if frame is not None and "{question}" not in frame:
            raise UserError(f"{path}: {where}: must hold {{question}}")
    if "{answer}" not in config.chat.answer:
        raise UserError(f"{path}: chat.answer: must hold {{answer}}")
    from retrace.tasks.answer_task import KINDS

    wanted = {"latro_number": "numeric", "latro_option": "multiple_choice"}.get(config.chat.grader)
    if wanted not in (None, KINDS[config.family]):
        raise UserError(
            f"{path}: chat.grader: {config.chat.grader} reads {wanted} answers, and those of family {config.family} are "
            f"{KINDS[config.family]}; leave it out"
        )
    if config.family == "symbolic" and config.step_kind == "none":
        raise UserError(f"{path}: step_kind: a symbolic task needs coin_flip or object_tracking")
    if (config.family == "multiplication") != (config.digits is not None):
        raise UserError(f"{path}: digits: a task of family multiplication, and no other, says how many a factor has")
    if config.family == "multiplication" and (config.delimiter != "+" or config.calculator):
        raise UserError(f"{path}: a multiplication needs `delimiter: +` and `calculator: false`")
    for name in config.split_sets:
        if not any(f"{name}_{split}" in config.splits for split in STANDARD):
            raise UserError(f"{path}: split_sets: no split is named {name}_train, {name}_dev or {name}_test")
    sources = {f"splits.{split}": source for split, source in config.splits.items()}
    for name in (DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS):
        if (source := getattr(config, name)) is not None:
            sources[name] = source
    for where, source in sources.items():
        kinds = ("url", "file", "hub", "generator", "part_of")
        given = [name for name in kinds if getattr(source, name) is not None]
        if len(given) != 1:
            raise UserError(f"{path}: {where}: give one of {', '.join(kinds)} (got {', '.join(given) or 'none'})")
        if source.hub and not source.revision:
            raise UserError(
                f"{path}: {where}: revision: a data set of the Hub needs the commit that it is read at "
                f"(https://huggingface.co/datasets/{source.hub}/commits/main)"
            )
        if source.url and not source.sha256 and not (source.rows and _COMMIT.search(source.url)):
            raise UserError(
                f"{path}: {where}: sha256: a url needs the checksum of its file (sha256sum FILE), or, where nobody "
                "knows it, a commit in the url and the number of `rows`"
            )
        if source.generator and source.count is None:
            raise UserError(f"{path}: {where}: count: a generator needs to know how many rows to make")
        if source.part_of and any(getattr(source, name) for name in _READING):
            raise UserError(f"{path}: {where}: part_of: how rows are read is the other split's to say; remove it here")
        if source.part_of and (source.part_of not in config.splits or config.splits[source.part_of].part_of):
            raise UserError(f"{path}: {where}: part_of: {source.part_of!r} is no split with a source of its own")
        parts = source.part or source.count or source.rows or source.equations_of
        if source.bulky and (not (source.url or source.file) or parts):
            raise UserError(f"{path}: {where}: bulky: for a whole file only, without part, count, rows or equations_of")
        for other in source.equations_of:
            if other not in [*config.splits, "demonstrations"] or other == where.removeprefix("splits."):
                raise UserError(f"{path}: {where}: equations_of: {other!r} is no other split of this task")
        if source.part is not None and not (len(source.part) == 2 and 0 <= source.part[0] < source.part[1] <= 1):
            raise UserError(f"{path}: {where}: part: two shares between 0 and 1, the first smaller (got {source.part})")
