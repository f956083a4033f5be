"""Terminal tables of cost estimates and reports."""

from collections.abc import Sequence

from retrace.planning.estimate import Amount, CostEstimate, RuleCost, SourceOf
from retrace.planning.spent import CostReport


def aligned(heading: Sequence[str], rows: Sequence[Sequence[str]], words: Sequence[int] = (0,)) -> list[str]:
    """Lines of a table; columns in `words` are left-aligned, the others, which are numeric, right-aligned."""
    widths = [max(len(line[i]) for line in (heading, *rows)) for i in range(len(heading))]
    lines = []
    for line in (heading, *rows):
        cells = [
            cell.ljust(width) if i in words else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def hours(value: float) -> str:
    """Hours with two significant digits; 0 stays 0."""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2g}"


def amount(value: Amount) -> str:
    if value.likely == 0:
        return "0"
    return f"{hours(value.likely)} ({hours(value.low)} to {hours(value.high)})"


def scaled(value: float, units: Sequence[str]) -> str:
    """A number with the unit that leaves at most three digits before the point."""
    power = 0
    while value >= 999.5 and power < len(units) - 1:
        value /= 1000
        power += 1
    return f"{value:.{0 if power == 0 or value >= 10 else 1}f} {units[power]}".strip()


def size(value: float) -> str:
    return scaled(value, ["B", "kB", "MB", "GB", "TB"])


def count(value: float) -> str:
    return scaled(value, ["", "k", "M", "G", "T"])


def source(one: SourceOf, alone: bool) -> str:
    """Description of a number's source and uncertainty."""
    times = f"{one.records} time{'s' if one.records != 1 else ''}"
    text = {
        "measured": f"measured {times}, within {one.factor}",
        "scaled": f"measured {times} elsewhere, factor {one.factor}",
        "formula": f"configuration only, factor {one.factor}",
        "unknown": "no formula and no record",
    }[one.kind]
    text += f" ({one.note})" if one.note else ""
    return text if alone else f"{one.jobs} {'job' if one.jobs == 1 else 'jobs'}: {text}"


def sources(cost: RuleCost) -> str:
    return "; ".join(source(one, len(cost.sources) == 1) for one in cost.sources)


def estimate_lines(found: CostEstimate, free_bytes: int | None) -> list[str]:
    """The estimate as text. free_bytes: of the disk that the results are written to."""
    if not found.jobs:
        return ["nothing to do: every file exists"]
    heading = ["rule", "jobs", "GPU hours", "CPU hours", "tokens", "disk", "from"]
    rows = [
        [c.rule, str(c.jobs), amount(c.gpu_hours), amount(c.cpu_hours), count(c.tokens), size(c.disk_bytes), sources(c)]
        for c in found.rules
    ]
    total = [amount(found.gpu_hours), amount(found.cpu_hours), count(found.tokens), size(found.disk_bytes)]
    rows.append(["total", str(found.jobs), *total, f"{100 * found.measured_share:.0f} % of the time measured"])
    lines = aligned(heading, rows, (0, 6))
    lines.insert(-1, "-" * max(map(len, lines)))
    lines.append("")
    if found.unknown_jobs:
        lines.append(f"not included: {found.unknown_jobs} jobs without formula or record")
    if found.gpu_hours_limit:
        lines.append(f"the jobs' time limits allow {hours(found.gpu_hours_limit)} GPU hours (first attempts)")
    if found.state_bytes > 1e8:
        lines.append(f"a training keeps up to {size(found.state_bytes)} more on disk while it runs, for restarts")
    if free_bytes is not None and found.disk_bytes + found.state_bytes > free_bytes:
        lines.append(
            f"disk: about {size(found.disk_bytes + found.state_bytes)} are needed here and {size(free_bytes)} are free"
        )
    lines.append("likely value (low to high); assumptions and how to change them: --help")
    return lines


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds; a dash if nothing was recorded."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def memory(megabytes: float | None) -> str:
    return "-" if megabytes is None else size(megabytes * 2**20)


def report_lines(found: CostReport) -> list[str]:
    """The report as text."""
    if not found.rules:
        return ["nothing measured: there are no benchmark records and no results"]
    heading = ["rule", "jobs", "wall", "longest", "CPU", "GPU", "peak memory", "disk", "files"]
    rows = [
        [
            row.rule,
            str(row.jobs),
            duration(row.wall_seconds),
            duration(row.longest_seconds),
            duration(row.cpu_seconds),
            duration(row.gpu_seconds),
            memory(row.peak_memory_mb),
            size(row.disk_bytes),
            str(row.files),
        ]
        for row in found.rules
    ]
    sums = [duration(found.cpu_seconds), duration(found.gpu_seconds), memory(found.peak_memory_mb)]
    files = str(sum(row.files for row in found.rules))
    rows.append(
        ["total", str(found.jobs), duration(found.wall_seconds), "", *sums, size(found.disk_bytes), files],
    )
    lines = aligned(heading, rows)
    lines.insert(-1, "-" * max(map(len, lines)))
    if unrecorded := sum(row.unrecorded for row in found.rules):
        lines += ["", f"{unrecorded} records do not say how many GPUs a job had (run with --benchmark-extended)"]
    return lines
