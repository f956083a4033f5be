"""Models that implicit chain of thought is compared with on equal terms."""

import copy

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.models.options import ModelConfig
from retrace.models.scratch import build_model
from retrace.systems.icot.networks import Emulator, Student


def parameters_of_both(base: PreTrainedModel, mixture_size: int = 1) -> int:
    """Weights of a student and an emulator around models such as `base`, tied ones once."""
    both = (Student(copy.deepcopy(base)), Emulator(copy.deepcopy(base), mixture_size))
    return sum(sum(weight.numel() for weight in {id(w): w for w in part.parameters()}.values()) for part in both)


def as_large_as_both(
    base: PreTrainedModel, config: ModelConfig, tokenizer: PreTrainedTokenizerBase, seed: int
) -> PreTrainedModel:
    """A fresh model with twice the layers of `base` and at least as many weights as emulator and student together.

    The width stays; the feed-forward layers are as wide as that takes. Raises UserError for a model of the Hub: there
    is no pretrained one of that shape.
    """
    if config.scratch is None:
        raise UserError(
            f"{config.name}: the control of the same depth and size is a fresh model, and stands beside models from "
            "scratch only; for a pretrained one compare with a larger model of its family"
        )
    wanted = parameters_of_both(base)

    def built(feedforward: int) -> PreTrainedModel:
        shape = config.scratch.model_copy(update={"layers": 2 * config.scratch.layers, "feedforward": feedforward})
        return build_model(shape, config.family, tokenizer, seed)

    step = config.scratch.width
    least = built(step).num_parameters()
    each = built(2 * step).num_parameters() - least
    return built(step * (1 + max(0, -(-(wanted - least) // each))))
