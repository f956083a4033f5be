"""The configuration's sections on implicit chain of thought (arXiv 2311.01460): data, teacher, student, emulator, speed.

Defaults are the authors' (README and code of da03/implicit_chain_of_thought@5102799), where they do not depend on the task.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator, model_validator
from pydantic_core import PydanticCustomError

from retrace.decoding.options import Exactness
from retrace.sections import SPEED_ONLY, BatchSize, Count, Name, Section, Share
from retrace.training.options import SeparatedTraining


def _both_forms(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    """Of a union pydantic's message names the first form only."""
    try:
        return read(value)
    except ValidationError:
        raise PydanticCustomError("delta", "should be `dynamic` or a whole number from 0 on") from None


Delta = Annotated[Annotated[int, Field(ge=0)] | Literal["dynamic"], WrapValidator(_both_forms)]


class ImplicitData(Section):
    """Which examples implicit chain of thought is trained on."""

    train: Name | None = Field(
        default=None, description="split of the task; none: the task's own for this system (icot_train), else train"
    )


class NoCotTraining(SeparatedTraining):
    """Training a model to answer directly (checkpoint no_cot)."""


class ExplicitCotTraining(SeparatedTraining):
    """Training a model to write steps and answer (checkpoint explicit_cot), the teacher."""

    epochs: float = Field(default=1, gt=0)


class TeacherStates(Section):
    """The teacher's states, read by the trainings of student and emulator (cache_states.py). Section 3.1."""

    cached: bool = Field(default=True, description="compute them once and keep them on the disk; else in every step")
    subset: Literal["diagonal", "first_column", "last_column", "top_row", "bottom_row"] = "diagonal"
    delta: Delta = Field(
        default="dynamic", description="tokens between the states of two layers; dynamic: up to the end"
    )
    official_positions: bool = Field(
        default=False, description="as the authors' code: a batch's dynamic delta is its first row's (see positions_of)"
    )
    rows_at_once: Count = Field(
        default=256, description="rows of the cache computed together", json_schema_extra=SPEED_ONLY
    )
    teacher_precision: Literal["float32", "bfloat16"] = "float32"


class StudentTraining(SeparatedTraining):
    """Training the student to answer from the teacher's states (checkpoint icot_student). Section 3.1."""

    epochs: float = Field(default=40, gt=0)
    start: Literal["base", "teacher"] = Field(default="base", description="which weights the student starts from")


class EmulatorTraining(SeparatedTraining):
    """Training the emulator to predict the states from the question (checkpoint icot_emulator). Section 3.2."""

    epochs: float = Field(default=40, gt=0)
    keep_best: Literal["loss"] = Field(default="loss", description="always the distance from the teacher's states")
    start: Literal["base", "teacher"] = Field(default="base", description="which weights the emulator starts from")
    mixture_size: Count = Field(default=1, description="mixture components")
    softmax_temperature: float = Field(default=0.05, gt=0, description="of the choice among several components")


class CoupledTraining(SeparatedTraining):
    """Training emulator and student together on the answer (checkpoint icot). Section 3.3."""

    epochs: float = Field(default=40, gt=0)
    fixed_emulator: bool = Field(default=False, description="train the student only")
    couple_at: Share = Field(
        default=0.0,
        description="train both together only where the student answers this share of the development questions from the "
        "teacher's own states; else the pair stays as it is, and the result says so. 0: always, as the authors' code",
    )
    released_student: str | None = Field(
        default=None, description="folder of an authors' student (state_dict.bin, config.json), taken as it is ..."
    )
    released_emulator: str | None = Field(default=None, description="... and of the emulator that belongs to it")

    @model_validator(mode="after")
    def _released_as_a_pair(self) -> "CoupledTraining":
        for name, other in (("student", "emulator"), ("emulator", "student")):
            if getattr(self, f"released_{name}") == "":
                raise ValueError(f"released_{name} is empty; name a folder, or leave it out")
            if getattr(self, f"released_{name}") is not None and getattr(self, f"released_{other}") is None:
                raise ValueError(f"released_{name} is set and released_{other} is not; give both, or neither")
        return self


class UndistilledTraining(SeparatedTraining):
    """Training a fresh emulator and a fresh student together on answers alone (checkpoint icot_undistilled): a control."""

    epochs: float = Field(default=40, gt=0)
    mixture_size: Count = Field(default=1, description="mixture components of the emulator")
    softmax_temperature: float = Field(default=0.05, gt=0, description="of the choice among several components")


class ControlTraining(SeparatedTraining):
    """Training a no-CoT model with what implicit chain of thought has: more weights and layers, or the teacher's weights."""


class Implicit(Exactness):
    """Answers from emulator and student, greedily; the emulator runs once per question."""

    max_new_tokens: Count = 64
    batch_size: BatchSize = Field(
        default=256,
        description="questions decoded together, or auto: as many as the device's memory holds; does not change the output",
        json_schema_extra=SPEED_ONLY,
    )


class Speed(Section):
    """Measuring latency and throughput of the three ways side by side (measure_icot_speed.py)."""

    questions: Count = Field(default=200, description="the first so many test questions")
    batch_sizes: list[Count] = Field(default=[1, 8, 64], min_length=1, description="questions decoded together")
    repeats: Count = Field(default=3, description="rounds over all ways and batch sizes; the median counts")
    max_new_tokens: Count = 256


class Figures(Section):
    """Contents of figures over several tasks."""

    icot_tasks: list[Name] = Field(
        default=["mult_4x4", "mult_5x5", "gsm8k"], min_length=1, description="accuracy against speed on these tasks"
    )
