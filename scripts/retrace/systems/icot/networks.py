"""Implicit chain of thought (arXiv 2311.01460): teacher states, the student that reads them and the emulator of them.

A model has N layers of width H; state l is what enters layer l at some position (l = 0: the embedding). The teacher
reads question and steps; N of its states, along the diagonal by default, are all that the student gets of the steps: it
finds state l, through an MLP a layer, at the separator behind the question in its own layer l (section 3.1). The
emulator predicts the states from the question alone, layer by layer (section 3.2). Both wrap an unmodified model.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from retrace.errors import UserError
from retrace.models.layers import blocks_of, compile_blocks, entering, put, run, stop, take

Subset = Literal["diagonal", "first_column", "last_column", "top_row", "bottom_row"]


def positions_of(
    layers: int, subset: Subset, delta: int | Literal["dynamic"], first: Tensor, second: Tensor, official: bool = False
) -> Tensor:
    """From which position each state is taken: LongTensor [B, layers]; section 3.1, equation for t_l.

    first, second: LongTensor [B], the separators behind question and steps. Along a diagonal or a row the position of
    state l is first + l * delta, rounded (half to even), at most second; delta `dynamic` ends at second exactly.
    Columns take all states from one position. official: as the authors' code, whose dynamic delta is the first row's
    for the whole batch, and whose last column is the first; rows are not possible there.
    """
    steps = torch.arange(layers, device=first.device)
    if subset == "first_column" or (official and subset == "last_column"):
        return first[:, None].expand(-1, layers)
    if subset == "last_column":
        return second[:, None].expand(-1, layers)
    if official and subset != "diagonal":
        raise ValueError(f"the authors' code fails for {subset}")
    if delta == "dynamic":
        gaps = (second - first) / max(layers - 1, 1)
        stride = (gaps[:1] if official else gaps)[:, None]
    else:
        stride = torch.full((1, 1), float(delta), device=first.device)
    return torch.minimum(torch.round(first[:, None] + steps * stride).long(), second[:, None])


def teacher_states(
    teacher: nn.Module,
    input_ids: Tensor,
    first: Tensor,
    second: Tensor,
    subset: Subset = "diagonal",
    delta: int | Literal["dynamic"] = "dynamic",
    official: bool = False,
) -> Tensor:
    """The teacher's states [B, N, H], each normalized over H (no scale or shift), in float32.

    input_ids [B, L]: question, separator, steps, separator; what follows, padding included, does not matter. first,
    second: positions of the two separators [B]. A row's states come from all layers at different positions; those of
    `top_row` from the last layer, of `bottom_row` from the first (the embedding).
    """
    blocks = blocks_of(teacher)
    places = positions_of(len(blocks), subset, delta, first, second, official)
    found: list[Tensor] = []

    def collect(layer: int, hidden: Tensor) -> None:
        if subset in ("top_row", "bottom_row"):
            if layer == (len(blocks) - 1 if subset == "top_row" else 0):
                found.extend(take(hidden, places[:, index]) for index in range(len(blocks)))
        else:
            found.append(take(hidden, places[:, layer]))
        if len(found) == len(blocks):
            stop()

    with entering(blocks, collect):
        run(teacher, input_ids=input_ids)
    return normalized(torch.stack(found, 1).float())


def normalized(states: Tensor) -> Tensor:
    """Layer normalization over the last dimension without scale and shift."""
    return functional.layer_norm(states, states.shape[-1:], eps=1e-5)


def _mlp(inputs: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, 4 * width), nn.ReLU(), nn.Linear(4 * width, width))


class _Wrapped(nn.Module):
    """A decoder-only model with further weights; weight names are those of the authors' checkpoints."""

    base_model: nn.Module

    def __init__(self, base_model: nn.Module) -> None:
        super().__init__()
        self.base_model = base_model
        self.layers = len(blocks_of(base_model))
        self.width: int = base_model.config.hidden_size
        # The layers that processes divide one by one, where they divide the network (FSDP).
        self._no_split_modules = getattr(base_model, "_no_split_modules", None)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def weights(self, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The weights by name, each once: a language head that is tied to the embedding is left out.

        state: the weights where this network has only a part of them, because processes divide it.
        """
        return weights_of(self, state)

    def compile_layers(self) -> None:
        """Compile the layers of the wrapped model."""
        compile_blocks(self.base_model)


def weights_of(module: nn.Module, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    """All weights of a module (or those in `state`), tied ones once, contiguous and on the CPU."""
    state = module.state_dict() if state is None else state
    first: dict[int, str] = {}
    named = list(module.named_parameters(remove_duplicate=False))
    for name, weight in named:
        first.setdefault(id(weight), name)
    again = {name for name, weight in named if first[id(weight)] != name}
    return {name: tensor.detach().contiguous().cpu() for name, tensor in state.items() if name not in again}


class Student(_Wrapped):
    """Answers a question from states that are put into its own layers (mind-reading the teacher, section 3.1)."""

    def __init__(self, base_model: nn.Module) -> None:
        super().__init__(base_model)
        self.mlps = nn.ModuleList(_mlp(self.width, self.width) for _ in range(self.layers))

    @contextmanager
    def reading(self, states: Tensor, positions: Tensor) -> Iterator[None]:
        """While the block runs, forward passes of `base_model` find states [B, N, H] at positions [B]."""
        if tuple(states.shape[1:]) != (self.layers, self.width):
            raise UserError(sizes_differ("the states", states.shape[1], states.shape[2], self.layers, self.width))

        def replace(layer: int, hidden: Tensor) -> Tensor:
            return put(hidden, positions, self.mlps[layer](states[:, layer]))

        with entering(blocks_of(self.base_model), replace):
            yield

    def forward(self, input_ids: Tensor, positions: Tensor, states: Tensor) -> Tensor:
        """Logits [B, L, V] of question, separator (at positions [B]) and answer, padded on the right."""
        with self.reading(states, positions):
            return self.base_model(input_ids=input_ids, use_cache=False).logits


class Emulator(_Wrapped):
    """Predicts the teacher's states from the question alone (thought emulation, section 3.2).

    Before layer l runs, the hidden state z at the separator and a mixture component give state l by an MLP; an LSTM
    over the states so far, with attention over its own past outputs, gives what enters the layer there. With one
    component its embedding serves; with several a softmax of z against all, at `temperature`, mixes them.
    """

    def __init__(self, base_model: nn.Module, mixture_size: int = 1, temperature: float = 0.05) -> None:
        super().__init__(base_model)
        width = self.width
        self.temperature = temperature
        self.mlps = nn.ModuleList(_mlp(2 * width, width) for _ in range(self.layers))
        self.mixture_components = nn.Embedding(mixture_size, width)
        self.rnn = nn.LSTM(width, width)
        self.key_proj = nn.Linear(width, width)
        self.query_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(2 * width, width)
        self.freeze_unused()

    def freeze_unused(self) -> None:
        """The last layer and what follows it have no part in the states: they get no gradient."""
        used = list(blocks_of(self.base_model))[:-1]
        trained = {id(weight) for block in used for weight in block.parameters()}
        body = getattr(self.base_model, "base_model", self.base_model)
        trained |= {
            id(weight) for child in body.modules() if isinstance(child, nn.Embedding) for weight in child.parameters()
        }
        for weight in self.base_model.parameters():
            weight.requires_grad_(id(weight) in trained)

    @property
    def mixture_size(self) -> int:
        return self.mixture_components.num_embeddings

    def forward(self, input_ids: Tensor, positions: Tensor) -> Tensor:
        """States [B, N, H] for questions, padded on the right, with their separator at positions [B]."""
        blocks = blocks_of(self.base_model)
        found: list[Tensor] = []
        keys: list[Tensor] = []
        memory: tuple[Tensor, Tensor] | None = None
        context = None

        def emulate(layer: int, hidden: Tensor) -> Tensor:
            nonlocal memory, context
            z = take(hidden, positions)
            state = self.mlps[layer](torch.cat([z, self._mixture(z)], -1))
            found.append(state)
            if layer + 1 == len(blocks):
                stop()
            out, memory = self.rnn((state if context is None else state + context)[None], memory)
            out = out[0]
            key = self.key_proj(out)
            if keys:
                past = torch.stack(keys, 1)  # [B, l, H]
                weights = torch.softmax((past @ self.query_proj(out)[:, :, None])[..., 0], -1)
                context = (weights[:, None] @ past)[:, 0]
            else:
                context = torch.zeros_like(out)
            keys.append(key)
            return put(hidden, positions, self.out_proj(torch.cat([out, context], -1)))

        with entering(blocks, emulate):
            run(self.base_model, input_ids=input_ids)
        return torch.stack(found, 1)

    def _mixture(self, z: Tensor) -> Tensor:
        """The mixture component [B, H] that belongs to hidden states z [B, H]."""
        table = self.mixture_components.weight
        if len(table) == 1:
            return table.expand(len(z), -1).to(z.dtype)
        return torch.softmax(z @ table.T.to(z.dtype) / self.temperature, -1) @ table.to(z.dtype)


class Coupled(nn.Module):
    """Emulator and student as one model, trained on the answer (couple and optimize, section 3.3)."""

    def __init__(self, emulator: Emulator, student: Student, fixed_emulator: bool = False) -> None:
        super().__init__()
        if (emulator.layers, emulator.width) != (student.layers, student.width):
            raise UserError(
                sizes_differ("the emulator", emulator.layers, emulator.width, student.layers, student.width)
            )
        self.emulator = emulator
        self.student = student
        self.fixed_emulator = fixed_emulator
        self._no_split_modules = student._no_split_modules
        if fixed_emulator:
            emulator.requires_grad_(False)

    def weights(self, state: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The weights of both by name, each once; `state` as in `Student.weights`."""
        return weights_of(self, state)

    def compile_layers(self) -> None:
        """Compile the layers of both models."""
        self.emulator.compile_layers()
        self.student.compile_layers()

    def forward(self, input_ids: Tensor, question_ids: Tensor, positions: Tensor) -> Tensor:
        """Logits [B, L, V]. question_ids: the same rows up to the separator at positions [B]."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.fixed_emulator):
            states = self.emulator(question_ids, positions)
        return self.student(input_ids, positions, states)


def sizes_differ(what: str, layers: int, width: int, own_layers: int, own_width: int) -> str:
    return (
        f"{what}: {layers} layers of width {width}, but the student has {own_layers} of width {own_width}; state l is "
        "handed to layer l as it is, so teacher, emulator and student need the same sizes: take one model for all"
    )
