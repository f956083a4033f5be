"""Cost of planned jobs, from records of the same job, records of the same rule elsewhere, or formulas.

measured   the same job with another seed or shard was measured with the same settings on inputs of the same size (or on
           inputs whose jobs are measured in this sense): its mean; the range is that of the records, a quarter either
           way where there is one only
scaled     the rule was measured with another task, model or setting on the same kind of device: the formula, times the
           median of measured over formula for the nearest records; the factor is what these scatter, at least 2
           (another model: 3; a job that is more than ten times as long or as short as all of them: the assumed one)
formula    the configuration alone, right within the assumed factor
unknown    no formula and no record: counted, not estimated
"""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from retrace.cli import OF_THE_CARD
from retrace.planning.jobs import Job
from retrace.planning.records import Record
from retrace.planning.sizes import Sizes
from retrace.planning.work import Work, work_of
from retrace.schemas import Row

Kind = Literal["measured", "scaled", "formula", "unknown"]
KINDS: tuple[Kind, ...] = ("measured", "scaled", "formula", "unknown")
ALONE = 1.25  # how far a second measurement of the same job may lie from the only one there is
FAR = 10.0  # times a record's length, beyond which its start and its work are in another proportion
NEARNESS = (
    "model",
    "decoder",
    "task",
)  # agreements that make a record of the same rule a near one, most important first
UNRECORDED = 2.0  # like ALONE if the settings of the record are not known


class Amount(Row):
    """A sum with its range. The ranges of the jobs are added up, as if all were wrong in the same way."""

    low: float = 0.0
    likely: float = 0.0
    high: float = 0.0

    def plus(self, seconds: float, low: float, high: float) -> "Amount":
        return Amount(low=self.low + seconds * low, likely=self.likely + seconds, high=self.high + seconds * high)


class SourceOf(Row):
    """Where the estimate of some jobs of a rule comes from."""

    kind: Kind
    jobs: int = Field(description="jobs that are estimated this way")
    records: int = Field(default=0, description="measured jobs that the estimate is based on")
    factor: float | None = Field(default=None, description="assumed uncertainty factor in both directions")
    note: str = ""


class RuleCost(Row):
    """All planned jobs of one rule."""

    rule: str
    jobs: int
    sources: list[SourceOf]
    wall_hours: Amount = Field(description="sum over all jobs")
    gpu_hours: Amount
    cpu_hours: Amount
    tokens: float = Field(description="read in training and written in decoding")
    disk_bytes: float = Field(description="disk space of the outputs; temporary files are not counted")


class CostEstimate(Row):
    """The document that scripts/estimate_cost.py writes with --json."""

    kind: Literal["cost_estimate"] = "cost_estimate"
    targets: list[str]
    jobs: int
    rules: list[RuleCost]
    wall_hours: Amount
    gpu_hours: Amount
    cpu_hours: Amount
    tokens: float
    disk_bytes: float
    state_bytes: float = Field(description="additional disk space for restarts while the largest training runs")
    measured_share: float = Field(description="share of the likely wall hours that rests on measured jobs")
    gpu_hours_limit: float | None = Field(
        description="total that the time limits allow; None if a GPU job has no limit"
    )
    unknown_jobs: int
    assumptions: dict[str, float | int]


@dataclass(frozen=True)
class Guess:
    """One job's wall seconds, with factors down and up."""

    kind: Kind
    seconds: float = 0.0
    low: float = 1.0
    high: float = 1.0
    records: int = 0
    load: float | None = None  # processor seconds a wall second
    note: str = ""


def same_settings(record: Job, job: Job) -> bool:
    """Whether all options that both name agree; paths differ with the seed and are left out, and so is what only a model
    card tells."""
    if record.gpus != job.gpus or (not job.gpus and record.threads != job.threads):
        return False
    for name in record.options.keys() & job.options.keys():
        there, here = record.options[name], job.options[name]
        if "/" not in there + here and name not in ("seed", "shard", *OF_THE_CARD) and there != here:
            return False
    return True


def same_size(file: str, job: Job, record: Job) -> bool:
    """Whether a file that is there holds about as much as the recorded job read under that name, its own seed aside."""
    seed, other = job.wildcards.get("seed"), record.wildcards.get("seed")
    then = record.input_mb.get(file.replace(f"/seed{seed}/", f"/seed{other}/"))
    path = Path(file)
    if then is None or not path.is_file():  # a folder's size is not meaningful
        return True
    return abs(path.stat().st_size / 2**20 - then) <= 0.1 * then


class Estimator:
    """Estimates job by job: from the records, or by the formulas."""

    def __init__(self, records: Sequence[Record], sizes: Sizes) -> None:
        self.sizes = sizes
        self.by_kind: dict[str, list[Record]] = defaultdict(list)
        self.by_rule: dict[str, list[tuple[Record, float]]] = defaultdict(list)
        for record in records:
            self.by_kind[record.job.kind].append(record)
            # A download's duration depends on the connection, so it says nothing about other downloads.
            work = work_of(record.job, sizes) if record.settings_known and record.job.rule != "fetch_model" else None
            if work and work.seconds > 0:
                self.by_rule[record.job.rule].append((record, record.seconds / work.seconds))
        self.repeats: dict[int, list[Record]] = {}
        self.near = cache(self._near)

    def guess(self, job: Job, work: Work | None) -> Guess:
        return self._measured(job) or self._scaled(job, work) or self._formula(work)

    def _measured(self, job: Job) -> Guess | None:
        same, note = self.repeated(job), ""
        if not same:
            same = [record for record in self.by_kind.get(job.kind, []) if not record.settings_known]
            note = "settings not recorded"
        if not same:
            return None
        seconds = [record.seconds for record in same]
        mean = statistics.fmean(seconds) or 1e-3
        spread = UNRECORDED if note else ALONE if len(same) == 1 else 1.0
        low, high = min(seconds) / mean / spread, max(seconds) / mean * spread
        return Guess("measured", mean, low, high, len(same), load_of(same), note)

    def repeated(self, job: Job) -> list[Record]:
        """The records of jobs that did the same on the same amount of data."""
        if id(job) not in self.repeats:
            there = [record for record in self.by_kind.get(job.kind, []) if record.settings_known]
            same = [record for record in there if same_settings(record.job, job)]
            self.repeats[id(job)] = [record for record in same if self._same_inputs(record, job)]
        return self.repeats[id(job)]

    def _same_inputs(self, record: Record | None, job: Job) -> bool:
        """Whether a planned job's inputs are those of a record, or are made by jobs that repeat measured ones."""
        for file in job.input:
            if (producer := self.sizes.makers.get(file)) is not None:
                # A job that only joins its inputs has no record.
                joins = producer.benchmark is None and self._same_inputs(None, producer)
                if not joins and not self.repeated(producer):
                    return False
            elif record is not None and not same_size(file, job, record.job):
                return False
        return True

    def _scaled(self, job: Job, work: Work | None) -> Guess | None:
        """The formula, times what the nearest records of the same rule took of it."""
        near = self.near(job.rule, bool(job.gpus), *(job.wildcards.get(name) for name in NEARNESS)) if work else None
        if near is None or work is None:
            return None
        guess, shortest, longest = near
        far = not shortest / FAR <= work.seconds <= longest * FAR
        factor = max(guess.high, self.sizes.assumed.factor) if far else guess.high
        return replace(guess, seconds=guess.seconds * work.seconds, low=1 / factor, high=factor)

    def _near(self, rule: str, on_gpu: bool, *names: str | None) -> tuple[Guess, float, float] | None:
        """What the nearest records say for a formula that gives one second, and their own formulas' range."""
        by_nearness: dict[tuple[bool, ...], list[tuple[Record, float]]] = defaultdict(list)
        for record, ratio in self.by_rule.get(rule, []):
            if bool(record.job.gpus) == on_gpu:
                nearness = (record.job.wildcards.get(name) == here for name, here in zip(NEARNESS, names, strict=True))
                by_nearness[tuple(nearness)].append((record, ratio))
        if not by_nearness:
            return None
        best = max(by_nearness)
        records, ratios = zip(*by_nearness[best], strict=True)
        middle = statistics.median(ratios)
        scatter = max(max(ratio / middle, middle / ratio) for ratio in ratios)
        factor = max(scatter, 2.0 if best[0] else 3.0)
        note = f"{middle:.2g} times the formula"
        lengths = [record.seconds / ratio for record, ratio in by_nearness[best]]  # by the formula
        return (
            Guess("scaled", middle, 1 / factor, factor, len(ratios), load_of(records), note),
            min(lengths),
            max(lengths),
        )

    def _formula(self, work: Work | None) -> Guess:
        if work is None:
            return Guess("unknown")
        factor = self.sizes.assumed.factor
        return Guess("formula", work.seconds, 1 / factor, factor, note="" if work.sizes_known else "rows assumed")


def load_of(records: Iterable[Record]) -> float | None:
    """CPU seconds per wall second over the records that have both."""
    both = [(record.cpu_seconds, record.seconds) for record in records if record.cpu_seconds and record.seconds]
    return sum(cpu for cpu, _ in both) / sum(wall for _, wall in both) if both else None


def busy(job: Job, guess: Guess) -> float:
    """CPUs that a job keeps busy: as measured, or all its threads; one if a GPU computes."""
    return guess.load if guess.load is not None else 1.0 if job.gpus else float(job.threads)


def left_behind(job: Job, work: Work | None, records: Iterable[Record]) -> float:
    """Bytes of a job's output: as large as the same output of a measured seed, or by the formula."""
    seed = job.wildcards.get("seed")
    for record in records:
        other = record.job.wildcards.get("seed")
        paths = [Path(file.replace(f"/seed{seed}/", f"/seed{other}/")) for file in job.output]
        if paths and all(path.exists() for path in paths):
            return sum(size_of(path) for path in paths)
    return work.disk if work else 0.0


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def estimate(targets: Sequence[str], jobs: Sequence[Job], records: Sequence[Record], sizes: Sizes) -> CostEstimate:
    """The cost of all planned jobs.

    Args:
        targets: requested targets, for the report.
        jobs: the whole plan.
        records: measured jobs.
        sizes: of the plan's texts and models.
    """
    estimator = Estimator(records, sizes)
    guesses = [(job, work := work_of(job, sizes), estimator.guess(job, work)) for job in jobs]
    by_rule: dict[str, list[tuple[Job, Work | None, Guess]]] = defaultdict(list)
    for one in guesses:
        by_rule[one[0].rule].append(one)
    rules = [_cost_of_rule(rule, planned, estimator) for rule, planned in by_rule.items()]
    rules.sort(key=lambda cost: (-cost.gpu_hours.likely, -cost.wall_hours.likely, cost.rule))
    likely = sum(guess.seconds for *_, guess in guesses)
    sure = sum(guess.seconds for *_, guess in guesses if guess.kind == "measured")
    limits = [None if job.minutes is None else job.minutes / 60 * job.gpus for job in jobs if job.gpus]
    return CostEstimate(
        targets=list(targets),
        jobs=len(jobs),
        rules=rules,
        **{name: _total(getattr(cost, name) for cost in rules) for name in ("wall_hours", "gpu_hours", "cpu_hours")},
        tokens=sum(cost.tokens for cost in rules),
        disk_bytes=sum(cost.disk_bytes for cost in rules),
        state_bytes=max((work.state for _, work, _ in guesses if work), default=0.0),
        measured_share=sure / likely if likely else 0.0,
        gpu_hours_limit=None if None in limits else sum(limit or 0 for limit in limits),
        unknown_jobs=sum(guess.kind == "unknown" for *_, guess in guesses),
        assumptions=sizes.assumed.model_dump(),
    )


def _cost_of_rule(rule: str, planned: Sequence[tuple[Job, Work | None, Guess]], estimator: Estimator) -> RuleCost:
    wall, gpu, cpu, disk = Amount(), Amount(), Amount(), 0.0
    for job, work, guess in planned:
        hours = guess.seconds / 3600
        wall = wall.plus(hours, guess.low, guess.high)
        gpu = gpu.plus(hours * job.gpus, guess.low, guess.high)
        cpu = cpu.plus(hours * busy(job, guess), guess.low, guess.high)
        disk += 0.0 if job.is_shard else left_behind(job, work, estimator.by_kind.get(job.kind, []))
    return RuleCost(
        rule=rule,
        jobs=len(planned),
        sources=sources_of([guess for *_, guess in planned]),
        wall_hours=wall,
        gpu_hours=gpu,
        cpu_hours=cpu,
        tokens=sum(work.tokens for _, work, _ in planned if work),
        disk_bytes=disk,
    )


def _total(parts: Iterable[Amount]) -> Amount:
    parts = list(parts)
    return Amount(**{key: sum(getattr(part, key) for part in parts) for key in Amount.model_fields})


def sources_of(guesses: Sequence[Guess]) -> list[SourceOf]:
    """The sources of a rule's jobs, the most reliable first."""
    found = []
    for kind in KINDS:
        some = [guess for guess in guesses if guess.kind == kind]
        if some:
            worst = max(some, key=lambda guess: max(guess.high, 1 / guess.low))
            found.append(
                SourceOf(
                    kind=kind,
                    jobs=len(some),
                    records=max(guess.records for guess in some),
                    factor=None if kind == "unknown" else round(max(worst.high, 1 / worst.low), 2),
                    note=worst.note,
                )
            )
    return found
