"""The outcome verifier, which scores whole solutions. GRACE's baseline (Cobbe et al. 2021), section 4.2."""

from pathlib import Path

import torch

from retrace.models.encoder_head import EncoderHead, build_head


class Verifier(EncoderHead):
    """Two logits for a solution, [batch, 2]: wrong and right."""

    def score(self, questions: list[str], solutions: list[str], batch_size: int = 64) -> torch.Tensor:
        """Probability that each solution is right: FloatTensor [n] on the CPU."""
        return self.infer(self.encode(questions, solutions), batch_size).softmax(dim=-1)[:, 1]


def load_verifier(path: str | Path, device: str | torch.device = "cpu") -> Verifier:
    """A verifier from our checkpoint folder or one in the official layout, in evaluation mode."""
    return build_head(Verifier, path, "verifier", device, outputs=2)
