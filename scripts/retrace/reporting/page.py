"""The page: one file with its data, styles and libraries."""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import jinja2

from retrace.evaluation.result import Result
from retrace.evaluation.verdict import percent
from retrace.planning.spent import CostReport
from retrace.reporting import libraries
from retrace.reporting.collect import Found

SCRIPTS = ("page.js", "tables.js", "figures.js", "questions.js")


def data_element(value: Any) -> jinja2.utils.markupsafe.Markup:
    """JSON that is safe inside a script element: no text in it can end the element or start a comment."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return jinja2.utils.markupsafe.Markup(text)


def provenance_rows(found: Found) -> list[dict[str, Any]]:
    """A line for each result: what it is, what it cost and what it was made from."""
    return [_provenance(path, result) for path, result in found.results]


def _provenance(path: str, result: Result) -> dict[str, Any]:
    source = result.provenance
    model = source.model
    weights = model.hub or model.file or ("trained from scratch" if model.scratch else "")
    facts = {
        "Measured": result.made_from,
        "Command": source.command,
        "Commit": f"{source.git.commit}{' with uncommitted changes' if source.git.dirty else ''}" if source.git else "",
        "Configuration (SHA-256)": source.configuration.sha256 if source.configuration else "",
        "Data": f"{source.data.path} (SHA-256 {source.data.sha256})",
        "Source of the data": ", ".join(source.data.sources),
        "Weights": weights + (f" at revision {model.revision}" if model.revision else ""),
        "Machine": f"{source.machine.processor}, {source.machine.cores} cores, {source.machine.system}"
        + "".join(f", {gpu}" for gpu in source.machine.gpus),
        "Versions": ", ".join(f"{name} {version}" for name, version in source.versions.items()),
        "Predictions": ", ".join(f"{file.path} (SHA-256 {file.sha256})" for file in source.files),
    }
    cost = result.cost
    return {
        "file": path,
        "cells": [
            result.task,
            result.model,
            result.method,
            result.preset,
            percent(result.accuracy.value),
            f"{result.n}",
            f"{len(result.seeds)}",
            _seconds(cost.wall_seconds),
            _seconds(cost.gpu_seconds),
            "" if cost.peak_memory_mb is None else f"{cost.peak_memory_mb:.0f}",
            f"{cost.generated_tokens}",
        ],
        "facts": {name: text for name, text in facts.items() if text},
    }


PROVENANCE_HEADER = (
    "Task", "Model", "Method", "Preset", "Accuracy %", "Questions", "Seeds", "Wall s", "GPU s", "Memory MB", "Tokens",
)  # fmt: skip
COST_HEADER = ("Rule", "Jobs", "Wall s", "Longest s", "CPU s", "GPU s", "Memory MB", "Disk MB", "Files")


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def cost_rows(report: CostReport) -> list[list[str]]:
    """A line for each rule."""
    return [
        [
            rule.rule,
            f"{rule.jobs}",
            _seconds(rule.wall_seconds),
            _seconds(rule.longest_seconds),
            _seconds(rule.cpu_seconds),
            _seconds(rule.gpu_seconds),
            "" if rule.peak_memory_mb is None else f"{rule.peak_memory_mb:.0f}",
            f"{rule.disk_bytes / 1e6:.1f}",
            f"{rule.files}",
        ]
        for rule in report.rules
    ]


def render(content: Mapping[str, Any]) -> str:
    """The page as HTML. content: what the template and its scripts read."""
    assets = files("retrace.reporting") / "assets"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (assets / name).read_text(encoding="utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data"] = data_element
    tables_script, tables_styles = libraries.datatables()
    raw = jinja2.utils.markupsafe.Markup
    return environment.get_template("page.html").render(
        **content,
        styles=raw(tables_styles + (assets / "page.css").read_text(encoding="utf-8")),
        libraries=[raw(tables_script), raw(libraries.vega())],
        scripts=[raw((assets / name).read_text(encoding="utf-8")) for name in SCRIPTS],
    )
