"""Answers from emulator and student (arXiv 2311.01460): no step is written, the states of the steps are emulated.

The emulator runs once per question. The student reads the question with the emulated states in its layers at the
separator, and its keys and values are kept: from then on it decodes as every other model does, in batches of questions
of any length.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from retrace.decoding.engine import Decoder, SharedPrefix
from retrace.decoding.setup import Generator, best_device
from retrace.decoding.state import State
from retrace.models.exact import is_exact, make_rows_independent
from retrace.models.load import dtype_of
from retrace.models.options import load_model_config
from retrace.prompting.prompting import Prompting
from retrace.systems.icot.files import load_coupled
from retrace.systems.icot.networks import Coupled
from retrace.tasks.load import load_task


class ImplicitDecoder(Decoder):
    """A coupled model, decoded as `Decoder` decodes: reading a prompt runs the emulator, then the student."""

    def __init__(
        self, coupled: Coupled, tokenizer, device: torch.device | str | None = None, exact: str = "always"
    ) -> None:  # type: ignore[no-untyped-def]
        coupled = coupled.eval() if device is None else coupled.to(device).eval()
        super().__init__(coupled.student.base_model, tokenizer, "decoder_only", separated=True, exact=exact)
        self.coupled = coupled
        if self.wants_exact and is_exact(self.device) and coupled.emulator.out_proj.weight.dtype == torch.float32:
            # The states of a question shall not depend on the questions beside it; the emulator runs but once.
            coupled.emulator.double()
            make_rows_independent(coupled.student.mlps, None)

    def shared_prefix(self, prompts: Sequence[Sequence[int]]) -> SharedPrefix | None:
        """None: the student reads a question together with the emulated states behind it."""
        return None

    @torch.no_grad()
    def prefill(self, prompts: Sequence[str] | Sequence[list[int]], shared: SharedPrefix | None = None) -> State:
        """Read prompts that end in the separator; the state has one row a prompt. shared: none, see above."""
        ids = [list(p) for p in prompts] if prompts and not isinstance(prompts[0], str) else self.encode(prompts)
        states = self.emulate(ids)
        # Prompts are aligned on the right, so every separator stands in the last column.
        last = torch.full((len(ids),), max(map(len, ids)) - 1, device=self.device)
        with self.coupled.student.reading(states, last):
            return super().prefill(ids)

    @torch.no_grad()
    def emulate(self, ids: Sequence[list[int]]) -> Tensor:
        """The emulated states [B, N, H] of prompts."""
        tokens, _ = self.pad(ids, left=False)
        places = torch.tensor([len(row) - 1 for row in ids], device=self.device)
        return self.coupled.emulator(tokens, places).to(next(self.coupled.student.mlps.parameters()).dtype)


def open_implicit(
    folder: str | Path, dtype: str = "float32", device: str = "cpu", exact: str = "always"
) -> ImplicitDecoder:
    """The coupled checkpoint in `folder`, ready to decode. Raises UserError for another kind of folder."""
    coupled, tokenizer = load_coupled(folder)
    return ImplicitDecoder(coupled.to(dtype_of(dtype)), tokenizer, device, exact)


def open_coupled(
    model: str | Path,
    model_file: str | Path,
    task_file: str | Path,
    device: str | None = None,
    exact: str = "always",
) -> Generator:
    """Load the coupled checkpoint `model` of implicit chain of thought. Raises UserError for what does not fit together."""
    config = load_model_config(model_file)
    task, decoder = load_task(task_file), open_implicit(model, config.dtype, device or best_device(), exact)
    prompting = Prompting(task, config.family, decoder.tokenizer, layout="no_cot")
    return Generator(task, config, decoder, None, prompting)
