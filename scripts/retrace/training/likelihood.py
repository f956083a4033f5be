"""Log-probabilities of texts under a generator."""

from collections.abc import Sequence

import torch
from transformers.modeling_utils import PreTrainedModel

from retrace.training.data import IGNORED, Row, collate_generator
from retrace.training.sft import start_token


def sequence_log_probs(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Sum of the log-probabilities (natural log) of each row's labeled tokens, FloatTensor [n].

    batch: from `collate_generator`, on the model's device.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    labels = batch["labels"]
    logits = model(**inputs, use_cache=False).logits.float()
    # Not log_softmax, which would hold a second copy of the logits.
    chosen = logits.gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    values = chosen - logits.logsumexp(-1)
    return torch.where(labels != IGNORED, values, 0.0).sum(-1)


@torch.inference_mode()
def log_probabilities(
    model: PreTrainedModel, pad_id: int, rows: Sequence[Row], batch_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum of the log-probabilities (natural log) of each row's labeled tokens, and their number, each FloatTensor [n]."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].length)
    sums, counts = torch.zeros(len(rows)), torch.zeros(len(rows))
    for start in range(0, len(order), batch_size):
        part = order[start : start + batch_size]
        batch = collate_generator([rows[index] for index in part], pad_id, start_token(model))
        batch = {name: value.to(model.device) for name, value in batch.items()}
        sums[part] = sequence_log_probs(model, batch).cpu()
        counts[part] = (batch["labels"] != IGNORED).sum(-1).float().cpu()
    return sums, counts
