"""Number of shards of a step, so that no job is estimated to be long.

The number is part of the plan and therefore depends only on the configuration: neither measured jobs nor existing
files change it. It grows by doubling, so small differences in an estimate give the same plan.
"""

import os
from dataclasses import replace
from pathlib import Path

from retrace.planning.assumptions import Assumptions
from retrace.planning.jobs import Job
from retrace.planning.sizes import Sizes
from retrace.planning.work import work_of

MOST_SHARDS = 64
_WORTH_IT = (
    0.9  # a shard must get this much shorter, because starting a job takes the same time for any number of shards
)


def shards_within(hours: float, least: int, job: Job, limits: dict[str, int], config: Path) -> int:
    """`least` shards, or twice, four times, ... as many, until one takes at most `hours` by the estimate.

    job: one shard, as it would be planned. limits: of its task's splits, how many rows are used. config: the folder
    with tasks and models.
    """
    prepared = [
        Job("prepare_data", {"task": job.wildcards["task"], "split": split}, {"limit": str(limit)})
        for split, limit in limits.items()
    ]
    # Existing data must not count, or the plan would change while it is carried out.
    sizes = Sizes(config, prepared, Assumptions(), results=Path(os.devnull, "results"))

    def seconds(count: int) -> float:
        work = work_of(replace(job, options={**job.options, "shards": str(count)}), sizes)
        return work.seconds if work else 0.0

    count, needed = least, seconds(least)
    while needed > 3600 * hours and 2 * count <= MOST_SHARDS:
        shorter = seconds(2 * count)
        if shorter > _WORTH_IT * needed:
            break
        count, needed = 2 * count, shorter
    return count
