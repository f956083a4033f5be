"""The teacher's states, computed once and read by the trainings of student and emulator, or computed in every step.

A cache is a folder of shards, each an array [rows, layers, width] of bfloat16 that is mapped into memory, and a JSON
that says which teacher and data it was made from. It is refused where either is another.
"""

import hashlib
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.machine.storage import read_json, sha256_of, write_json
from retrace.models.layers import blocks_of
from retrace.models.load import load_model
from retrace.prompting.layouts import layout_of
from retrace.schemas import Row
from retrace.sections import speed_options
from retrace.systems.icot.networks import sizes_differ, teacher_states
from retrace.systems.icot.options import TeacherStates
from retrace.training.separated_rows import SeparatedRows, reasoning_batch

SHARD_BYTES = 1 << 28
FILE = "states.json"
Source = Callable[[Sequence[int]], dict[str, Tensor]]


class CacheRecord(Row):
    """states.json."""

    kind: Literal["teacher_states"] = "teacher_states"
    teacher: str = Field(description="checksum of the teacher's weights")
    data: str = Field(description="checksum of the token ids and separators")
    subset: str
    delta: int | Literal["dynamic"]
    official: bool
    precision: Literal["float32", "bfloat16"] = Field(description="in which the teacher computed them")
    rows: int = Field(ge=1)
    layers: int = Field(ge=1)
    width: int = Field(ge=1)
    shard_rows: int = Field(ge=1)


def teacher_fingerprint(folder: str | Path) -> str:
    """Checksum of the weights in a model folder."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        raise UserError(f"{folder}: has no weights (*.safetensors); train the teacher (rule train_explicit_cot) first")
    return "+".join(sha256_of(file) for file in files)


def weights_checksum(model: nn.Module) -> str:
    """Checksum of a model's weights as they are in memory."""
    digest = hashlib.sha256()
    for name, weight in model.named_parameters():
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def states_fingerprint(how: str, teacher: str, rows: SeparatedRows, options: TeacherStates) -> str:
    """What states depend on, as one text. how: cached ones are rounded. teacher: checksum of its weights."""
    values = options.model_dump_json(exclude={*speed_options(options), "cached"})
    return f"{how} {teacher} {rows.fingerprint()} {values}"


def size_of(rows: int, layers: int, width: int) -> int:
    """Bytes of a cache."""
    return 2 * rows * layers * width


def write_states(
    folder: Path, teacher: nn.Module, checksum: str, rows: SeparatedRows, options: TeacherStates, pad_id: int
) -> None:
    """Compute the states of all rows into the folder, which is made; print its size beforehand.

    Raises UserError where the disk has no room for it.
    """
    layers, width = len(blocks_of(teacher)), teacher.config.hidden_size
    size = size_of(len(rows), layers, width)
    print(
        f"{len(rows):,} rows x {layers} layers x {width} x 2 bytes = {size / 1e9:.3f} GB in {folder.name}", flush=True
    )
    free = shutil.disk_usage(folder.parent).free
    if size > free:
        raise UserError(
            f"{folder}: the teacher's states take {size / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; free some space, "
            "or compute them in every step (icot_states.cached: false)"
        )
    folder.mkdir()
    record = CacheRecord(
        teacher=checksum,
        data=rows.fingerprint(),
        subset=options.subset,
        delta=options.delta,
        official=options.official_positions,
        precision=options.teacher_precision,
        rows=len(rows),
        layers=layers,
        width=width,
        shard_rows=max(1, SHARD_BYTES // (2 * layers * width)),
    )
    compute = ComputedStates(teacher, rows, options, pad_id)
    # Rows of like length share a batch, but for a delta that is the first row's: there the order matters.
    lengths = np.zeros(len(rows)) if options.official_positions else rows.second
    for number, start in enumerate(range(0, len(rows), record.shard_rows)):
        end = min(start + record.shard_rows, len(rows))
        shard = np.empty((end - start, layers, width), dtype=np.int16)
        order = start + np.argsort(lengths[start:end], kind="stable")
        for place in range(0, len(order), options.rows_at_once):
            part = order[place : place + options.rows_at_once]
            states = compute(compute.batch(part))
            shard[part - start] = states.to(torch.bfloat16).cpu().view(torch.int16).numpy()
        shard.tofile(folder / shard_name(number))
        print(f"{end:,} of {len(rows):,} rows", file=sys.stderr, flush=True)
    write_json(folder / FILE, record)


def shard_name(number: int) -> str:
    return f"states_{number:05d}.bfloat16"


class ComputedStates:
    """Computes the states of a batch with the teacher itself: `batch(numbers)` on the CPU, then call it with that."""

    def __init__(self, teacher: nn.Module, rows: SeparatedRows, options: TeacherStates, pad_id: int) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.rows, self.options, self.pad_id = rows, options, pad_id

    def batch(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """What the teacher reads for these rows."""
        return reasoning_batch(self.rows, numbers, self.pad_id)

    def fingerprint(self) -> str:
        """What tells these states from those of another teacher, other rows or options."""
        return states_fingerprint("computed", weights_checksum(self.teacher), self.rows, self.options)

    @torch.no_grad()
    def __call__(self, batch: dict[str, Tensor], device: torch.device | None = None) -> Tensor:
        """States [B, N, H] in float32."""
        if device is not None and next(self.teacher.parameters()).device != device:
            self.teacher.to(device)
        device = next(self.teacher.parameters()).device
        given = [batch[name].to(device) for name in ("teacher_ids", "first", "second")]
        reduced = self.options.teacher_precision == "bfloat16"
        with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
            return teacher_states(
                self.teacher, *given, self.options.subset, self.options.delta, self.options.official_positions
            )


class CachedStates:
    """Reads the states of a batch from a cache; the same interface as ComputedStates."""

    def __init__(
        self, folder: str | Path, checksum: str, rows: SeparatedRows, options: TeacherStates, layers: int, width: int
    ) -> None:
        """Raises UserError where the cache was made by another teacher, from other data, or with other options."""
        self.folder = Path(folder)
        self.checksum, self.rows, self.options = checksum, rows, options
        self.record = read_record(self.folder)
        wanted = {
            "teacher": (checksum, "was made by another teacher"),
            "data": (rows.fingerprint(), "was made from other data, or with another tokenizer"),
            "subset": (options.subset, f"holds the subset {self.record.subset}, {options.subset} is wanted"),
            "delta": (options.delta, f"was made with delta {self.record.delta}, {options.delta} is wanted"),
            "official": (options.official_positions, "was made with another value of `official`"),
            "precision": (
                options.teacher_precision,
                f"was computed in {self.record.precision}, {options.teacher_precision} is wanted",
            ),
            "rows": (len(rows), f"has {self.record.rows} rows, the data {len(rows)}"),
        }
        found = self.record.layers, self.record.width
        if found != (layers, width):
            raise UserError(f"{self.folder}: {sizes_differ('the cached states', *found, layers, width)}")
        for name, (value, fault) in wanted.items():
            if getattr(self.record, name) != value:
                raise UserError(f"{self.folder}: the cache of teacher states {fault}; delete it and build it again")
        self.shards = [self._shard(number) for number in range(-(-self.record.rows // self.record.shard_rows))]

    def fingerprint(self) -> str:
        """What tells these states from those of another teacher, other rows or options."""
        return states_fingerprint("cached", self.checksum, self.rows, self.options)

    def _shard(self, number: int) -> np.memmap:
        record, path = self.record, self.folder / shard_name(number)
        rows = min(record.shard_rows, record.rows - number * record.shard_rows)
        expected = size_of(rows, record.layers, record.width)
        if not path.exists() or path.stat().st_size != expected:
            raise UserError(
                f"{path}: missing or cut off ({expected} bytes are expected); delete the folder, rebuild it"
            )
        return np.memmap(path, dtype=np.int16, mode="r", shape=(rows, record.layers, record.width))

    def batch(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """The states of these rows, in bfloat16."""
        places = np.asarray(numbers)
        out = np.empty((len(places), self.record.layers, self.record.width), dtype=np.int16)
        shard, within = np.divmod(places, self.record.shard_rows)
        for number in np.unique(shard):
            chosen = shard == number
            out[chosen] = self.shards[number][within[chosen]]
        return {"states": torch.from_numpy(out).view(torch.bfloat16)}

    def __call__(self, batch: dict[str, Tensor], device: torch.device | None = None) -> Tensor:
        """States [B, N, H] in float32."""
        return batch["states"].float()


def read_record(folder: Path) -> CacheRecord:
    """What a cache says about itself. Raises UserError for a folder that is none."""
    if not (folder / FILE).exists():
        raise UserError(f"{folder}: no cache of teacher states ({FILE} is missing); build it with rule cache_states")
    try:
        return CacheRecord.model_validate(read_json(folder / FILE))
    except ValidationError as error:
        fault = error.errors()[0]
        raise UserError(f"{folder / FILE}: {fault['loc'][0]}: {fault['msg']}; delete the folder, rebuild it") from None


def check_teacher(folder: str | Path) -> None:
    """Raise UserError where the checkpoint in `folder` was not trained to write steps between separators."""
    if (layout := layout_of(folder)) != "explicit_cot":
        raise UserError(
            f"{folder}: no teacher: it was trained on the layout {layout or 'of other methods'}, not explicit_cot; give "
            "the checkpoint explicit_cot"
        )


def open_states(
    folder: str | Path | None,
    teacher_folder: str | Path,
    parts: dict[str, SeparatedRows],
    options: TeacherStates,
    layers: int,
    width: int,
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, CachedStates | ComputedStates]:
    """The states of each part (train, dev): from the cache in `folder`, or, without one, from the teacher itself.

    layers, width: of the model that will read or predict them. Raises UserError for a teacher of another size, and
    for a cache of another teacher or other data.
    """
    check_teacher(teacher_folder)
    if folder is not None:
        checksum = teacher_fingerprint(teacher_folder)
        return {
            name: CachedStates(Path(folder) / name, checksum, rows, options, layers, width)
            for name, rows in parts.items()
        }
    teacher, own = load_model(teacher_folder, "decoder_only", "float32")
    if own.get_vocab() != tokenizer.get_vocab():
        raise UserError(
            f"{teacher_folder}: the teacher's tokenizer is not the student's; train both from one base model"
        )
    found = len(blocks_of(teacher)), teacher.config.hidden_size
    if found != (layers, width):
        raise UserError(f"{teacher_folder}: {sizes_differ('the teacher', *found, layers, width)}")
    return {name: ComputedStates(teacher, rows, options, tokenizer.pad_token_id) for name, rows in parts.items()}
