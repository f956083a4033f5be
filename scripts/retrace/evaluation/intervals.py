"""95 % intervals: Wilson's for one run, a cluster bootstrap over questions and seeds for several."""

import math
from statistics import NormalDist
from typing import Literal

import numpy as np
from pydantic import Field

from retrace.schemas import Row

LEVEL = 0.95
RESAMPLES = 10_000
_BLOCK = 2_000_000  # indices drawn at once; bounds the memory for any number of questions


class Estimate(Row):
    """A share, or a difference between two shares, with its interval. Papers print 0.343 as 34.3."""

    value: float = Field(ge=-1, le=1)
    low: float = Field(ge=-1, le=1, description="lower end of the 95 % interval")
    high: float = Field(ge=-1, le=1, description="upper end of the 95 % interval")
    interval: Literal["wilson", "cluster_bootstrap", "paired_bootstrap"] = Field(description="how it was computed")


def wilson(successes: float, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of a share, both ends in 0..1 (Wilson 1927; Brown, Cai and DasGupta 2001).

    successes: how many of the `n` independent trials succeeded; may be fractional as a mean over runs.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials are not a share")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = successes / n
    center = share + z * z / (2 * n)
    spread = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    low = 0.0 if successes == 0 else (center - spread) / scale
    high = 1.0 if successes == n else (center + spread) / scale
    return max(0.0, low), min(1.0, high)


def cluster_bootstrap(
    values: np.ndarray,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    over_seeds: bool = True,
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` [seeds, questions], resampling questions and seeds with replacement.

    A question's outcomes under all seeds stay together (they are not independent), and so do all questions of a seed
    (they share one trained model). over_seeds=False resamples only the questions. With two or three seeds the variation
    between seeds is itself poorly known, which the interval cannot correct.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"values must be [seeds, questions] with at least one of each, got shape {values.shape}")
    seeds, questions = values.shape
    generator = np.random.default_rng(seed)
    means = np.empty(resamples)
    block = max(1, _BLOCK // questions)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = generator.integers(questions, size=(size, questions))
        by_seed = np.stack([row[drawn].mean(axis=1) for row in values])  # [seeds, size]
        if over_seeds and seeds > 1:
            chosen = generator.integers(seeds, size=(seeds, size))
            by_seed = np.take_along_axis(by_seed, chosen, axis=0)
        means[start : start + size] = by_seed.mean(axis=0)
    tail = (1 - level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def estimate(values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """The mean of correct (1) and wrong (0) answers [seeds, questions], with its 95 % interval.

    With one seed it is Wilson's interval over the questions, with several a cluster bootstrap. If all answers are equal,
    the bootstrap has no variation and would claim certainty, so Wilson's interval is used instead.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if values.shape[0] == 1 or np.all(values == values.flat[0]):
        low, high = wilson(mean * values.shape[1], values.shape[1])
        return Estimate(value=mean, low=low, high=high, interval="wilson")
    low, high = cluster_bootstrap(values, resamples, seed)
    return Estimate(value=mean, low=low, high=high, interval="cluster_bootstrap")
