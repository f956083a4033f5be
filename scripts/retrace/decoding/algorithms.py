"""The registry of decoding algorithms: how samples are drawn for a question, and how one of them is chosen.

A module of `retrace.decoding` or of a system registers an algorithm with a call at its top level:

    register_algorithm(Algorithm("shortest", Shortest, sample=free_samples, choose=fewest_tokens))

`retrace.systems.algorithms` finds these modules. They are imported while planning, so they import torch, and what
imports it, inside their functions.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from retrace.sections import Section

if TYPE_CHECKING:
    from retrace.decoding.setup import Generator
    from retrace.schemas import Example, Prediction, QuestionCandidates, Sample
    from retrace.tasks.base import Task

Files = Mapping[str, str | None]  # paths, by the names in `Algorithm.needs`; None: not set


@dataclass(frozen=True)
class Drawn:
    """The samples of one question.

    Attributes:
        index: Index of the question.
        samples: The samples.
        seconds: The question's share of its batch's wall time.
        tokens: Number of all generated tokens; None: those of the samples.
    """

    index: int
    samples: "list[Sample]"
    seconds: float
    tokens: int | None = None
    candidates: "QuestionCandidates | None" = None


Sampler = Callable[["Generator", Any, "Sequence[Example]", int, Files], Iterator[Drawn]]
Chooser = Callable[["Task", "Sequence[Sample]"], int]


def majority_vote(task: "Task", samples: "Sequence[Sample]") -> int:
    """The index of the first sample with the most frequent answer."""
    from retrace.decoding.vote import majority

    return majority([sample.answer for sample in samples], task.canonical)


def open_checkpoint(options: Any, model: str, model_file: str, task_file: str, form: str | None) -> "Generator":
    """Load the checkpoint for the task, with calculator and worked examples as set in the options."""
    from retrace.decoding.setup import open_generator

    return open_generator(
        model,
        model_file,
        task_file,
        options.calculator,
        form=form or "steps",
        demonstrations=getattr(options, "demonstrations", 0),
        exact=getattr(options, "exact", "auto"),
    )


def as_given(options: Any, files: Files) -> Any:
    """The options, unchanged."""
    return options


@dataclass(frozen=True, eq=False)
class Algorithm:
    """A decoding algorithm: a sampler and a chooser.

    Args:
        name: Its name in decode.py and config/decoders.
        options: The class of its options; decode.py's command line is made from it.
        run_options: A subclass with options that change no prediction and are in no section; decode.py takes these, too.
        sample: Yields the samples of every question, in any order. Gets generator, options, questions, seed, files.
        choose: The index of the sample that counts. Gets task and samples.
        sections: Configuration sections with options for it, by name; empty: one section with the algorithm's name. A
            section's class may differ from `options` in its defaults and limits.
        needs: Files that it may need in addition to the model, by option of decode.py, with their help text.
        complete: Completes the options with values from the files. Raises UserError if a file is missing.
        open: Loads a checkpoint. Gets options, model folder, model YAML, task YAML, text form.
        has_forms: Whether its checkpoints write in one of several text forms.
        several_ends: Whether it decodes checkpoints that write an end token between steps and answer.
        in_steps: Whether it writes step by step, so that solutions must be texts in steps.
        only_for: The only system whose checkpoints it decodes; None: any.
    """

    name: str
    options: type[Section]
    sample: Sampler
    choose: Chooser = majority_vote
    run_options: type[Section] | None = None
    sections: Mapping[str, type[Section]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    complete: Callable[[Any, Files], Any] = as_given
    open: "Callable[[Any, str, str, str, str | None], Generator]" = open_checkpoint
    has_forms: bool = True
    several_ends: bool = True
    in_steps: bool = False
    only_for: str | None = None

    @property
    def command_options(self) -> type[Section]:
        """The options that decode.py takes."""
        return self.run_options or self.options

    @property
    def option_sections(self) -> dict[str, type[Section]]:
        """The configuration's sections with options for it."""
        return dict(self.sections) or {self.name: self.options}

    def answer(
        self, generator: "Generator", options: Any, examples: "Sequence[Example]", seed: int, files: Files | None = None
    ) -> "Iterator[tuple[int, Prediction]]":
        """Yield index and prediction of each example, in order of completion."""
        from retrace.decoding.vote import make_prediction

        for drawn in self.sample(generator, options, examples, seed, files or {}):
            chosen = self.choose(generator.task, drawn.samples)
            example = examples[drawn.index]
            prediction = make_prediction(example, drawn.samples, chosen, drawn.seconds, drawn.tokens)
            prediction.candidates = drawn.candidates
            yield drawn.index, prediction


REGISTERED: dict[str, Algorithm] = {}


def register_algorithm(algorithm: Algorithm) -> None:
    """Register an algorithm by name. Raises ValueError for a duplicate name."""
    if algorithm.name in REGISTERED:
        raise ValueError(f"there are two decoding algorithms named {algorithm.name!r}")
    REGISTERED[algorithm.name] = algorithm
