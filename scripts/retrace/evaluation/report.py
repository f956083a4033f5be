"""The summary of results and comparisons that a run prints."""

from collections.abc import Sequence

from retrace.evaluation.paired import Comparison
from retrace.evaluation.result import Result
from retrace.evaluation.verdict import percent
from retrace.tasks.graders import PAPER


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int]) -> list[str]:
    """Lines of a plain-text table; `right` are the numbers of the right-aligned columns."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return "  ".join(cells).rstrip()

    return [line(table[0]), "  ".join("-" * width for width in widths), *[line(row) for row in table[1:]]]


def _seconds(result: Result) -> str:
    return "" if result.cost.prediction_seconds is None else f"{result.cost.prediction_seconds:.1f}"


def result_lines(results: Sequence[tuple[str, Result]]) -> list[str]:
    """The measured accuracies, one block per task, model and preset."""
    lines: list[str] = []
    blocks: dict[tuple[str, str, str], list[Result]] = {}
    for _, result in results:
        blocks.setdefault((result.task, result.model, result.preset), []).append(result)
    for (task, model, preset), members in blocks.items():
        lines += ["", f"{task}, model {model}, preset {preset}: accuracy in percent on {members[0].split} questions"]
        rows = [
            [
                result.method if result.graded_by == PAPER else f"{result.method} (by {result.graded_by})",
                percent(result.accuracy.value),
                f"{percent(result.accuracy.low)} to {percent(result.accuracy.high)}",
                percent(result.accuracy_strict.value),
                str(result.n),
                str(len(result.seeds)),
                _seconds(result),
                reported_cell(result),
            ]
            for result in members
        ]
        header = ["method", "accuracy", "95 % interval", "strict", "n", "seeds", "decoding s", "paper"]
        lines += aligned(header, rows, right=(1, 2, 3, 4, 5, 6))
        for result in members:
            for name, other in result.accuracy_by.items():
                interval = f"{percent(other.low)} to {percent(other.high)}"
                lines.append(f"{result.method} by grader {name}: {percent(other.value)} ({interval})")
        lines += [
            f"{result.method}: {result.reported.verdict}; {result.reported.because}"
            for result in members
            if result.reported
        ]
        for text in dict.fromkeys(result.made_from for result in members):
            lines.append(f"measured with {text}")
    return lines


def reported_cell(result: Result) -> str:
    """The paper's number with the verdict, and of which model it is where ours is not comparable."""
    mine = result.reported
    if mine is None:
        return "-"
    return f"{mine.percent:.1f} ({mine.verdict}{'' if mine.comparable else ', of ' + mine.model})"


def comparison_lines(comparisons: Sequence[Comparison]) -> list[str]:
    """Paired differences in points, one line each."""
    if not comparisons:
        return []
    rows = []
    for one in comparisons:
        gap = one.difference
        rows.append(
            [
                f"{one.method_a} - {one.method_b}",
                f"{100 * gap.value:+.1f}",
                f"{100 * gap.low:+.1f} to {100 * gap.high:+.1f}",
                f"{one.p_value:.1g}" if one.p_value < 0.001 else f"{one.p_value:.3f}",
                str(one.n),
                str(len(one.seeds)),
                f"{one.task}, {one.model}",
            ]
        )
    header = ["paired difference", "points", "95 % interval", "p", "n", "seeds", "on"]
    return ["", *aligned(header, rows, right=(1, 2, 3, 4, 5))]
