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
    from retrace.schemas import Example, Prediction, Sample
    from retrace.tasks.base import Task

Files = Mapping[str, str | None]  # paths by the names in `Algorithm.needs`; None: not given


@dataclass(frozen=True)
class Drawn:
    """The samples of one question.

    index: of the question. seconds: its share of its batch's wall time. tokens: all that were generated; None: those of
    the samples.
    """

    index: int
    samples: "list[Sample]"
    seconds: float
    tokens: int | None = None


Sampler = Callable[["Generator", Any, "Sequence[Example]", int, Files], Iterator[Drawn]]
Chooser = Callable[["Task", "Sequence[Sample]"], int]


def majority_vote(task: "Task", samples: "Sequence[Sample]") -> int:
    """The index of the first sample with the most frequent answer; of a single sample its own."""
    from retrace.decoding.vote import majority

    return majority([sample.answer for sample in samples], task.canonical)


def open_checkpoint(options: Any, model: str, model_file: str, task_file: str, form: str | None) -> "Generator":
    """The checkpoint on the task, with the calculator and the worked examples that the options say."""
    from retrace.decoding.setup import open_generator

    return open_generator(
        model,
        model_file,
        task_file,
        options.calculator,
        form=form or "steps",
        demonstrations=getattr(options, "demonstrations", 0),
    )


def as_given(options: Any, files: Files) -> Any:
    """The options, unchanged."""
    return options


@dataclass(frozen=True, eq=False)
class Algorithm:
    """A decoding algorithm: a sampler and a chooser.

    Args:
        name: What decode.py and config/decoders call it.
        options: Its options; decode.py's command line is made from them.
        sample: Yields the samples of every question, in any order. Gets generator, options, questions, seed, files.
        choose: The index of the sample that counts. Gets task and samples.
        sections: The configuration's sections with options for it, by name; empty: one, called as the algorithm. A class
            may differ from `options` in its defaults and limits.
        needs: Files beside the model that it may need, by option of decode.py, with their help text.
        complete: Makes the options final with what the files say. Raises UserError where a file is missing.
        open: Loads a checkpoint. Gets options, model folder, model YAML, task YAML, text form.
        has_forms: Whether its checkpoints write in one of several text forms.
        several_ends: Whether it decodes checkpoints that write an end token between steps and answer.
        in_steps: Whether it writes step by step, so that solutions must be texts in steps.
        only_for: The system whose checkpoints alone it decodes.
    """

    name: str
    options: type[Section]
    sample: Sampler
    choose: Chooser = majority_vote
    sections: Mapping[str, type[Section]] = field(default_factory=dict)
    needs: Mapping[str, str] = field(default_factory=dict)
    complete: Callable[[Any, Files], Any] = as_given
    open: "Callable[[Any, str, str, str, str | None], Generator]" = open_checkpoint
    has_forms: bool = True
    several_ends: bool = True
    in_steps: bool = False
    only_for: str | None = None

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
            yield drawn.index, make_prediction(example, drawn.samples, chosen, drawn.seconds, drawn.tokens)


REGISTERED: dict[str, Algorithm] = {}


def register_algorithm(algorithm: Algorithm) -> None:
    """Register an algorithm by name. Raises ValueError for a duplicate name."""
    if algorithm.name in REGISTERED:
        raise ValueError(f"two decoding algorithms are called {algorithm.name!r}")
    REGISTERED[algorithm.name] = algorithm
