"""Graphs: which jobs share a box, what the boxes say, and names of files."""

from collections.abc import Sequence

import pytest

from retrace.errors import UserError
from retrace.planning.graph import (
    common_folder,
    edges_of,
    folded,
    graph_of_files,
    graph_of_jobs,
    listed,
    merge_levels,
    together,
    without_constraints,
)
from retrace.planning.jobs import Job


def job(rule: str, reads: Sequence[str], writes: str, **wildcards: str) -> Job:
    return Job(rule, wildcards, {}, input=reads, output=[writes])


def jobs_of(rounds: int = 2, seeds: int = 2, shards: int = 3) -> list[Job]:
    """Rounds of training and sampling, as iterative systems have them."""
    found = [job("prepare", [], "data", task="gsm8k")]
    for seed in range(seeds):
        for turn in range(rounds):
            before = [f"{seed}/sample{turn - 1}_{shard}" for shard in range(shards)] if turn else []
            checkpoint = f"dpo_st_round{turn}"
            names = {"task": "gsm8k", "seed": str(seed), "round": str(turn)}
            found.append(job("train", ["data", *before], f"{seed}/model{turn}", **names))
            for shard in range(shards):
                of_shard = {"task": "gsm8k", "seed": str(seed), "checkpoint": checkpoint, "shard": str(shard)}
                reads = [f"{seed}/model{turn}/weights"]
                found.append(job("sample", reads, f"{seed}/sample{turn}_{shard}", **of_shard))
    return found


def test_lists_are_short() -> None:
    assert listed(["3", "0", "1", "2", "7", "10", "9"]) == "0-3, 7, 9-10"
    assert listed(["b", "a", "b"]) == "a, b"
    assert listed([f"w{number}" for number in range(10)], most=4) == "w0, w1 and 8 more"


def test_a_file_of_a_folder_comes_from_the_job_that_makes_the_folder() -> None:
    chain = [job("train", [], "m/model"), job("decode", ["m/model/weights.bin", "config.yaml"], "m/answers")]
    assert edges_of(chain) == {(0, 1)}


def test_every_job_has_a_box_where_nothing_is_merged() -> None:
    jobs = jobs_of()
    graph = graph_of_jobs(jobs, jobs, ())
    assert len(graph.boxes) == len(jobs)
    assert len(graph.edges) == len(edges_of(jobs))
    assert {box.heading for box in graph.boxes} == {"prepare", "train", "sample"}
    assert graph.notes == ["Throughout: task gsm8k."]


def test_boxes_hold_the_jobs_that_differ_in_merged_wildcards_only() -> None:
    jobs = jobs_of()
    graph = graph_of_jobs(jobs, jobs, ("shard", "seed"))
    assert [(box.heading, box.lines) for box in graph.boxes] == [
        ("prepare", ()),
        ("train ×2", ("round 0",)),
        ("sample ×6", ("dpo_st_round0",)),
        ("train ×2", ("round 1",)),
        ("sample ×6", ("dpo_st_round1",)),
    ]
    assert graph.edges == [(0, 1), (0, 3), (1, 2), (2, 3), (3, 4)]
    assert graph.notes[1] == "A box holds the jobs that differ only in seed (0-1); shard (0-2)."
    assert graph.boxes[2].details == "checkpoint: dpo_st_round0; seed: 0-1; shard: 0-2; task: gsm8k"


def test_merged_rounds_are_a_cycle_and_leave_the_names_of_checkpoints() -> None:
    jobs = jobs_of(rounds=3)
    graph = graph_of_jobs(jobs, jobs, ("shard", "seed", "round"))
    assert [(box.heading, box.lines) for box in graph.boxes] == [("prepare", ()), ("train ×6", ()), ("sample ×18", ())]
    assert graph.edges == [(0, 1), (1, 2), (2, 1)]
    named = [job("score", [], name, method=name) for name in ("st_round1_maj", "st_round2_maj", "st_roundabout")]
    merged = graph_of_jobs([*jobs, *named], jobs, ("round",))
    assert [box.lines for box in merged.boxes if box.rule == "score"] == [("st_maj",), ("st_roundabout",)]


def test_a_graph_does_not_depend_on_the_order_of_the_jobs() -> None:
    jobs = jobs_of()
    assert graph_of_jobs(jobs[::-1], jobs, ("shard",)) == graph_of_jobs(jobs, jobs, ("shard",))


def test_levels_begin_with_seeds_and_shards_and_end_with_one_box_a_rule() -> None:
    jobs = [*jobs_of(), job("report", [], "report", own="x")]
    assert merge_levels(jobs) == [
        ("shard", "seed"),
        ("shard", "seed", "task"),
        ("shard", "seed", "task", "round"),
        ("shard", "seed", "task", "round", "checkpoint"),
        ("shard", "seed", "task", "round", "checkpoint", "own"),
    ]
    assert len(graph_of_jobs(jobs, jobs, merge_levels(jobs)[-1]).boxes) == 4


def test_boxes_know_what_would_run() -> None:
    jobs = jobs_of(rounds=1)
    boxes = graph_of_jobs(jobs, jobs[-1:], ("shard", "seed")).boxes
    assert [(box.rule, box.jobs, box.waiting, box.done) for box in boxes] == [
        ("prepare", 1, 0, True),
        ("train", 2, 0, True),
        ("sample", 6, 1, False),
    ]


def test_constraints_go_whatever_they_hold() -> None:
    assert (
        without_constraints("a/{task,[a-z]{1,5}(?:_x)*}/seed{seed,\\d+}/{model}.json")
        == "a/{task}/seed{seed}/{model}.json"
    )
    assert without_constraints("a,b.txt") == "a,b.txt"


def test_names_are_written_short() -> None:
    assert together(["a/b.jsonl", "a/b.timing.jsonl", "a/model", "c/b.jsonl"]) == [
        "a/b.jsonl .timing.jsonl",
        "a/model",
        "c/b.jsonl",
    ]
    assert common_folder(["results/{task}/x/a", "results/{task}/x/b", "results/{task}/x/c/d"]) == "results/{task}/x"
    assert common_folder(["results/{task}/x/a", "results/{task}/x/b"]) is None
    assert folded("results/tables/{paper}.csv .html", 16) == ["results/tables/", "{paper}.csv", ".html"]
    assert folded("short", 16) == ["short"]


def table(number: int, rule: str, inputs: Sequence[str], outputs: Sequence[str]) -> str:
    cells = "".join(f'<tr><td><font face="monospace">{name}</font></td></tr>\n' for name in inputs)
    made = "".join(f'<tr>\n<td><font face="monospace">{name}</font></td></tr>\n' for name in outputs)
    return (
        f'{number} [ shape=none, label=<<table border="2" color="#57D9D9">\n<tr><td>\n<b><font point-size="18">{rule}'
        f'</font></b>\n</td></tr>\n<hr/>\n<tr><td> <b><font point-size="14">&#8618; input</font></b> </td></tr>\n{cells}'
        f'<hr/>\n<tr><td> <b><font point-size="14">output &rarr;</font></b> </td> </tr>\n{made}</table>>]\n'
    )


def test_a_filegraph_shows_what_is_written_and_what_no_rule_writes() -> None:
    reads = ["&lt;function f at 0x7f&gt;", "results/{task,[a-z]+}/seed1.txt", "config/{task}.yaml"]
    text = "Building DAG of jobs...\ndigraph snakemake_dag {\n" + table(
        0, "c", reads, ["c/{task,[a-z]+}.txt", "c/{task}.md"]
    )
    text += table(1, "a", [], ["results/{task,[a-z]+}/seed{seed,\\d{1,3}}.txt"]) + "\t1 -> 0\n\t0 -> 0\n}"
    graph = graph_of_files(text)
    assert [(box.heading, box.lines) for box in graph.boxes] == [
        ("c", ("reads config/{task}.yaml", "c/{task}.txt .md")),
        ("a", ("results/{task}/seed{seed}.txt",)),
    ]
    assert graph.edges == [(1, 0)]
    assert graph.notes == []
    assert graph_of_files(text, longest=12).boxes[1].lines == ("results/", "{task}/", "seed{seed}.txt")


def test_a_folder_that_many_files_lie_in_is_named_once() -> None:
    text = "digraph {\n" + table(0, "a", [], [f"results/{{task}}/seed{{seed}}/{name}" for name in "abc"]) + "}"
    graph = graph_of_files(text)
    assert graph.boxes[0].lines == ("…/a", "…/b", "…/c")
    assert graph.notes == ["… is the folder results/{task}/seed{seed}."]


def test_text_that_is_no_graph_is_refused() -> None:
    with pytest.raises(UserError, match="no graph"):
        graph_of_files("Nothing to be done")
    with pytest.raises(UserError, match="no rules"):
        graph_of_files("digraph snakemake_dag {\n}")
