"""Multi-process training: strategies, and a complete model at the end.

`scripts/launch.py` starts the processes and sets the strategy. Everything here is a no-op in a single-process training.
"""

import copy
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from retrace.errors import UserError
from retrace.machine.launch import STRATEGY
from retrace.machine.storage import read_json
from retrace.training.options import Training

ENVS = Path(__file__).resolve().parents[3] / "envs"
FILES = {"fsdp": "fsdp.json"} | {
    name: f"deepspeed_{name}.json" for name in ("zero2", "zero3", "zero2_offload", "zero3_offload")
}


def strategy() -> str:
    """The strategy of this training's processes."""
    return os.environ.get(STRATEGY, "ddp")


def is_sharded() -> bool:
    """Whether model or optimizer are divided among the processes or offloaded, so no process has all of them."""
    return strategy() in FILES


def strategy_options() -> dict[str, Any]:
    """Options of `transformers.TrainingArguments` (the base of TRL's, too) for this training's strategy.

    The settings are in envs/fsdp.json and envs/deepspeed_STRATEGY.json. Raises UserError if DeepSpeed is needed but not
    installed.
    """
    name = strategy()
    if name not in FILES:
        return {}
    file = str(ENVS / FILES[name])
    if name == "fsdp":
        return {"fsdp": True, "fsdp_config": file}
    if find_spec("deepspeed") is None:
        raise UserError(f"launch.strategy {name} needs DeepSpeed: pip install -r envs/requirements.txt")
    if not torch.cuda.is_available():
        _leave_sums_to_gloo()
        _join_processes()
    return {"deepspeed": file}


def _leave_sums_to_gloo() -> None:
    """Keep DeepSpeed from compiling its shared-memory all-reduce for CPUs at job start.

    PyTorch protects that compilation with a lock file without an owner. If a job were killed in the meantime, all later
    jobs would wait forever.
    """
    from deepspeed.ops import __compatible_ops__ as compiled

    compiled["deepspeed_shm_comm"] = False


def _join_processes() -> None:
    """Tell DeepSpeed about the other processes before a model is loaded.

    On the CPU, accelerate does this only when training starts. A reference model that is divided while it is loaded would
    then assume that this process is the only one.
    """
    if "RANK" not in os.environ:  # not started by torchrun
        return
    from deepspeed import comm

    comm.init_distributed("gloo", auto_mpi_discovery=False, verbose=False)


def accumulation_of(options: Training, world: int) -> tuple[int, int]:
    """(examples per device and pass, accumulated passes) for exactly `options.batch_size` per step on `world` devices.

    Raises UserError naming sizes that fit if these do not.
    """
    whole, rest = divmod(options.batch_size, world)
    if rest:
        near = sorted({max(whole, 1) * world, (whole + 1) * world})
        fitting = [count for count in range(1, options.batch_size + 1) if options.batch_size % count == 0]
        raise UserError(
            f"batch_size {options.batch_size} cannot be divided among {world} processes; "
            f"set batch_size to {' or '.join(map(str, near))}, or use {_one_of(fitting)} processes"
        )
    device = min(options.device_batch_size, whole)
    if whole % device:
        fitting = [size for size in range(1, whole + 1) if whole % size == 0]
        raise UserError(
            f"batch_size {options.batch_size} is not a multiple of device_batch_size {device} x {world} process(es); "
            f"set device_batch_size to {_one_of(fitting)}"
        )
    return device, whole // device


def _one_of(numbers: Sequence[int]) -> str:
    """The numbers as text, abbreviated if there are many."""
    words = [str(number) for number in numbers]
    return ", ".join(words if len(words) <= 8 else [*words[:4], "...", *words[-3:]])


# ---------------------------------------------------------------- one whole model


def tied_names(model: nn.Module) -> list[list[str]]:
    """Names of the weights; names of the same weight are grouped."""
    groups: dict[int, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(weight), []).append(name)
    return list(groups.values())


def outline_of(model: nn.Module) -> nn.Module:
    """A copy of the model without its weights, which needs no memory, from before it is divided."""
    empty: dict[int, Any] = {
        id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), requires_grad=weight.requires_grad)
        for weight in model.parameters()
    }
    if tokenizer := getattr(model, "tokenizer", None):
        empty[id(tokenizer)] = tokenizer
    return copy.deepcopy(model, empty)


def saved_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint folder, from one file or from several with an index."""
    index = folder / "model.safetensors.index.json"
    files = sorted(set(read_json(index)["weight_map"].values())) if index.exists() else ["model.safetensors"]
    return {name: weight for file in files for name, weight in load_file(folder / file).items()}


def restore_whole(model: nn.Module, outline: nn.Module, folder: Path) -> None:
    """Restore `model`, which was divided among processes, to the form of `outline` with the weights in `folder`.

    The weights are on the CPU, in their original data type.
    """
    found = saved_weights(folder)
    for names in tied_names(outline):
        name = next((name for name in names if name in found), None)
        if name is None:
            raise UserError(f"{folder}: weight {names[0]} is missing; delete the folder and train again")
        old = outline.get_parameter(name)
        weight = nn.Parameter(found[name].to(old.dtype), requires_grad=old.requires_grad)
        for place in names:
            parent, _, last = place.rpartition(".")
            setattr(outline.get_submodule(parent), last, weight)
    parameters = {name for names in tied_names(outline) for name in names}
    for name, buffer in outline.state_dict().items():
        if name not in parameters and name in found:
            buffer.copy_(found[name])
    model.__class__ = outline.__class__
    model.__dict__ = outline.__dict__


def leave(trainer: Any) -> None:
    """Release memory of a sharded model, and DeepSpeed's hook on loading later models."""
    if not is_sharded():
        return
    trainer.model_wrapped = trainer.deepspeed = trainer.optimizer = trainer.lr_scheduler = None
    trainer.accelerator.free_memory()
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
