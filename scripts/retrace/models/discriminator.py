"""The step discriminator, which scores whether a step continues a solution correctly. GRACE section 3.2."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import functional

from retrace.models.encoder_head import EncoderHead, build_head

ANSWER_SIGN = "A:"  # before a solution; the generators of the GRACE authors write it themselves


def question_text(question: str) -> str:
    """The question in the released discriminators' format."""
    return f"Q: {' '.join(question.split())}"


def context_text(question: str, prefix: str) -> str:
    """The text before [SEP]: question and solution so far, with the markers that the released discriminators expect."""
    return f"{question_text(question)} {ANSWER_SIGN} {prefix}".strip()


def discriminator_input(task: Any, question: str, prefix_steps: list[str], step: str) -> tuple[str, str]:
    """(context text, step text) of one step, in the form used by both training and decoding.

    Args:
        task: The task, a retrace.tasks.Task.
        question: The question.
        prefix_steps: The steps before, without delimiter.
        step: The step, without delimiter.
    """
    return context_text(question, task.join_steps(prefix_steps)), step_text(task, step)


def step_text(task: Any, step: str) -> str:
    """A step in the discriminator's input: with its delimiter at the end."""
    return f"{step} {task.delimiter}"


class StepDiscriminator(EncoderHead):
    """Scores in (-1, 1): tanh of the encoder's two-layer head; a higher score means more likely correct."""

    def squash(self, values: torch.Tensor) -> torch.Tensor:
        """Scores [batch] of the head's outputs [batch, 1]."""
        return torch.tanh(values).squeeze(-1)

    @torch.inference_mode()
    def score_ids(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Scores [batch] of padded token ids `[CLS] context [SEP] step`, in evaluation mode."""
        was_training = self.training
        self.eval()
        scores = self(input_ids.to(self.device), attention_mask.to(self.device))
        self.train(was_training)
        return scores

    def score(self, questions: list[str], prefixes: list[str], steps: list[str], batch_size: int = 256) -> torch.Tensor:
        """Scores of text rows, FloatTensor [n] on the CPU.

        prefixes: from Task.join_steps (empty at the start); steps: from `step_text`.
        """
        contexts = [context_text(question, prefix) for question, prefix in zip(questions, prefixes, strict=True)]
        return self.score_contexts(contexts, steps, batch_size)

    def score_contexts(self, contexts: list[str], steps: list[str], batch_size: int = 256) -> torch.Tensor:
        """The same for context texts from `discriminator_input`."""
        return torch.tanh(self.infer(self.encode(contexts, steps), batch_size)).squeeze(-1)


def pair_loss(
    positive: torch.Tensor,
    negative: torch.Tensor,
    kind: Literal["max_margin", "log_sigmoid", "binary"],
    margin: float = 1.0,
) -> torch.Tensor:
    """Mean loss over pairs of scores [batch]. GRACE equation 5, or an alternative of its figure 6.

    max_margin: max(0, margin - (positive - negative)); log_sigmoid: -log sigmoid(positive - negative). binary looks at each
    step by itself: the cross-entropy of the probability (1 + score) / 2 that it is right, the mean of both steps.
    """
    if kind == "binary":
        right, wrong = ((1 + score) / 2 for score in (positive, negative))
        # Scores in half precision reach 1 and -1.
        least = 1e-6
        return -(right.clamp(min=least).log() + (1 - wrong).clamp(min=least).log()).mean() / 2
    if kind == "max_margin":
        return functional.relu(margin - (positive - negative)).mean()
    return -functional.logsigmoid(positive - negative).mean()


def load_discriminator(
    path: str | Path, device: str | torch.device = "cpu", exact: str = "always"
) -> StepDiscriminator:
    """A discriminator from our own checkpoint folder or from a released one, in evaluation mode.

    A released folder (mkhalifa/grace-discrim-*) has a tokenizer and pytorch_model.bin with the weights of the head and of
    a whole T5; its settings are those of the paper (max pooling, 512 tokens). Without a config.json the configuration is
    derived from the shapes of the weights. Raises UserError if the folder has something else.

    Args:
        path: Folder of the discriminator.
        device: Device to run on.
        exact: Whether rows are independent of each other on a CPU (see `retrace.models.exact.is_wanted`).
    """
    return build_head(StepDiscriminator, path, "discriminator", device, outputs=1, exact=exact)
