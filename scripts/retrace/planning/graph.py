"""Readable workflow graphs: similar jobs merged into one box, with the names of files.

A job graph of a paper's table has hundreds of jobs, nearly all of which differ only in shard, seed, task or model. Boxes
stand for jobs of one rule that agree in all wildcards but the merged ones; which those are is the caller's choice, in the
order of MERGE_ORDER.
"""

import html
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from pathlib import PurePath

from retrace.errors import UserError
from retrace.planning.jobs import Job

# Wildcards from the least to the most informative. Those of other workflows come last.
MERGE_ORDER = (
    "shard",
    "seed",
    "task",
    "source_task",
    "model",
    "sampled",
    "round",
    "loop",
    "split",
    "variant",
    "generator",
    "method",
    "checkpoint",
    "decoder",
)
# Maximum letters per line of file names; the first value with which a drawing fits its page is used.
LINES_OF_FILES = (90, 66, 46)
_ROUND = re.compile(r"_round\d+(?![0-9a-z])")
_TABLE = re.compile(r"^\s*(\w+)\s*\[[^\]]*?label=<<table[^>]*>(.*?)</table>>\s*\]", re.S | re.M)
_EDGE = re.compile(r"^\s*(\w+)\s*->\s*(\w+)\b", re.M)
_WILDCARD = re.compile(r"(\{\w+\})")
_FUNCTION = re.compile(r"<.*>")


@dataclass(frozen=True)
class Box:
    """One box: a rule, what distinguishes it from the rule's other boxes, and its jobs."""

    rule: str
    lines: tuple[str, ...] = ()
    jobs: int = 0  # number of jobs; 0 if it stands for a rule
    waiting: int = 0  # of its jobs, those that would run
    details: str = ""

    @property
    def done(self) -> bool:
        return self.jobs > 0 and self.waiting == 0

    @property
    def heading(self) -> str:
        return self.rule if self.jobs < 2 else f"{self.rule} ×{self.jobs}"


@dataclass
class Graph:
    """Boxes and arrows between them, from inputs to outputs. notes: details that the boxes leave out."""

    boxes: list[Box] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# ---------------------------------------------------------------- jobs


def listed(values: Iterable[str], most: int = 8) -> str:
    """Values as short text: numbers as ranges, a few names in full, the first of many."""
    found = sorted(set(values), key=lambda value: (not value.isdigit(), int(value) if value.isdigit() else 0, value))
    if found and all(value.isdigit() for value in found):
        numbers = [int(value) for value in found]
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][-1] + 1:
                runs[-1].append(number)
            else:
                runs.append([number])
        found = [f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs]
    return (
        ", ".join(found) if len(found) <= most else f"{', '.join(found[: most - 2])} and {len(found) - most + 2} more"
    )


def edges_of(jobs: Sequence[Job]) -> set[tuple[int, int]]:
    """Dependencies between jobs, as pairs of list indices."""
    maker = {file: number for number, job in enumerate(jobs) for file in job.output}
    found = set()
    for number, job in enumerate(jobs):
        for file in job.input:
            # A job may read a file in a folder that another job makes as a whole.
            for name in (file, *map(str, PurePath(file).parents)):
                if name in maker:
                    found.add((maker[name], number))
                    break
    return found


def merge_levels(jobs: Iterable[Job]) -> list[tuple[str, ...]]:
    """The wildcards to merge, from none but shard and seed to all of them: the levels at which a graph can be drawn."""
    names = {name for job in jobs for name in job.wildcards}
    order = [name for name in MERGE_ORDER if name in names] + sorted(names.difference(MERGE_ORDER))
    always = sum(name in ("shard", "seed") for name in order)
    return [tuple(order[:count]) for count in range(always, len(order) + 1)]


def _without_round(value: str, merged: Collection[str]) -> str:
    """A wildcard's value, without the round in a checkpoint's name if rounds are merged."""
    return _ROUND.sub("", value) if "round" in merged else value


def _kept(job: Job, merged: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Wildcards that distinguish a job's box."""
    return tuple((name, _without_round(value, merged)) for name, value in job.wildcards.items() if name not in merged)


def _first_to_last(jobs: Iterable[Job]) -> list[Job]:
    """Jobs by the length of the longest chain before each, so a drawing of rounds begins with the first one."""
    named = sorted(jobs, key=lambda job: (job.rule, *job.output))
    before: dict[int, set[int]] = {number: set() for number in range(len(named))}
    for source, target in edges_of(named):
        before[target].add(source)
    depth: dict[int, int] = {}
    for number in TopologicalSorter(before).static_order():
        depth[number] = 1 + max((depth[other] for other in before[number]), default=0)
    return [named[number] for number in sorted(depth, key=lambda number: (depth[number], number))]


def _details(jobs: Sequence[Job]) -> str:
    """All wildcards of a box, for its tooltip."""
    values: dict[str, list[str]] = {}
    for job in jobs:
        for name, value in job.wildcards.items():
            values.setdefault(name, []).append(value)
    return "; ".join(f"{name}: {listed(values[name])}" for name in sorted(values))


def graph_of_jobs(jobs: Iterable[Job], waiting: Iterable[Job], merged: Collection[str]) -> Graph:
    """The graph of jobs with one box for all of a rule that differ in the merged wildcards only.

    Args:
        jobs: all upstream jobs of the targets.
        waiting: those of them that would run.
        merged: names of wildcards; of a checkpoint's name, merged rounds are left out, too.
    """
    jobs = _first_to_last(jobs)
    would_run = {(job.rule, *job.output) for job in waiting}
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault((job.rule, _kept(job, merged)), []).append(number)
    of_rule: dict[str, list[Mapping[str, str]]] = {}
    for rule, kept in groups:
        of_rule.setdefault(rule, []).append(dict(kept))

    graph = Graph()
    box_of = {}
    for (rule, kept), members in groups.items():
        box_of.update(dict.fromkeys(members, len(graph.boxes)))
        telling = [(name, value) for name, value in kept if len({other.get(name) for other in of_rule[rule]}) > 1]
        lines = tuple(f"{name} {value}" if value.isdigit() else value for name, value in telling)
        own = [jobs[number] for number in members]
        open_jobs = sum((job.rule, *job.output) in would_run for job in own)
        graph.boxes.append(Box(rule, lines, len(own), open_jobs, _details(own)))
    found = {(box_of[source], box_of[target]) for source, target in edges_of(jobs)}
    graph.edges = sorted((source, target) for source, target in found if source != target)
    graph.notes = _notes(jobs, merged) + (["Dashed boxes are done."] if any(box.done for box in graph.boxes) else [])
    return graph


def _notes(jobs: Sequence[Job], merged: Collection[str]) -> list[str]:
    """Notes on values shared by the whole graph, and on merged wildcards."""
    values: dict[str, list[str]] = {}
    for job in jobs:
        for name, value in job.wildcards.items():
            values.setdefault(name, []).append(_without_round(value, merged))
    same = [f"{name} {found[0]}" for name, found in values.items() if len(found) > 1 and len(set(found)) == 1]
    many = [f"{name} ({listed(values[name])})" for name in values if name in merged and len(set(values[name])) > 1]
    notes = [f"Throughout: {'; '.join(same)}."] if same else []
    return [*notes, f"A box holds the jobs that differ only in {'; '.join(many)}."] if many else notes


# ---------------------------------------------------------------- files


def without_constraints(pattern: str) -> str:
    """A file's name with its wildcards, `{seed}` for `{seed,[0-9]+}`; a constraint may contain braces."""
    found, depth, hidden = [], 0, False
    for character in pattern:
        depth -= character == "}"
        if depth == 0:
            hidden = False
        elif depth == 1 and character == "," and not hidden:
            hidden = True
        if not hidden:
            found.append(character)
        depth += character == "{"
    return "".join(found)


def _files(table: str) -> tuple[str, list[str], list[str]]:
    """Rule, inputs and outputs of a filegraph's node, an HTML table. Inputs that a function names are left out."""
    rule, files = "?", {"input": [], "output": []}
    current = files["input"]
    for cell in re.findall(r"<td[^>]*>(.*?)</td>", table, re.S):
        text = html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
        if "monospace" in cell:
            name = without_constraints(text)
            if name not in current and not _FUNCTION.fullmatch(name):
                current.append(name)
        elif text.endswith("input"):
            current = files["input"]
        elif text.startswith("output"):
            current = files["output"]
        elif text:
            rule = text
    return rule, files["input"], files["output"]


def _matching(pattern: str) -> re.Pattern[str]:
    """Regular expression for the files of a pattern, and for other patterns of such files."""
    return re.compile(
        "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in _WILDCARD.split(pattern))
    )


def together(names: Iterable[str]) -> list[str]:
    """Names in as few lines as possible: those that differ only in their suffix share one."""
    suffixes: dict[str, list[str]] = {}
    for name in names:
        folder, slash, last = name.rpartition("/")
        stem, dot, suffix = last.partition(".")
        suffixes.setdefault(folder + slash + stem, []).append(dot + suffix)
    return [stem + " ".join(found) for stem, found in suffixes.items()]


def common_folder(names: Sequence[str]) -> str | None:
    """The folder whose name takes the most space in a list of names; None if it takes little."""
    folders = [str(folder) for name in names for folder in PurePath(name).parents]
    room = {folder: (folders.count(folder) - 1) * len(folder) for folder in folders if len(folder) > 8}
    best = max(sorted(room), key=lambda folder: room[folder], default=None)
    return best if best is not None and folders.count(best) > 2 else None


def folded(name: str, longest: int) -> list[str]:
    """A line of names in pieces of about `longest` letters, cut after slashes and spaces."""
    lines = [""]
    for part in re.findall(r"[^/ ]*[/ ]|[^/ ]+", name):
        if lines[-1].strip() and len((lines[-1] + part).strip()) > longest:
            lines.append(part)
        else:
            lines[-1] += part
    return [line.rstrip() for line in lines]


def graph_of_files(text: str, longest: int = LINES_OF_FILES[0]) -> Graph:
    """The graph that `snakemake --filegraph` prints, one box per rule, names with wildcards.

    A box lists the rule's outputs, and inputs that no other rule writes. Its other inputs are the boxes that the
    arrows come from.

    Args:
        text: Snakemake's output.
        longest: Maximum letters per line; longer lines are cut where possible.

    Raises:
        UserError: If the text is not a graph.
    """
    if "digraph" not in text:
        raise UserError("snakemake printed no graph; run it with --dry-run to see why")
    tables = {match[1]: _files(match[2]) for match in _TABLE.finditer(text)}
    if not tables:
        raise UserError("the graph has no rules")
    written = [name for _, _, outputs in tables.values() for name in outputs]
    patterns = [_matching(name) for name in written]
    folder = common_folder(written)
    graph = Graph(notes=[f"… is the folder {folder}."] if folder else [])
    for rule, inputs, outputs in tables.values():
        read = [name for name in inputs if not any(pattern.fullmatch(name) for pattern in patterns)]
        lines = [*(f"reads {name}" for name in together(read)), *together(outputs)]
        if folder:
            lines = [line.replace(f"{folder}/", "…/") for line in lines]
        lines = [piece for line in lines for piece in folded(line, longest)]
        graph.boxes.append(Box(rule, tuple(lines), details=f"writes {', '.join(outputs)}"))
    place = {node: number for number, node in enumerate(tables)}
    found = {(place[match[1]], place[match[2]]) for match in _EDGE.finditer(text) if {match[1], match[2]} <= set(place)}
    graph.edges = sorted((source, target) for source, target in found if source != target)
    return graph
