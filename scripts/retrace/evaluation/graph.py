"""Pictures of workflow graphs without Graphviz: Snakemake's dot text, laid out in layers and written as SVG.

The layout is the usual one (Sugiyama, Tagawa and Toda 1981): cycles broken, a layer for each node, long edges bent at
every layer, neighbours ordered by barycentres, then x positions that pull edges straight.
"""

import colorsys
import html
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from retrace.errors import UserError

_NODE = re.compile(r'^\s*(\w+)\s*\[\s*label\s*=\s*"((?:[^"\\]|\\.)*)"(.*)\]\s*;?\s*$')
_TABLE = re.compile(
    r"^\s*(\w+)\s*\[[^\]]*?label=<<table[^>]*color=\"(#[0-9a-fA-F]{6})\".*?>(.*?)</table>>\s*\]", re.S | re.M
)
_EDGE = re.compile(r"^\s*(\w+)\s*->\s*(\w+)\b", re.M)
_COLOUR = re.compile(r'color\s*=\s*"([\d.]+) ([\d.]+) ([\d.]+)"')

CHARACTER = 6.7  # width of a character of the 12 px font; a generous mean, so that text never leaves its box
BOLD = 7.6  # the same for the first line
LINE = 16
GAP_X = 26
GAP_Y = 54
MARGIN = 16


@dataclass
class Node:
    """One box. x and y are its centre once it is laid out."""

    name: str
    lines: list[str]
    colour: str = "#777777"
    dashed: bool = False
    bend: bool = False  # no box: here a long edge passes a layer
    reach: float = 0.0  # height of that layer
    layer: int = 0
    x: float = 0.0
    y: float = 0.0

    @property
    def width(self) -> float:
        if self.bend:
            return 2.0
        return max(len(self.lines[0]) * BOLD, *(len(line) * CHARACTER for line in self.lines)) + 20

    @property
    def height(self) -> float:
        return 0.0 if self.bend else len(self.lines) * LINE + 14


@dataclass
class Graph:
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)


def _hex(match: re.Match[str] | None) -> str:
    """Snakemake writes colours as hue, saturation and value."""
    if match is None:
        return "#777777"
    red, green, blue = colorsys.hsv_to_rgb(*(float(part) for part in match.groups()))
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def _table_lines(text: str) -> list[str]:
    """The lines of a filegraph node, an HTML table: the rule's name, then its input and output files."""
    lines, kind = [], ""
    for cell in re.findall(r"<td[^>]*>(.*?)</td>", text, re.S):
        plain = html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
        if "monospace" in cell:
            plain = re.sub(r"\{(\w+),[^{}]*\}", r"{\1}", plain)  # a wildcard's constraint is for the machine
            lines.append(f"{kind} {'(input function)' if plain.startswith('<') else plain}")
        elif "input" in plain:
            kind = "in:"
        elif "output" in plain:
            kind = "out:"
        elif plain:
            lines.append(plain)
    return lines or ["?"]


def parse_dot(text: str) -> Graph:
    """Read what `snakemake --dag`, `--rulegraph` or `--filegraph` prints. Raises UserError where it is no graph."""
    start = text.find("digraph")
    if start < 0:
        raise UserError("snakemake printed no graph; run it with --dry-run to see why")
    text = text[start:]
    graph = Graph()
    for match in _TABLE.finditer(text):
        graph.nodes[match[1]] = Node(match[1], _table_lines(match[3]), match[2])
    for line in text.splitlines():
        match = _NODE.match(line)
        if match:
            label = match[2].replace('\\"', '"').split("\\n")
            graph.nodes[match[1]] = Node(match[1], label, _hex(_COLOUR.search(match[3])), "dashed" in match[3])
    for match in _EDGE.finditer(text):
        edge = (match[1], match[2])
        if edge[0] in graph.nodes and edge[1] in graph.nodes and edge not in graph.edges:
            graph.edges.append(edge)
    if not graph.nodes:
        raise UserError("the graph has no nodes; every file of the target may be there already")
    return graph


# ---------------------------------------------------------------- layout


def without_cycles(nodes: Iterable[str], edges: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The edges with those turned round that close a cycle (a rule graph has some), loops left out."""
    following: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        following[source].append(target)
    state: dict[str, int] = {}  # 1: on the way, 2: done
    backward: set[tuple[str, str]] = set()
    for root in following:
        if root in state:
            continue
        state[root] = 1
        stack = [(root, iter(following[root]))]
        while stack:
            here, rest = stack[-1]
            target = next(rest, None)
            if target is None:
                state[here] = 2
                stack.pop()
            elif state.get(target) == 1:
                backward.add((here, target))
            elif target not in state:
                state[target] = 1
                stack.append((target, iter(following[target])))
    turned = ((b, a) if (a, b) in backward else (a, b) for a, b in edges if a != b)
    return list(dict.fromkeys(turned))


def layers_of(nodes: Iterable[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Layer of each node: below all that it needs; what needs nothing stands just above its first use."""
    names = list(nodes)
    before: dict[str, list[str]] = {name: [] for name in names}
    after: dict[str, list[str]] = {name: [] for name in names}
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    layer = dict.fromkeys(names, 0)
    waiting = {name: len(before[name]) for name in names}
    ready = [name for name in names if not waiting[name]]
    for name in ready:  # grows while it is read
        for target in after[name]:
            layer[target] = max(layer[target], layer[name] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    for name in names:
        if not before[name] and after[name]:
            layer[name] = min(layer[target] for target in after[name]) - 1
    lowest = min(layer.values())
    return {name: value - lowest for name, value in layer.items()}


def crossings(upper: Sequence[str], lower: Sequence[str], links: Iterable[tuple[str, str]]) -> int:
    """How many of the edges between two neighbouring layers cross."""
    top = {name: place for place, name in enumerate(upper)}
    bottom = {name: place for place, name in enumerate(lower)}
    pairs = sorted((top[a], bottom[b]) for a, b in links if a in top and b in bottom)
    return sum(
        first[1] > second[1] and first[0] < second[0] for i, first in enumerate(pairs) for second in pairs[i + 1 :]
    )


def _bends(
    graph: Graph, edges: Sequence[tuple[str, str]]
) -> tuple[list[tuple[str, str]], dict[tuple[str, str], list[str]]]:
    """Add a bend node on every layer that an edge passes; the short links, and each edge's way."""
    links: list[tuple[str, str]] = []
    ways: dict[tuple[str, str], list[str]] = {}
    for source, target in edges:
        way = [source]
        for layer in range(graph.nodes[source].layer + 1, graph.nodes[target].layer):
            name = f"{source}>{target}@{layer}"
            graph.nodes[name] = Node(name, [""], bend=True, layer=layer)
            way.append(name)
        way.append(target)
        links += list(itertools.pairwise(way))
        ways[source, target] = way
    return links, ways


def _order(layers: list[list[str]], links: Sequence[tuple[str, str]], rounds: int = 12) -> list[list[str]]:
    """Order each layer by the mean place of its neighbours, down and up, and keep the order with fewest crossings."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for source, target in links:
        above.setdefault(target, []).append(source)
        below.setdefault(source, []).append(target)
    between = [[link for link in links if link[0] in set(layer)] for layer in layers]

    def total(order: list[list[str]]) -> int:
        return sum(crossings(order[i], order[i + 1], between[i]) for i in range(len(order) - 1))

    best, fewest = [list(layer) for layer in layers], total(layers)
    current = [list(layer) for layer in layers]
    for step in range(rounds):
        if fewest == 0:
            break
        down = step % 2 == 0
        neighbours = above if down else below
        span = range(1, len(current)) if down else range(len(current) - 2, -1, -1)
        for index in span:
            other = current[index - 1 if down else index + 1]
            place = {name: position for position, name in enumerate(other)}
            own = {name: position for position, name in enumerate(current[index])}

            def mean(name: str, place: dict[str, int] = place, own: dict[str, int] = own) -> float:
                near = [place[other] for other in neighbours.get(name, []) if other in place]  # noqa: B023
                return sum(near) / len(near) if near else float(own[name])

            current[index].sort(key=mean)
        if (count := total(current)) < fewest:
            best, fewest = [list(layer) for layer in current], count
    return best


def spread(wanted: Sequence[float], widths: Sequence[float], weights: Sequence[float], gap: float) -> list[float]:
    """Centres closest to `wanted` (weighted squares) that keep the order and leave `gap` between neighbours.

    Isotonic regression (pool adjacent violators) after the least distances are taken off.
    """
    offsets = [0.0]
    for left, right in itertools.pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + gap)
    pools: list[list[float]] = []  # mean, weight, members
    for want, offset, weight in zip(wanted, offsets, weights, strict=True):
        pools.append([want - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, heavy, members = pools.pop()
            last = pools[-1]
            last[0] = (last[0] * last[1] + mean * heavy) / (last[1] + heavy)
            last[1] += heavy
            last[2] += members
    places = [mean for mean, _, members in pools for _ in range(int(members))]
    return [place + offset for place, offset in zip(places, offsets, strict=True)]


def lay_out(graph: Graph) -> dict[tuple[str, str], list[str]]:
    """Give every node its place, add the bends of long edges, and return each edge's way from top to bottom."""
    edges = without_cycles(graph.nodes, graph.edges)
    for name, layer in layers_of(graph.nodes, edges).items():
        graph.nodes[name].layer = layer
    links, ways = _bends(graph, edges)
    layers: list[list[str]] = [[] for _ in range(1 + max(node.layer for node in graph.nodes.values()))]
    for node in graph.nodes.values():
        layers[node.layer].append(node.name)
    layers = _order(layers, links)

    near: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    y = float(MARGIN)
    for layer in layers:
        height = max(graph.nodes[name].height for name in layer)
        x = 0.0
        for name in layer:
            node = graph.nodes[name]
            node.x, node.y, node.reach = x + node.width / 2, y + height / 2, height
            x += node.width + GAP_X
        y += height + GAP_Y
    for step in range(24):
        for layer in layers if step % 2 == 0 else reversed(layers):
            members = [graph.nodes[name] for name in layer]
            wanted = [
                sum(graph.nodes[other].x for other in near[node.name]) / len(near[node.name])
                if near[node.name]
                else node.x
                for node in members
            ]
            # Bends weigh more: a long edge that runs straight is easier to follow than a centred box.
            weights = [4.0 if node.bend else 1.0 for node in members]
            for node, x in zip(members, spread(wanted, [n.width for n in members], weights, GAP_X), strict=True):
                node.x = x
    left = min(node.x - node.width / 2 for node in graph.nodes.values())
    for node in graph.nodes.values():
        node.x += MARGIN - left
    return ways


# ---------------------------------------------------------------- SVG


def _path(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line through the points, upright at each."""
    words = [f"M{points[0][0]:.1f},{points[0][1]:.1f}"]
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        middle = (y0 + y1) / 2
        words.append(f"C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}")
    return " ".join(words)


def _points(graph: Graph, way: Sequence[str]) -> list[tuple[float, float]]:
    """Where an edge runs: from the bottom of its first box, upright past every layer between, to the top of its last."""
    first, last = graph.nodes[way[0]], graph.nodes[way[-1]]
    points = [(first.x, first.y + first.height / 2)]
    for name in way[1:-1]:
        node = graph.nodes[name]
        points += [(node.x, node.y - node.reach / 2), (node.x, node.y + node.reach / 2)]
    return [*points, (last.x, last.y - last.height / 2 - 2)]


def to_svg(graph: Graph, title: str) -> str:
    """The graph as SVG text: what is needed above, what is made from it below; dashed boxes are up to date."""
    ways = lay_out(graph)
    boxes = [node for node in graph.nodes.values() if not node.bend]
    width = max(node.x + node.width / 2 for node in graph.nodes.values()) + MARGIN
    height = max(node.y + node.height / 2 for node in boxes) + MARGIN
    given = set(graph.edges)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" font-family="Helvetica, Arial, sans-serif" font-size="12">',
        f"<title>{html.escape(title)}</title>",
        '<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0,0 L10,5 L0,10 z" fill="#6b7480"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        '<g fill="none" stroke="#6b7480" stroke-width="1.4">',
    ]
    for (source, target), way in ways.items():
        heads = ""
        if (source, target) in given:
            heads += ' marker-end="url(#arrow)"'
        if (target, source) in given:  # an edge that was turned round to break a cycle
            heads += ' marker-start="url(#arrow)"'
        parts.append(f'<path d="{_path(_points(graph, way))}"{heads}/>')
    parts.append("</g>")
    for node in boxes:
        dash = ' stroke-dasharray="5 3"' if node.dashed else ""
        left, top = node.x - node.width / 2, node.y - node.height / 2
        parts.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{node.width:.1f}" height="{node.height:.1f}" rx="7" '
            f'fill="#ffffff" stroke="{node.colour}" stroke-width="2"{dash}/>'
        )
        for number, line in enumerate(node.lines):
            weight = ' font-weight="600"' if number == 0 else ' fill="#444444"'
            parts.append(
                f'<text x="{node.x:.1f}" y="{top + 19 + number * LINE:.1f}" text-anchor="middle"{weight}>'
                f"{html.escape(line)}</text>"
            )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
