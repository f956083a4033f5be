"""Stitching aligned solutions into triples against the official code's outputs."""

from retrace.systems.grace.pairs import stitch
from retrace.tasks.families import programs, word_problems


def judge_of(task):
    if task == "mathqa":
        return lambda step, reference, prefix: programs.step_correct(step, reference, prefix, official=True)
    return lambda step, reference, prefix: word_problems.step_correct(step, reference, official=True)


def test_grace_pairs(vectors):
    cases = vectors("grace_pairs")["cases"]
    for number, case in enumerate(cases):
        given = case["in"]
        made = stitch(
            given["aligned_traj"],
            given["aligned_gt"],
            judge_of(given["task"]),
            break_after_extra_step=given["break_after_extra_step"],
        )
        found = [[" ".join(triple.prefix), triple.positive, triple.negative] for triple in made]
        assert found == [list(row) for row in case["out"]], f"case {number}"
    print(f"grace_pairs: {len(cases)} cases")
    assert cases
