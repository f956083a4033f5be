"""Drawings of graphs as SVG, on one page if legible.

Where boxes and arrows go is computed by Graphviz's `dot` where it is installed, and otherwise by graphlay, a layered layout
that pip installs. Everything else is the same for both: the size of boxes, colors, what a screen reader is told.
"""

import html
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from retrace.errors import UserError
from retrace.planning.graph import Box, Graph

PAGE = (842.0, 595.0)  # A4 landscape, in points
MARGIN = 22.0
FONT = 10.0  # points, of a drawing that is not made smaller
SMALLEST = 7.0  # points, of text that can still be read in print
LINE = 12.5
TITLE = 11.0
NOTE = 8.0
NOTE_LINE = 11.0
MOST_BOXES = 60  # no page holds more; not worth the time of a layout
# Helvetica's widths in thousandths of the font size; what is not listed takes 560.
_WIDTHS = {**dict.fromkeys("ijl.,:;'|! ", 280), **dict.fromkeys("frt-()[]{}/", 340), **dict.fromkeys("mwMW%@", 860)}
_CAPITALS = 720
# Okabe and Ito's colors, which readers with any color vision tell apart; yellow is too pale for a line.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#555555")
Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """Where all of a graph goes. boxes: centers; paths: one an edge, as SVG writes it."""

    width: float
    height: float
    boxes: list[Point]
    paths: list[str]


def text_width(text: str, size: float = FONT, bold: bool = False) -> float:
    """Approximate width of a text, in points."""
    units = sum(_WIDTHS.get(letter, _CAPITALS if letter.isupper() else 560) for letter in text)
    return units * size / 1000 * (1.07 if bold else 1.0)


def lines_of(box: Box) -> list[str]:
    """The lines under a box's heading."""
    partly = [f"{box.waiting} to run"] if 0 < box.waiting < box.jobs else []
    return [*box.lines, *partly]


def size_of(box: Box) -> tuple[float, float]:
    """Width and height of a box, in points."""
    lines = lines_of(box)
    widest = max(text_width(box.heading, bold=True), *(text_width(line) for line in lines), 30.0)
    return widest + 14, (1 + len(lines)) * LINE + 6


# ---------------------------------------------------------------- layouts


def _curve(points: Sequence[Point]) -> str:
    """A Bezier curve: its first point, then three for each piece."""
    first, rest = points[0], points[1:]
    return f"M{first[0]:.1f},{first[1]:.1f}C" + " ".join(f"{x:.1f},{y:.1f}" for x, y in rest)


def _rounded(points: Sequence[Point], radius: float = 4.0) -> str:
    """A line through the points with rounded corners."""
    words = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        ends = []
        for x, y in (before, after):
            length = max(abs(x - corner[0]) + abs(y - corner[1]), 1e-6)
            part = min(radius / length, 0.5)
            ends.append((corner[0] + (x - corner[0]) * part, corner[1] + (y - corner[1]) * part))
        (x0, y0), (x1, y1) = ends
        words.append(f"L{x0:.1f},{y0:.1f}Q{corner[0]:.1f},{corner[1]:.1f} {x1:.1f},{y1:.1f}")
    return "".join([*words, f"L{points[-1][0]:.1f},{points[-1][1]:.1f}"])


def layout_by_dot(graph: Graph) -> Layout:
    """Graphviz's layout. Raises UserError where `dot` fails.

    The boxes are sized here and the arrows drawn without heads, so that they end at the boxes as in the other layout.
    """
    lines = [
        "digraph {",
        "nodesep=0.14; ranksep=0.3;",
        'node [shape=box, fixedsize=true, label=""];',
        "edge [dir=none];",
    ]
    for number, box in enumerate(graph.boxes):
        width, height = size_of(box)
        lines.append(f"{number} [width={width / 72:.4f}, height={height / 72:.4f}];")
    lines += [f"{source} -> {target};" for source, target in graph.edges]
    done = subprocess.run(
        ["dot", "-Tplain"], input="\n".join([*lines, "}"]), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise UserError(f"dot: {done.stderr.strip()[:300]}; --layout graphlay does without it")
    width = height = 0.0
    centers: dict[int, Point] = {}
    paths: dict[tuple[int, int], str] = {}
    for words in (line.split() for line in done.stdout.replace("\\\n", "").splitlines()):
        if words[0] == "graph":
            width, height = 72 * float(words[2]), 72 * float(words[3])
        elif words[0] == "node":
            centers[int(words[1])] = (72 * float(words[2]), height - 72 * float(words[3]))
        elif words[0] == "edge":
            numbers = [72 * float(word) for word in words[4 : 4 + 2 * int(words[3])]]
            points = [(x, height - y) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
            paths[int(words[1]), int(words[2])] = _curve(points)
    return Layout(
        width, height, [centers[number] for number in range(len(graph.boxes))], [paths[e] for e in graph.edges]
    )


def backward_edges(graph: Graph) -> set[tuple[int, int]]:
    """The edges that close a cycle, as merged rounds have: those that lead back on a walk from the first box on."""
    following: dict[int, list[int]] = {number: [] for number in range(len(graph.boxes))}
    for source, target in graph.edges:
        following[source].append(target)
    done: set[int] = set()
    found: set[tuple[int, int]] = set()
    for root in following:
        walk = [] if root in done else [(root, iter(following[root]))]
        on_walk = {root}
        while walk:
            here, rest = walk[-1]
            target = next(rest, None)
            if target is None:
                walk.pop()
                on_walk.discard(here)
                done.add(here)
            elif target in on_walk:
                found.add((here, target))
            elif target not in done:
                on_walk.add(target)
                walk.append((target, iter(following[target])))
    return found


def layout_by_graphlay(graph: Graph) -> Layout:
    """graphlay's layout. Raises UserError where the package is missing."""
    try:
        import graphlay
    except ImportError:
        raise UserError("neither Graphviz nor graphlay is installed; run `bash envs/setup`") from None
    asked = graphlay.Graph()
    for number, box in enumerate(graph.boxes):
        width, height = size_of(box)
        asked.node(number, width=width, height=height)
    backward = backward_edges(graph)
    for source, target in graph.edges:
        asked.edge(*((target, source) if (source, target) in backward else (source, target)))
    options = {
        "direction": "topbottom",
        "routing": {"style": "orthogonal", "merge_edges": "none", "lane_gap": 4},
        "spacing": {"layer_gap": 22, "node_gap": 12, "dummy_gap": 6, "port_gap": 5, "port_stroke_clear": 4, "stub": 5},
    }
    found = graphlay.layout(asked, options=options)
    left, top = found.bounds["min"]["x"], found.bounds["min"]["y"]
    paths = []
    for edge, placed in zip(graph.edges, found.edges, strict=True):
        points = [(point["x"] - left, point["y"] - top) for point in placed["points"]]
        paths.append(_rounded(points[::-1] if edge in backward else points))
    centers = [(node["center"]["x"] - left, node["center"]["y"] - top) for node in found.nodes]
    return Layout(found.bounds["max"]["x"] - left, found.bounds["max"]["y"] - top, centers, paths)


LAYOUTS: dict[str, Callable[[Graph], Layout]] = {"dot": layout_by_dot, "graphlay": layout_by_graphlay}


def layout_named(name: str) -> Callable[[Graph], Layout]:
    """The layout of that name; `auto` is Graphviz's where `dot` is installed."""
    if name == "auto":
        name = "dot" if shutil.which("dot") else "graphlay"
    if name == "dot" and not shutil.which("dot"):
        raise UserError("--layout dot: Graphviz is not installed; --layout graphlay does without it")
    return LAYOUTS[name]


# ---------------------------------------------------------------- pages


@dataclass(frozen=True)
class Drawing:
    """A graph and its layout under a title. scale: 1 at the usual size of text."""

    graph: Graph
    layout: Layout
    title: str
    notes: list[str]
    scale: float

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in points."""
        text = [text_width(self.title, TITLE, bold=True), *(text_width(note, NOTE) for note in self.notes)]
        width = max(self.layout.width * self.scale, *text)
        return width + 2 * MARGIN, self.layout.height * self.scale + _around(self.notes)

    @property
    def font(self) -> float:
        """The size of the text in boxes, in points."""
        return FONT * self.scale

    @property
    def fits(self) -> bool:
        """Whether it is on a page of A4 with text that can be read."""
        width, height = self.size
        return width <= PAGE[0] + 0.01 and height <= PAGE[1] + 0.01 and self.font >= SMALLEST


def _around(notes: Sequence[str]) -> float:
    """Height of all but the graph: margins, title, notes."""
    return 2 * MARGIN + 24 + NOTE_LINE * len(notes) + (6 if notes else 0)


def wrapped(text: str, width: float) -> list[str]:
    """The text in lines no wider than that at the notes' size."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, NOTE) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def shortened(title: str, width: float) -> str:
    """The title as far as there is room for it."""
    if text_width(title, TITLE, bold=True) <= width:
        return title
    while title and text_width(title + " …", TITLE, bold=True) > width:
        title = title[:-1]
    return title + " …"


def drawing(graph: Graph, title: str, layout: Callable[[Graph], Layout], page: bool = True) -> Drawing:
    """Lay out a graph. page: scale it down to a page, as far as its text stays legible."""
    notes = [line for note in graph.notes for line in wrapped(note, PAGE[0] - 2 * MARGIN)]
    found = layout(graph)
    room = (PAGE[0] - 2 * MARGIN, PAGE[1] - _around(notes))
    wanted = min(1.0, room[0] / found.width, room[1] / found.height)
    scale = max(wanted, SMALLEST / FONT) if page else 1.0
    return Drawing(graph, found, shortened(title, room[0]), notes, scale)


def first_that_fits(graphs: Iterable[Graph], title: str, layout: Callable[[Graph], Layout]) -> Drawing:
    """The first graph that fits on a page, from most to least preferred; the last if none does."""
    drawn = None
    last = Graph()
    for graph in graphs:
        same = drawn is not None and graph.boxes == last.boxes
        last = graph
        if not same and len(graph.boxes) <= MOST_BOXES:
            drawn = drawing(graph, title, layout)
            if drawn.fits:
                break
    return drawn or drawing(last, title, layout)


# ---------------------------------------------------------------- SVG


def color_of(graph: Graph) -> dict[str, str]:
    """A color for each rule: the same for rules that begin with the same verb."""
    verbs = list(dict.fromkeys(box.rule.partition("_")[0] for box in graph.boxes))
    return {box.rule: COLORS[verbs.index(box.rule.partition("_")[0]) % len(COLORS)] for box in graph.boxes}


def _said(graph: Graph, number: int) -> str:
    """Text of a box for screen readers and tooltips."""
    box = graph.boxes[number]
    needs = sorted({graph.boxes[source].heading for source, target in graph.edges if target == number})
    state = "a rule"
    if box.jobs:
        state = {0: "done", box.jobs: "to run"}.get(box.waiting, f"{box.waiting} to run")
    parts = [f"{box.heading} ({state})", box.details, f"needs {', '.join(needs)}" if needs else ""]
    return "\n".join(part for part in parts if part)


def _box(graph: Graph, number: int, center: Point, color: str) -> list[str]:
    box = graph.boxes[number]
    width, height = size_of(box)
    left, top = center[0] - width / 2, center[1] - height / 2
    dash = ' stroke-dasharray="4 3"' if box.done else ""
    parts = [
        f'<g role="img" aria-labelledby="box{number}"><title id="box{number}">{html.escape(_said(graph, number))}</title>',
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="5" fill="#ffffff" '
        f'stroke="{color}" stroke-width="1.6"{dash}/>',
    ]
    for place, line in enumerate([box.heading, *lines_of(box)]):
        style = ' font-weight="bold"' if place == 0 else ' fill="#333333"'
        y = top + LINE * (place + 1) - 0.5
        parts.append(f'<text x="{center[0]:.1f}" y="{y:.1f}" text-anchor="middle"{style}>{html.escape(line)}</text>')
    return [*parts, "</g>"]


def to_svg(drawn: Drawing) -> str:
    """The drawing as SVG: what is needed above, what is made from it below. Dashed boxes are done."""
    graph, layout = drawn.graph, drawn.layout
    width, height = drawn.size
    colors = color_of(graph)
    about = f"{len(graph.boxes)} boxes and {len(graph.edges)} arrows, which lead from what is needed to what it makes."
    shift = (width - layout.width * drawn.scale) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" lang="en" width="{width:.1f}pt" height="{height:.1f}pt" '
        f'viewBox="0 0 {width:.1f} {height:.1f}" role="graphics-document document" aria-labelledby="title about" '
        "font-family=\"Helvetica, Arial, 'Liberation Sans', sans-serif\">",
        f'<title id="title">{html.escape(drawn.title)}</title>',
        f'<desc id="about">{html.escape(" ".join([about, *graph.notes]))}</desc>',
        '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7.5" refY="4" markerWidth="6" markerHeight="6" '
        'markerUnits="userSpaceOnUse" orient="auto"><path d="M0,0.5 L8,4 L0,7.5 z" fill="#6b7480"/></marker></defs>',
        f'<rect width="{width:.1f}" height="{height:.1f}" fill="#ffffff"/>',
        f'<text x="{MARGIN}" y="{MARGIN + 9}" font-size="{TITLE:g}" font-weight="bold">{html.escape(drawn.title)}</text>',
        f'<g font-size="{FONT:g}" transform="translate({shift:.1f} {MARGIN + 24:.1f}) scale({drawn.scale:.4f})">',
        '<g fill="none" stroke="#6b7480" stroke-width="1.1" aria-hidden="true">',
        *(f'<path d="{path}" marker-end="url(#arrow)"/>' for path in layout.paths),
        "</g>",
    ]
    for number, center in enumerate(layout.boxes):
        parts += _box(graph, number, center, colors[graph.boxes[number].rule])
    parts.append("</g>")
    for place, note in enumerate(drawn.notes):
        y = height - MARGIN - NOTE_LINE * (len(drawn.notes) - 1 - place)
        parts.append(f'<text x="{MARGIN}" y="{y:.1f}" font-size="{NOTE:g}" fill="#333333">{html.escape(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"
