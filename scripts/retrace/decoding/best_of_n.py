"""Best of n: among several samples, choose the one with the highest mean log-probability per token.

The samples and options are those of self-consistency. Dividing by the length avoids an advantage for short solutions
(Cobbe et al. 2021 instead compare whole solutions with a trained verifier).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from retrace.decoding.algorithms import Algorithm, register_algorithm
from retrace.decoding.options import SelfConsistency
from retrace.decoding.plain import free_samples
from retrace.sections import Count

if TYPE_CHECKING:
    from retrace.schemas import Sample
    from retrace.tasks.base import Task


class BestOfN(SelfConsistency):
    """Several samples; the one with the highest mean log-probability per generated token counts."""

    samples: Count = Field(default=40, description="the same number as for self-consistency")


def likeliest(task: "Task", samples: "Sequence[Sample]") -> int:
    """The index of the sample with the highest mean log-probability per generated token; ties go to the first.

    Log-probabilities are those of the model at temperature 1. A token that the calculator forced counts as certain.
    """
    from retrace.decoding.vote import best

    return best([sample.logprob / max(1, sample.tokens) for sample in samples])


register_algorithm(Algorithm("best_of_n", BestOfN, sample=free_samples, choose=likeliest))
