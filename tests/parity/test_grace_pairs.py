"""Stitching aligned solutions into triples against the official code's outputs."""

from parity import official_grace
from retrace.systems.grace.pairs import StepCorrect, stitch
from retrace.tasks.load import load_task


def stitched(given: dict, correct: StepCorrect) -> list[list[str]]:
    made = stitch(
        given["aligned_traj"], given["aligned_gt"], correct, break_after_extra_step=given["break_after_extra_step"]
    )
    return [[" ".join(triple.prefix), triple.positive, triple.negative] for triple in made]


def theirs(task: str) -> StepCorrect:
    if task == "mathqa":
        return official_grace.program_step_correct
    return lambda step, reference, prefix: official_grace.number_step_correct(step, reference)


def told_apart(rows: list[list[str]]) -> list[list[str]]:
    """Those whose two steps do not read the same; ours leave the others out (make_pairs), theirs train on them."""
    return [row for row in rows if row[1].split() != row[2].split()]


def test_grace_pairs(vectors):
    cases = vectors("grace_pairs")["cases"]
    for number, case in enumerate(cases):
        given, expected = case["in"], [list(row) for row in case["out"]]
        assert stitched(given, theirs(given["task"])) == expected, f"case {number}"
        ours = stitched(given, load_task(given["task"]).step_correct)
        assert told_apart(ours) == told_apart(expected), f"case {number}"
    print(f"grace_pairs: {len(cases)} cases")
    assert cases
