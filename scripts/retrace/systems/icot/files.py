"""Folders of student and emulator: our layout, and that of the authors' checkpoints.

    FOLDER/tokenizer files
    FOLDER/student/   config.json (the wrapped model's), model.safetensors, icot.json
    FOLDER/emulator/  the same; a checkpoint has one of the two, or, coupled, both

The authors' student and emulator are folders with `state_dict.bin` and `config.json`, which names the base model.
"""

import re
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.machine.storage import read_json, write_json
from retrace.models.load import check_family, ensure_pad, load_config, load_tokenizer, write_own_config
from retrace.systems.icot.networks import Coupled, Emulator, Student

Part = Literal["student", "emulator"]
PART_FILE = "icot.json"
ACCURACY = "accuracy_on_true_states"
RELEASED_FILE = "state_dict.bin"
Network = TypeVar("Network", bound=nn.Module)

# Buffers that older versions of the library saved with GPT-2's attention.
_BUFFERS = re.compile(r"\.attn\.(masked_)?bias$")


def restore(module: Network, state: dict[str, torch.Tensor], path: str | Path) -> Network:
    """Load weights by name; a language head that is tied to the embedding may be missing.

    Raises UserError naming `path` for a missing or unknown weight, and for a shape that does not fit.
    """
    own = module.state_dict()
    places = {tensor.data_ptr(): name for name, tensor in reversed(own.items())}
    tied = {name for name, tensor in own.items() if places[tensor.data_ptr()] != name}
    state = {name: tensor for name, tensor in state.items() if name in own or not _BUFFERS.search(name)}
    if missing := [name for name in own if name not in state and name not in tied]:
        raise UserError(
            f"{path}: weight {missing[0]} is missing ({len(missing)} in all); these are weights of another kind of model, "
            "or of one with fewer layers"
        )
    if unknown := [name for name in state if name not in own]:
        raise UserError(
            f"{path}: weight {unknown[0]} has no place in the model ({len(unknown)} in all); these are weights of "
            "another kind of model, or of one with more layers"
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise UserError(
                f"{path}: weight {name} has shape {list(tensor.shape)}, expected {list(own[name].shape)}; these are "
                "weights of a model of another size"
            )
    module.load_state_dict(state, strict=False)
    return module


def write_parts(
    folder: str | Path,
    tokenizer: PreTrainedTokenizerBase,
    student: Student | None = None,
    emulator: Emulator | None = None,
    accuracy: float | None = None,
) -> None:
    """Write a checkpoint's parts into the folder, which must exist.

    accuracy: share of the development questions that the student answers from the teacher's own states.
    """
    folder = Path(folder)
    tokenizer.save_pretrained(folder)
    for name, part in (("student", student), ("emulator", emulator)):
        if part is None:
            continue
        place = folder / name
        place.mkdir()
        save_file(part.weights(), place / "model.safetensors", metadata={"format": "pt"})
        write_own_config(place, f"icot_{name}", type(part).__name__, part.base_model.config)
        values: dict[str, Any] = {"kind": name}
        if isinstance(part, Emulator):
            values |= {"mixture_size": part.mixture_size, "softmax_temperature": part.temperature}
        elif accuracy is not None:
            values |= {ACCURACY: accuracy}
        write_json(place / PART_FILE, values)


def load_student(folder: str | Path, base: str | Path | None = None) -> Student:
    """The student of a checkpoint's folder, or of an authors' folder (then `base` is its base model's folder)."""
    config, state, _, path = _open(folder, "student", base)
    return restore(Student(_empty(config)), state, path).eval()


def accuracy_on_true_states(folder: str | Path) -> float:
    """What `write_parts` noted of a student. Raises UserError where it noted nothing."""
    path = Path(folder) / "student" / PART_FILE
    values = read_json(path) if path.exists() else None
    value = values.get(ACCURACY) if isinstance(values, dict) else None
    if not isinstance(value, float | int) or not 0 <= value <= 1:
        raise UserError(
            f"{path}: does not say how many questions the student answers from the teacher's states ({ACCURACY}); train it "
            "again, or set icot.couple_at to 0"
        )
    return float(value)


def load_emulator(folder: str | Path, base: str | Path | None = None) -> Emulator:
    """The emulator of a checkpoint's folder, or of an authors' folder (then `base` is its base model's folder)."""
    config, state, values, path = _open(folder, "emulator", base)
    size = values.get("mixture_size", 1)
    temperature = values.get("softmax_temperature", 0.05)
    if not (isinstance(size, int) and size > 0 and isinstance(temperature, int | float) and temperature > 0):
        raise UserError(f"{path}: mixture_size {size!r} or softmax_temperature {temperature!r} is no positive number")
    return restore(Emulator(_empty(config), size, float(temperature)), state, path).eval()


def load_coupled(folder: str | Path) -> tuple[Coupled, PreTrainedTokenizerBase]:
    """Emulator, student and tokenizer of a coupled checkpoint."""
    return Coupled(load_emulator(folder), load_student(folder)).eval(), load_parts_tokenizer(folder)


def load_parts_tokenizer(folder: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer next to the parts."""
    tokenizer = load_tokenizer(folder)
    ensure_pad(tokenizer)
    tokenizer.padding_side = "left"
    return tokenizer


def _open(folder: str | Path, part: Part, base: str | Path | None) -> tuple[Any, dict, dict, Path]:
    """(configuration of the wrapped model, weights, settings of the part, file of the weights)."""
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; train the {part} first, or give the folder of a released one")
    place = folder / part if (folder / part).is_dir() else folder
    released, own = place / RELEASED_FILE, place / "model.safetensors"
    if own.exists() and (place / PART_FILE).exists():
        values = read_json(place / PART_FILE)
        if not isinstance(values, dict) or values.get("kind") != part:
            raise UserError(f"{place}: this is no {part} of implicit chain of thought ({PART_FILE} does not say so)")
        return load_config(place), _weights(own), values, own
    if not released.exists():
        raise UserError(
            f"{folder}: has no {part} (neither {part}/model.safetensors with {PART_FILE} nor {RELEASED_FILE}); implicit "
            "chain of thought needs the checkpoint that its rule makes, or a released one"
        )
    values = read_json(place / "config.json")
    if base is None:
        raise UserError(
            f"{released}: a released checkpoint holds weights only; name the folder of its base model "
            f"({values.get('base_model', 'unknown') if isinstance(values, dict) else 'unknown'}) with --base"
        )
    check_family(base, "decoder_only")
    return load_config(base), _weights(released), values if isinstance(values, dict) else {}, released


def _weights(file: Path) -> dict[str, torch.Tensor]:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, SafetensorError, UnpicklingError) as error:
        fault = str(error).strip().split("\n")[0][:160]
        raise UserError(f"{file}: cannot be read ({fault}); fetch it or build it again") from None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"{file}: holds something else than weights; fetch it again")
    return state


def _empty(config: Any) -> nn.Module:
    return AutoModelForCausalLM.from_config(config)
