"""Figures of the page: Vega-Lite specifications with their data and captions, from documents that exist."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from retrace.evaluation.intervals import wilson
from retrace.reporting.collect import Found
from retrace.reporting.questions import Group, judged_answers

Rows = list[dict[str, Any]]
MOST_POINTS = 300  # of a training curve
_SHOWN = re.compile(r"(?:^|_)(?:loss|reward|kl|accuracy)$|^rationale_length$")  # columns of training curves


def percent(share: float) -> float:
    """A share as a percentage with two decimals."""
    return round(100 * share, 2)


def figure(title: str, caption: str, rows: Rows, files: Iterable[str], spec: dict[str, Any]) -> dict[str, Any]:
    """A figure in the page's data. The rows are stored once, for the plot and for the table below it."""
    return {"title": title, "caption": caption, "rows": rows, "files": sorted(set(files)), "spec": spec}


def _axis(field: str, title: str, kind: str = "quantitative", **more: Any) -> dict[str, Any]:
    return {"field": field, "type": kind, "title": title, **more}


def _interval(y: dict[str, Any], x: str, low: str, high: str, title: str, **color: Any) -> list[dict[str, Any]]:
    """A point with its interval, one line each."""
    scale = {"scale": {"zero": False, "nice": True, "padding": 8}}
    return [
        {
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {"y": y, "x": _axis(low, title, **scale), "x2": {"field": high}, **color},
        },
        {"mark": {"type": "point", "filled": True, "size": 80}, "encoding": {"y": y, "x": _axis(x, title), **color}},
    ]


def _height(rows: Rows) -> int:
    """Of a figure with a line for each row, in pixels."""
    return 26 * max(len(rows), 2)


def _names(word: str) -> dict[str, Any]:
    return _axis(word, "", "nominal", sort=None, axis={"labelLimit": 180, "domain": False, "ticks": False})


def accuracy_forests(found: Found) -> Iterable[dict[str, Any]]:
    """One figure for each task and model: the accuracy of every method with its interval."""
    blocks: dict[tuple[str, str, str], list] = defaultdict(list)
    for path, result in found.results:
        task = result.task + (f" (trained on {result.trained_on})" if result.trained_on else "")
        blocks[task, result.model, result.preset].append((path, result))
    for (task, model, preset), members in blocks.items():
        members = sorted(members, key=lambda pair: pair[1].accuracy.value)
        rows = [
            {
                "method": result.method,
                "accuracy": percent(result.accuracy.value),
                "low": percent(result.accuracy.low),
                "high": percent(result.accuracy.high),
                "questions": result.n,
                "seeds": len(result.seeds),
                "paper": result.reported.percent if result.reported and result.reported.comparable else None,
            }
            for path, result in members
        ]
        layers = _interval(_names("method"), "accuracy", "low", "high", "accuracy, %")
        caption = (
            f"Accuracy on {members[0][1].n:,} {members[0][1].split} questions with 95 % intervals, preset {preset}."
        )
        if any(row["paper"] is not None for row in rows):
            tick = {"type": "tick", "thickness": 3, "size": 18}
            layers.append({"mark": tick, "encoding": {"y": _names("method"), "x": _axis("paper", "accuracy, %")}})
            caption += " Upright strokes are the paper's comparable numbers."
        yield figure(
            f"Methods on {task}, {model}",
            caption,
            rows,
            (path for path, _ in members),
            {"layer": layers, "height": _height(rows)},
        )


def difference_forests(found: Found) -> Iterable[dict[str, Any]]:
    """One figure for each task and model: paired differences with their intervals."""
    blocks: dict[tuple[str, str], list] = defaultdict(list)
    for path, one in found.comparisons:
        blocks[one.task, one.model].append((path, one))
    for (task, model), members in blocks.items():
        rows = [
            {
                "comparison": f"{one.method_a} − {one.method_b}",
                "points": percent(one.difference.value),
                "low": percent(one.difference.low),
                "high": percent(one.difference.high),
                "p": one.p_value,
                "questions": one.n,
                "seeds": len(one.seeds),
            }
            for _, one in members
        ]
        zero = {"mark": {"type": "rule", "strokeDash": [4, 3]}, "encoding": {"x": {"datum": 0}}}
        layers = [zero, *_interval(_names("comparison"), "points", "low", "high", "difference, points")]
        yield figure(
            f"Paired differences on {task}, {model}",
            "Differences on the same questions, in points, with 95 % intervals. An interval that contains 0 shows no "
            "difference.",
            rows,
            (path for path, _ in members),
            {"layer": layers, "height": _height(rows)},
        )


def _lines(x: dict[str, Any], y: str, title: str, color: str, band: bool = False) -> dict[str, Any]:
    x = {**x, "scale": {"nice": False, "padding": 8, **x.get("scale", {})}}
    encoding = {"x": x, "y": _axis(y, title, scale={"zero": False})}
    coloring = {"color": _axis(color, "", "nominal", legend={"orient": "bottom", "columns": 2, "labelLimit": 220})}
    layers: list[dict[str, Any]] = [
        {"mark": {"type": "line", "point": True}, "encoding": {**encoding, **coloring}},
    ]
    if band:
        interval = {"x": x, "y": _axis("low", title), "y2": {"field": "high"}, **coloring}
        layers.insert(0, {"mark": {"type": "rule", "opacity": 0.6, "strokeWidth": 2}, "encoding": interval})
    return {"layer": layers, "height": 260}


def sweeps(found: Found) -> Iterable[dict[str, Any]]:
    """Accuracy over the discriminator's weight."""
    for path, one in found.figures.get("sweep", []):
        rows = [
            {
                "beta": point["beta"],
                "temperature": f"temperature {point['temperature']}",
                "accuracy": percent(point["accuracy"]),
                "low": percent(point["low"]),
                "high": percent(point["high"]),
                "questions": point["n"],
            }
            for point in one["points"]
        ]
        yield figure(
            f"The discriminator's weight on {one['task']}, {one['model']}",
            f"Accuracy on {one['split']} questions over beta, with 95 % intervals; beta 0 is the language model without the "
            "discriminator.",
            rows,
            [path],
            _lines(_axis("beta", "beta"), "accuracy", "accuracy, %", "temperature", band=True),
        )


def rounds(found: Found) -> Iterable[dict[str, Any]]:
    """Accuracy over the rounds of iterative systems."""
    for path, one in found.figures.get("rounds", []):
        rows = []
        for curve in one["curves"]:
            points = ([one["start"]] if one["start"] else []) + curve["points"]
            rows += [
                {
                    "loop": curve["title"],
                    "round": point["round"],
                    "accuracy": percent(point["accuracy"]["value"]),
                    "low": percent(point["accuracy"]["low"]),
                    "high": percent(point["accuracy"]["high"]),
                }
                for point in points
            ]
        rows += [
            {
                "loop": f"reported: {point['loop']}, {point['model']}",
                "round": point["round"],
                "accuracy": point["percent"],
            }
            for point in one["reported"]
        ]
        ticks = {"values": sorted({row["round"] for row in rows}), "format": "d"}
        yield figure(
            f"Rounds on {one['task']}, {one['model']}",
            f"Accuracy after each round on {one['n']:,} questions, with 95 % intervals, preset {one['preset']}.",
            rows,
            [path],
            _lines(_axis("round", "round", axis=ticks), "accuracy", "accuracy, %", "loop", band=True),
        )


def at_k(found: Found) -> Iterable[dict[str, Any]]:
    """pass@k and maj@k of results with several samples, and pass@k of checkpoints."""
    for word, title, caption in (
        ("pass_at_k", "pass@k", "Share of questions with at least one right answer among k samples."),
        ("maj_at_k", "maj@k", "Share of questions that the majority of k samples answers rightly."),
    ):
        blocks: dict[str, Rows] = defaultdict(list)
        files: dict[str, list[str]] = defaultdict(list)
        for path, result in found.results:
            block = f"{result.task}, {result.model}"
            points = [
                {"method": result.method, "k": point.k, "share": percent(point.value)}
                for point in getattr(result, word)
            ]
            if len(points) > 1:
                blocks[block] += points
                files[block].append(path)
        for path, one in found.figures.get(word, []):
            block = f"{one['task']}, {one['model']} (checkpoints)"
            for point in one["points"]:
                shares = point["pass_at_k"].items()
                blocks[block] += [
                    {"method": point["checkpoint"], "k": int(k), "share": percent(share["value"])}
                    for k, share in shares
                ]
            files[block].append(path)
        for block, rows in blocks.items():
            ticks = {"values": sorted({row["k"] for row in rows}), "labelOverlap": "greedy"}
            x = _axis("k", "samples k", scale={"type": "log", "base": 2, "nice": False}, axis=ticks)
            yield figure(
                f"{title} on {block}", caption, rows, files[block], _lines(x, "share", f"{title}, %", "method")
            )


def speeds(found: Found) -> Iterable[dict[str, Any]]:
    """Accuracy against questions per second."""
    blocks: dict[str, Rows] = defaultdict(list)
    files: dict[str, list[str]] = defaultdict(list)
    for path, result in found.results:
        if result.cost.questions_per_second:
            block = f"{result.task}, {result.model}"
            blocks[block].append(
                {
                    "method": result.method,
                    "questions per second": result.cost.questions_per_second,
                    "accuracy": percent(result.accuracy.value),
                    "tokens per question": result.cost.tokens_per_question,
                }
            )
            files[block].append(path)
    for block, rows in blocks.items():
        if len(rows) < 2:
            continue
        # The field's name has spaces, which Vega-Lite takes as they are.
        encoding = {
            "x": _axis("questions per second", "questions per second", scale={"type": "log"}),
            "y": _axis("accuracy", "accuracy, %", scale={"zero": False}),
        }
        layers = [
            {"mark": {"type": "point", "filled": True, "size": 90}, "encoding": encoding},
            {
                "mark": {"type": "text", "dy": -11, "align": "center"},
                "encoding": {**encoding, "text": {"field": "method"}},
            },
        ]
        yield figure(
            f"Accuracy against speed on {block}",
            "Decoding only, on the machine that made the result; model loading is not included.",
            rows,
            files[block],
            {"layer": layers, "height": 280},
        )


def speeds_by_batch(found: Found) -> Iterable[dict[str, Any]]:
    """Questions per second of implicit chain of thought and its baselines, over the batch size."""
    for path, one in found.figures.get("icot_speed", []):
        rows = [
            {
                "method": way,
                "batch size": timing["batch_size"],
                "questions per second": timing["questions_per_second"],
                "seconds per question": timing["seconds_per_question"],
                "speed relative to no CoT": timing["normalised"],
                "tokens per question": timing["tokens_per_question"],
            }
            for way, timings in one["ways"].items()
            for timing in timings
        ]
        ticks = {"values": sorted({row["batch size"] for row in rows})}
        x = _axis("batch size", "batch size", scale={"type": "log", "base": 2}, axis=ticks)
        ratio = one.get("explicit_over_implicit")
        said = f" At batch size 1, implicit is {ratio:.1f} times as fast as explicit." if ratio else ""
        yield figure(
            f"Speed of chains of thought on {one['task']}, {one['model']}",
            f"Wall time of one process on {one['questions']:,} questions, device {one['device']}, preset {one['preset']}."
            f"{said}",
            rows,
            [path],
            _lines(x, "questions per second", "questions per second", "method"),
        )


def thinned(rows: Sequence[dict[str, float]]) -> Sequence[dict[str, float]]:
    """At most MOST_POINTS rows, evenly spaced, the first and the last among them."""
    if len(rows) <= MOST_POINTS:
        return rows
    return [rows[place * (len(rows) - 1) // (MOST_POINTS - 1)] for place in range(MOST_POINTS)]


def trainings(found: Found) -> Iterable[dict[str, Any]]:
    """Losses, rewards and accuracies over training steps, one figure for each task, model and quantity."""
    blocks: dict[tuple[str, str], Rows] = defaultdict(list)
    files: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path, points in found.curves.items():
        task, model, seed, checkpoint = Path(path).parts[-6:-2] if "model" in path else Path(path).parts[-5:-1]
        for quantity in sorted({name for row in points for name in row if _SHOWN.search(name)}):
            there = [row for row in points if quantity in row]
            if len(there) > 1:
                blocks[f"{task}, {model}", quantity] += [
                    {"training": f"{checkpoint}, {seed}", "step": row["step"], quantity: row[quantity]}
                    for row in thinned(there)
                ]
                files[f"{task}, {model}", quantity].append(path)
    for (block, quantity), rows in blocks.items():
        words = quantity.replace("_", " ")
        spec = _lines(_axis("step", "step"), quantity, words, "training")
        spec["layer"][0]["mark"] = {"type": "line"}
        caption = f"{words.capitalize()} over the steps of training" + (
            f", at most {MOST_POINTS} points a training."
            if any(len(found.curves[file]) > MOST_POINTS for file in files[block, quantity])
            else "."
        )
        yield figure(f"Training on {block}: {words}", caption, rows, files[block, quantity], spec)


def calibrations(groups: Iterable[Group]) -> Iterable[dict[str, Any]]:
    """How often answers are right, by the share that the discriminator gave their steps."""
    for group in groups:
        pairs = list(judged_answers(group))
        bins: dict[int, list[bool]] = defaultdict(list)
        for share, right in pairs:
            bins[min(int(share * 10), 9)].append(right)
        if len(bins) < 2:
            continue
        rows = []
        for place, rights in sorted(bins.items()):
            low, high = wilson(sum(rights), len(rights))
            rows.append(
                {
                    "share": (place + 0.5) / 10,
                    "right": percent(sum(rights) / len(rights)),
                    "low": percent(low),
                    "high": percent(high),
                    "answers": len(rights),
                }
            )
        names = [method["name"] for method in group.methods if method["candidates"]]
        spec = _lines(_axis("share", "mean share of the steps taken"), "right", "right answers, %", "", band=True)
        for layer in spec["layer"]:
            layer["encoding"].pop("color")
        yield figure(
            f"Calibration of the discriminator on {group.task}, {group.model}",
            f"Of {len(pairs):,} answers by {', '.join(names)}: the share (softmax) that the discriminator gave the steps "
            "that were taken among their candidates, averaged over the steps and put into tenths, and how many answers are "
            "right.",
            rows,
            [method["file"] for method in group.methods if method["candidates"]],
            spec,
        )


def all_figures(found: Found, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Every figure for which there are data. A document that cannot be drawn is named in `found.left_out`."""
    of_documents = {"sweep": sweeps, "rounds": rounds, "icot_speed": speeds_by_batch, "pass_at_k": at_k}
    for kind, make in of_documents.items():
        drawable = []
        for path, document in found.figures.get(kind, []):
            try:
                list(make(Found(figures={kind: [(path, document)]})))
                drawable.append((path, document))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                found.left_out.append(f"{path}: not a document of kind {kind} ({error!r}); rebuild it")
        found.figures[kind] = drawable
    makers = (accuracy_forests, difference_forests, sweeps, rounds, at_k, speeds, speeds_by_batch, trainings)
    return [one for make in makers for one in make(found)] + list(calibrations(groups))
