"""Setup of decoding scripts: task, model, prompts, calculator, and the shard of questions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from retrace.errors import UserError
from retrace.models.options import ModelConfig, load_model_config
from retrace.prompting.layouts import has_masked_results
from retrace.prompting.prompting import Prompting, end_tokens, prompting_of
from retrace.prompting.separated import END_TOKENS
from retrace.schemas import Example
from retrace.tasks.answer_task import AnswerTask
from retrace.tasks.base import Task
from retrace.tasks.load import load_task
from retrace.text.calculator import Calculator

if TYPE_CHECKING:
    from retrace.decoding.engine import Decoder

RowType = TypeVar("RowType")


@dataclass(frozen=True)
class Generator:
    """A loaded generator for a task."""

    task: Task
    config: ModelConfig
    decoder: "Decoder"
    calculator: Calculator | None
    prompting: Prompting
    masked_results: bool = False  # whether it was trained with the calculator's results masked from the loss

    def prompt(self, question: str) -> str:
        """The model's input for `question`, after worked examples if the model is used with any."""
        return self.prompting.text(question)

    @property
    def stops(self) -> list[str]:
        """Texts that end a solution."""
        return self.prompting.stops


def shard_of(rows: Sequence[RowType], shard: int, shards: int) -> list[RowType]:
    """Block `shard` (from 0) of `shards` blocks of consecutive rows; all blocks in order give all rows."""
    if not 0 <= shard < shards:
        raise UserError(f"--shard {shard}: must be from 0 to {shards - 1}, because --shards is {shards}")
    return list(rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards])


def check_references(task: Task, rows: Sequence[Example], path: str | Path) -> None:
    """Raise UserError naming file and line if a reference cannot be used for grading."""
    for number, example in enumerate(rows, start=1):
        try:
            task.grade("", example.answer)
        except UserError as error:
            raise UserError(f"{path}:{number}: {error}") from None


def best_device() -> str:
    """The first GPU, or the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def calculator_of(task: Task, tokenizer: Any) -> Calculator:
    """The calculator for the notation of the task's text form."""
    return Calculator(tokenizer, task.calculator_notation, task.calculator_closing)


def decoder_of(network: Any, prompting: Prompting, exact: str = "always") -> "Decoder":
    """A decoder of a loaded model for the prompts of `prompting`. exact: see `retrace.models.exact.is_wanted`."""
    from retrace.decoding.engine import Decoder

    return Decoder(
        network,
        prompting.tokenizer,
        prompting.family,
        separated=prompting.separated,
        ends=END_TOKENS.get(prompting.layout, 1),
        end_ids=end_tokens(prompting.tokenizer, network, prompting.chat),
        special_tokens=prompting.special_tokens,
        control_tokens=prompting.control_tokens,
        exact=exact,
    )


def open_generator(
    model: str | Path,
    model_file: str | Path,
    task_file: str | Path,
    calculator: bool = True,
    device: str | None = None,
    form: str = "steps",
    demonstrations: int = 0,
    exact: str = "always",
) -> Generator:
    """Load a checkpoint for a task.

    Args:
        model: Folder of the checkpoint.
        model_file: The model's YAML.
        task_file: The task's YAML.
        calculator: Force the results of computations, if the task has a calculator, is not answered in prose, and the
            checkpoint was not trained on texts with separators, whose papers use no calculator.
        device: Device to run on; default: the first GPU, or the CPU.
        form: Text form that the checkpoint was trained in (see `Task.in_form`).
        demonstrations: Worked examples in the prompt; 0: the number in the model's YAML if the model is frozen.
        exact: Whether rows are independent of each other on a CPU (see `retrace.models.exact.is_wanted`).

    Raises:
        UserError: If checkpoint, model and task do not fit together.
    """
    from retrace.models.load import check_delimiter, load_model

    config = load_model_config(model_file)
    task = load_task(task_file).in_form(form, config.family)
    if (Path(model) / "student").is_dir():
        raise UserError(f"{model} has an emulator and a student of implicit chain of thought; decode it with implicit")
    network, tokenizer = load_model(model, config.family, config.dtype, device or best_device())
    prompting = prompting_of(task, config, tokenizer, model, demonstrations or None)
    plain = not prompting.separated
    if plain and not isinstance(prompting.task, AnswerTask):
        check_delimiter(tokenizer, task, model)
    calculates = calculator and task.config.calculator and plain and not prompting.chat
    return Generator(
        task=prompting.task,
        config=config,
        decoder=decoder_of(network, prompting, exact),
        calculator=calculator_of(task, tokenizer) if calculates else None,
        prompting=prompting,
        masked_results=has_masked_results(model),
    )
