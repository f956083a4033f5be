"""Drawing graphs: reading Snakemake's text, the layout's promises, and the program on a real workflow."""

import re
from itertools import combinations, pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest

import draw_dag
from retrace.errors import UserError
from retrace.evaluation.graph import crossings, lay_out, layers_of, parse_dot, spread, to_svg, without_cycles

DOT = """Building DAG of jobs...
digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    node[shape=box, style=rounded, fontname=sans,                 fontsize=10, penwidth=2];
    edge[penwidth=2, color=grey];
\t0[label = "score", color = "0.50 0.6 0.85", style="rounded"];
\t1[label = "decode\\nsplit: test", color = "0.33 0.6 0.85", style="rounded,dashed"];
\t2[label = "train & <fit>", color = "0.00 0.6 0.85", style="rounded"];
\t3[label = "data", color = "0.10 0.6 0.85", style="rounded"];
\t1 -> 0
\t2 -> 1
\t3 -> 2
\t3 -> 0
}
"""


def test_reads_labels_colours_and_edges() -> None:
    graph = parse_dot(DOT)
    assert graph.nodes["1"].lines == ["decode", "split: test"]
    assert graph.nodes["1"].dashed
    assert not graph.nodes["0"].dashed
    assert graph.nodes["0"].colour == "#57d9d9"  # the colour that Graphviz gives it
    assert graph.edges == [("1", "0"), ("2", "1"), ("3", "2"), ("3", "0")]


def test_reads_the_tables_of_a_filegraph() -> None:
    text = """digraph snakemake_dag {
0 [ shape=none, margin=0, label=<<table border="2" color="#57D9D9" cellspacing="3" cellborder="0">
<tr><td>
<b><font point-size="18">c</font></b>
</td></tr>
<hr/>
<tr><td align="left"> <b><font point-size="14">&#8618; input</font></b> </td></tr>
<tr>
<td align="left"><font face="monospace">&lt;function f at 0x7f&gt;</font></td>
</tr>
<tr><td align="right"> <b><font point-size="14">output &rarr;</font></b> </td> </tr>
<tr>
<td align="left"><font face="monospace">c/{task,[a-z]+}.txt</font></td></tr>
</table>>]
}"""
    node = parse_dot(text).nodes["0"]
    assert node.lines == ["c", "in: (input function)", "out: c/{task}.txt"]
    assert node.colour == "#57D9D9"


def test_text_that_is_no_graph_is_refused() -> None:
    with pytest.raises(UserError, match="no graph"):
        parse_dot("Nothing to be done")
    with pytest.raises(UserError, match="no nodes"):
        parse_dot("digraph snakemake_dag {\n}")


def test_cycles_are_broken_and_loops_left_out() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "c")]
    found = without_cycles("abc", edges)
    assert sorted(found) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert layers_of("abc", found) == {"a": 0, "b": 1, "c": 2}


def test_what_needs_nothing_stands_just_above_its_first_use() -> None:
    assert layers_of("abcd", [("a", "b"), ("b", "c"), ("d", "c")]) == {"a": 0, "b": 1, "c": 2, "d": 1}


def test_crossings_are_counted() -> None:
    assert crossings("ab", "xy", [("a", "x"), ("b", "y")]) == 0
    assert crossings("ab", "xy", [("a", "y"), ("b", "x")]) == 1
    assert crossings("abc", "xyz", [("a", "z"), ("b", "y"), ("c", "x")]) == 3


def test_spread_keeps_order_and_distance_and_moves_as_little_as_it_can() -> None:
    assert spread([0.0, 100.0], [10, 10], [1, 1], 5) == [0.0, 100.0]
    assert spread([50.0, 50.0], [10, 10], [1, 1], 5) == [42.5, 57.5]
    assert spread([50.0, 50.0], [10, 10], [3, 1], 5) == [46.25, 61.25]  # the heavier one moves less


@pytest.fixture
def large() -> str:
    """A graph of 60 boxes: 6 layers of 10, each box needing two of the layer above and one of two above."""
    lines = []
    for number in range(60):
        lines.append(
            f'\t{number}[label = "rule_{number}\\nseed: {number % 7}", color = "0.1 0.6 0.85", style="rounded"];'
        )
        layer, place = divmod(number, 10)
        above = {(layer - 1) * 10 + (place * 3) % 10, (layer - 1) * 10 + (place + 4) % 10, (layer - 2) * 10 + place}
        lines += [f"\t{source} -> {number}" for source in above if source >= 0]
    return "digraph snakemake_dag {\n" + "\n".join(lines) + "\n}"


def test_boxes_never_overlap_and_edges_lead_down(large: str) -> None:
    for text in (DOT, large):
        graph = parse_dot(text)
        ways = lay_out(graph)
        boxes = [node for node in graph.nodes.values() if not node.bend]
        for one, other in combinations(boxes, 2):
            beside = abs(one.x - other.x) >= (one.width + other.width) / 2 + 20
            above = abs(one.y - other.y) >= (one.height + other.height) / 2 + 20
            assert beside or above, (one, other)
        for way in ways.values():
            for upper, lower in pairwise(way):
                assert graph.nodes[upper].y < graph.nodes[lower].y
        assert min(node.x - node.width / 2 for node in boxes) >= 0


def test_picture_is_well_formed_complete_and_the_same_each_time(large: str) -> None:
    for text in (DOT, large):
        graph = parse_dot(text)
        edges = len(graph.edges)
        svg = to_svg(graph, "a < b & c")
        page = ElementTree.fromstring(svg)
        space = "{http://www.w3.org/2000/svg}"
        labels = [element.text for element in page.iter(f"{space}text")]
        assert labels == [line for node in graph.nodes.values() if not node.bend for line in node.lines]
        assert len([p for p in page.iter(f"{space}path") if p.attrib.get("marker-end")]) == edges
        assert page.find(f"{space}title").text == "a < b & c"  # type: ignore[union-attr]
        width = float(page.attrib["width"])
        assert all(float(box.attrib["x"]) >= 0 for box in page.iter(f"{space}rect") if "x" in box.attrib)
        xs = [float(number) for number in re.findall(r"[MC ](-?[\d.]+),", svg)]
        assert all(0 <= x <= width for x in xs)
        assert svg == to_svg(parse_dot(text), "a < b & c")
    assert "stroke-dasharray" in to_svg(parse_dot(DOT), "")


def test_an_edge_that_was_turned_round_still_points_where_it_led() -> None:
    svg = to_svg(
        parse_dot('digraph {\n0[label = "a"]\n1[label = "b"]\n2[label = "c"]\n\t0 -> 1\n\t1 -> 2\n\t2 -> 0\n}'), "t"
    )
    assert svg.count("marker-end=") == 2
    assert svg.count("marker-start=") == 1


@pytest.mark.parametrize(
    ("target", "kind", "name"),
    [
        ("results/gsm8k/grace_acc.json", "rulegraph", "results/dag/results_gsm8k_grace_acc.svg"),
        ("results/gsm8k/grace_acc.json", "dag", "results/dag/results_gsm8k_grace_acc_dag.svg"),
        (None, "rulegraph", "results/dag/all.svg"),
    ],
)
def test_name_of_the_output(target: str | None, kind: str, name: str) -> None:
    assert draw_dag.default_output(target, kind) == name


SNAKEFILE = """
print("a line that is no graph")
rule c:
    input: "b.txt", expand("a_{i}.txt", i=range(config.get("count", 3)))
    output: "out/c.txt"
rule b:
    input: "a_1.txt"
    output: "b.txt"
rule a:
    output: "a_{i}.txt"
"""


def test_program_draws_a_real_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    draw_dag.main(["out/c.txt", "--renderer", "own"])
    svg = (tmp_path / "results/dag/out_c.txt.svg").read_text()
    assert [element.text for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")] == list(
        "cba"
    )
    draw_dag.main(["out/c.txt", "--kind", "dag", "--renderer", "own", "--output", "d.svg", "--", "--config", "count=5"])
    assert (tmp_path / "d.svg").read_text().count("<text") == 1 + 1 + 5 * 2
    assert not (tmp_path / "out").exists()
    with pytest.raises(UserError, match=r"cannot plan none\.txt.*none\.txt"):
        draw_dag.main(["none.txt"])
