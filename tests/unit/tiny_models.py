"""Small models and tasks that several test files share."""

from pathlib import Path

from retrace.models.options import ScratchModel
from retrace.models.scratch import build_model, build_tokenizer
from retrace.schemas import Example
from retrace.tasks.arithmetic import generate
from retrace.tasks.base import Task
from retrace.tasks.options import TaskConfig
from unit.model_folders import save_model

SIZES = ScratchModel(width=16, layers=1, heads=2, feedforward=32, positions=128, vocabulary=400, numbers="whole")


def arithmetic_task(**changes) -> Task:
    values = {
        "name": "arithmetic",
        "title": "Arithmetic",
        "family": "word_problems",
        "format": "generated",
        "splits": {"train": {"generator": "arithmetic", "count": 1}},
    }
    return Task(TaskConfig.model_validate(values | changes), Path("arithmetic.yaml"))


def problems(count: int, split: str = "train") -> list[Example]:
    return list(generate(split, count, seed=1))


def tiny_generator(task: Task, examples: list[Example], family: str = "encoder_decoder", dropout: float = 0.0):
    texts = [text for example in examples for text in (example.question, task.solution_text(example))]
    tokenizer = build_tokenizer(texts, task.delimiter, SIZES.vocabulary, "whole", family)
    return build_model(SIZES.model_copy(update={"dropout": dropout}), family, tokenizer, seed=0), tokenizer


def write_in_this_process(model, tokenizer, path: Path) -> None:
    """Write a model's folder in whichever process this is; by itself transformers writes in the first one only."""
    model.should_save_on_this_rank = lambda is_main_process: True
    save_model(model, tokenizer, path)
    del model.should_save_on_this_rank


def tiny_folder(path: Path, task: Task, examples: list[Example], family: str = "encoder_decoder") -> Path:
    write_in_this_process(*tiny_generator(task, examples, family), path)
    return path
