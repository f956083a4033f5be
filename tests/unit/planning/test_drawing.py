"""Drawings: what the layouts promise, what fits on a page, and the SVG."""

import re
import shutil
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import pytest

from retrace.errors import UserError
from retrace.planning import drawing as module
from retrace.planning.drawing import (
    COLORS,
    PAGE,
    SMALLEST,
    backward_edges,
    color_of,
    drawing,
    first_that_fits,
    layout_by_dot,
    layout_by_graphlay,
    layout_named,
    size_of,
    text_width,
    to_svg,
    wrapped,
)
from retrace.planning.graph import Box, Graph

SVG = "{http://www.w3.org/2000/svg}"
with_dot = pytest.param(layout_by_dot, marks=pytest.mark.skipif(not shutil.which("dot"), reason="no Graphviz"))
LAYOUTS = pytest.mark.parametrize("layout", [with_dot, layout_by_graphlay])


def layered(layers: int = 6, width: int = 10) -> Graph:
    """Each box needs two of the layer above and one of two above."""
    graph = Graph(notes=["Throughout: task gsm8k."])
    for number in range(layers * width):
        layer, place = divmod(number, width)
        graph.boxes.append(Box(f"rule_{number}", (f"seed {number % 7}",), 2, 2, f"seed: {number % 7}"))
        above = {(layer - 1) * width + (place * 3) % width, (layer - 2) * width + place}
        graph.edges += [(source, number) for source in above if source >= 0]
    graph.edges.sort()
    return graph


def rounds() -> Graph:
    """A chain whose last box leads back to its second one."""
    return Graph([Box(name) for name in ("data", "train", "sample", "mark")], [(0, 1), (1, 2), (2, 3), (3, 1)])


def ends(path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    numbers = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return (numbers[0], numbers[1]), (numbers[-2], numbers[-1])


@LAYOUTS
@pytest.mark.parametrize("graph", [layered(), rounds(), Graph([Box("alone")])], ids=["layered", "rounds", "alone"])
def test_boxes_never_overlap_and_arrows_join_them(layout, graph: Graph) -> None:
    found = layout(graph)
    sizes = [size_of(box) for box in graph.boxes]
    for (one, a), (other, b) in combinations(zip(found.boxes, sizes, strict=True), 2):
        beside = abs(one[0] - other[0]) >= (a[0] + b[0]) / 2 + 5
        above = abs(one[1] - other[1]) >= (a[1] + b[1]) / 2 + 5
        assert beside or above, (one, other)
    for center, (width, height) in zip(found.boxes, sizes, strict=True):
        assert width / 2 - 1 <= center[0] <= found.width - width / 2 + 1
        assert height / 2 - 1 <= center[1] <= found.height - height / 2 + 1
    for edge, path in zip(graph.edges, found.paths, strict=True):
        for number, point in zip(edge, ends(path), strict=True):
            center, (width, height) = found.boxes[number], sizes[number]
            assert abs(point[0] - center[0]) <= width / 2 + 1, (edge, path)
            assert abs(point[1] - center[1]) <= height / 2 + 1, (edge, path)


@LAYOUTS
def test_what_is_needed_stands_above(layout) -> None:
    graph = layered()
    found = layout(graph)
    assert all(found.boxes[source][1] < found.boxes[target][1] for source, target in graph.edges)
    heights = [y for _, y in layout(rounds()).boxes]
    assert heights == sorted(heights)  # of a cycle, the arrow back leads up


def test_the_arrow_back_of_a_cycle_is_the_one_that_closes_it() -> None:
    assert backward_edges(rounds()) == {(3, 1)}
    assert backward_edges(layered()) == set()


def test_widths_are_those_of_the_font() -> None:
    # Helvetica's own table: d, e and o 556, c 500.
    assert text_width("decode", 10) == pytest.approx(32.8, rel=0.05)
    assert text_width("iii") < text_width("mmm") / 2
    assert size_of(Box("a"))[0] < size_of(Box("a", ("a longer line",)))[0]
    assert size_of(Box("a", (), 9, 4))[1] > size_of(Box("a", (), 9, 9))[1]  # "4 to run"


def test_long_notes_are_wrapped() -> None:
    lines = wrapped("one two three four " * 20, 200)
    assert len(lines) > 3
    assert all(text_width(line, module.NOTE) <= 200 for line in lines)
    assert " ".join(lines).split() == ("one two three four " * 20).split()


def test_a_title_is_no_wider_than_a_page() -> None:
    found = drawing(
        rounds(), " ".join(f"results/task{number}/model/grace_acc.json" for number in range(20)), layout_by_graphlay
    )
    assert found.title.startswith("results/task0/model/grace_acc.json results/task1")
    assert found.title.endswith(" …")
    assert found.size[0] <= PAGE[0]
    assert found.fits
    assert drawing(rounds(), "short", layout_by_graphlay).title == "short"


def test_a_large_graph_is_made_smaller_as_far_as_it_can_be_read() -> None:
    small, large = (drawing(graph, "t", layout_by_graphlay) for graph in (rounds(), layered(8, 20)))
    assert small.fits
    assert small.font == 10
    assert not large.fits
    assert large.font == SMALLEST
    assert drawing(layered(8, 20), "t", layout_by_graphlay, page=False).font == 10


def test_the_first_graph_that_fits_is_drawn_and_the_last_where_none_does() -> None:
    sizes = [layered(8, 20), layered(12, 5), layered(3, 4), rounds()]
    found = first_that_fits(sizes, "t", layout_by_graphlay)
    assert found.graph is sizes[2]
    assert found.size[0] <= PAGE[0]
    assert found.size[1] <= PAGE[1]
    assert first_that_fits(sizes[:2], "t", layout_by_graphlay).graph is sizes[1]
    assert first_that_fits(sizes[:1], "t", layout_by_graphlay).graph is sizes[0]


@LAYOUTS
def test_picture_is_well_formed_complete_and_the_same_each_time(layout) -> None:
    graph = layered()
    svg = to_svg(drawing(graph, "a < b & c", layout))
    page = ElementTree.fromstring(svg)
    labels = [element.text for element in page.iter(f"{SVG}text")]
    assert labels == ["a < b & c", *(line for box in graph.boxes for line in (box.heading, *box.lines)), *graph.notes]
    assert len([path for path in page.iter(f"{SVG}path") if path.attrib.get("marker-end")]) == len(graph.edges)
    assert svg == to_svg(drawing(graph, "a < b & c", layout))
    assert page.attrib["width"] == f"{float(page.attrib['viewBox'].split()[2]):.1f}pt"


def test_a_screen_reader_is_told_of_every_box() -> None:
    graph = Graph([Box("data", (), 1, 0, "task: gsm8k"), Box("train", (), 3, 1), Box("rule")], [(0, 1)])
    page = ElementTree.fromstring(to_svg(drawing(graph, "all", layout_by_graphlay)))
    names = {
        element.attrib["id"]: element.text for element in page.iter() if element.tag in (f"{SVG}title", f"{SVG}desc")
    }
    assert all(name in names for name in page.attrib["aria-labelledby"].split())
    boxes = [element for element in page.iter(f"{SVG}g") if element.attrib.get("role") == "img"]
    assert [names[box.attrib["aria-labelledby"]] for box in boxes] == [
        "data (done)\ntask: gsm8k",
        "train ×3 (1 to run)\nneeds data",
        "rule (a rule)",
    ]
    assert [bool(box.find(f"{SVG}rect").attrib.get("stroke-dasharray")) for box in boxes] == [True, False, False]  # type: ignore[union-attr]


def test_rules_of_one_verb_share_a_color_that_stands_out_from_white() -> None:
    graph = Graph([Box(name) for name in ("train_sft", "decode", "train_dpo", *"abcdefgh")])
    colors = color_of(graph)
    assert colors["train_sft"] == colors["train_dpo"] != colors["decode"]
    assert set(colors.values()) == set(COLORS)
    for color in COLORS:
        shares = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
        light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (light + 0.05) >= 2.2, color


def test_a_layout_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert layout_named("auto") is layout_by_graphlay
    with pytest.raises(UserError, match="Graphviz is not installed"):
        layout_named("dot")
    (tmp_path / "dot").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    (tmp_path / "dot").chmod(0o755)
    assert layout_named("auto") is layout_by_dot
    with pytest.raises(UserError, match="dot: broken"):
        layout_by_dot(rounds())
