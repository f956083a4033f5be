"""The formulas of cost, one function for each rule; each system registers its own."""

from collections.abc import Callable

from retrace.planning.jobs import Job
from retrace.planning.sizes import Sizes
from retrace.planning.work import Work

Formula = Callable[[Job, Sizes], Work]


FORMULAS: dict[str, Formula] = {}


def formula(*rules: str) -> Callable[[Formula], Formula]:
    """Register a formula for these rules."""

    def register(function: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(rules, function))
        return function

    return register


def work_of(job: Job, sizes: Sizes) -> Work | None:
    """What a job will take, or None where no formula is known for its rule."""
    function = FORMULAS.get(job.rule)
    if function:
        return function(job, sizes)
    if job.benchmark is None and not job.gpus:  # gathering, scoring, tables: no models
        return Work(sizes.assumed.small_job_seconds)
    return None
