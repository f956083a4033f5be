"""The figure of a LaTRO training, from its curves.jsonl."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retrace.errors import UserError

Curve = list[dict[str, float]]  # one row per logged step
# Each panel: title, scale, and columns with their source: training, or evaluations on `dev` or `test`.
_PANELS = (
    ("reward: log p(answer | question, rationale)", 1.0, (("reward", "training"), ("{split}_reward", "{split}"))),
    ("log-ratio to the reference, per rationale", 1.0, (("kl", "training"),)),
    ("rationale length, tokens", 1.0, (("rationale_length", "training"), ("{split}_rationale_length", "{split}"))),
    ("finished rationales, %", 100.0, (("finished_share", "training"), ("{split}_finished_share", "{split}"))),
    ("accuracy, greedy, %", 100.0, (("{split}_accuracy", "{split}"), ("{split}_accuracy_strict", "{split}, strict"))),
)
_STYLES = [("#0072b2", "o"), ("#d55e00", "s"), ("#009e73", "^"), ("#cc79a7", "D"), ("#e69f00", "v")]


def read_curves(paths: Sequence[str | Path], seeds: Sequence[int]) -> dict[int, Curve]:
    """The curve of each seed. Raises UserError naming the file and line that cannot be read."""
    if len(paths) != len(seeds):
        raise UserError(f"--curves names {len(paths)} files and --seeds {len(seeds)} seeds; give one file per seed")
    return {seed: _read(Path(path)) for path, seed in zip(paths, seeds, strict=True)}


def _read(path: Path) -> Curve:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            rows.append({key: float(value) for key, value in row.items()})
        except (json.JSONDecodeError, AttributeError, TypeError, ValueError):
            raise UserError(f"{path}:{number}: not a line of a curve; delete the file and train again") from None
    if split_of(rows) is None:
        raise UserError(f"{path}: has no evaluation, so it is not from train_latro.py; delete it and train again")
    return rows


def split_of(curve: Curve) -> str | None:
    """The split on which checkpoints were compared."""
    return next((key.removesuffix("_accuracy") for row in curve for key in row if key.endswith("_accuracy")), None)


def draw(curves: dict[int, Curve], title: str, preset: str | None, output: str | Path) -> None:
    """Write the figure as SVG: one panel per quantity, one color per seed; equal curves give equal bytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "retrace", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 9.5), layout="constrained")
        panels = figure.subplots(len(_PANELS), 1, sharex=True)
        for axes, (label, scale, columns) in zip(panels, _PANELS, strict=True):
            for number, (seed, curve) in enumerate(curves.items()):
                _panel(axes, curve, columns, scale, f"seed {seed}" if len(curves) > 1 else "", _STYLES[number % 5])
            axes.set_title(label, fontsize=9, loc="left")
            axes.grid(color="#dddddd", linewidth=0.6)
            axes.legend(fontsize=7)
        panels[-1].set_xlabel("optimizer step")
        whole = (
            f"{title}, {len(curves)} seed" + ("s" if len(curves) > 1 else "") + (f", preset {preset}" if preset else "")
        )
        figure.suptitle(whole, fontsize=10)
        figure.savefig(output, format="svg", metadata={"Date": None, "Title": whole})


def _panel(axes: Any, curve: Curve, columns: tuple, scale: float, seed: str, style: tuple[str, str]) -> None:
    split = split_of(curve) or ""
    color, marker = style
    for number, (column, name) in enumerate(columns):
        key, label = column.format(split=split), name.format(split=split)
        rows = [row for row in curve if key in row]
        measured = column.startswith("{")
        axes.plot(
            [row["step"] for row in rows],
            [scale * row[key] for row in rows],
            color=color,
            linestyle="-" if number == 0 else "--",
            linewidth=0.9 if not measured else 1.4,
            marker=marker if measured else None,
            markersize=4,
            label=" ".join(part for part in (seed, label) if part),
        )
