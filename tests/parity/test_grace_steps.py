"""Vectors grace_steps: raw solutions cut into steps, each with its delimiter."""

import pytest

from parity import official_grace
from retrace.tasks import steps
from retrace.tasks.load import load_task


def cut(given: dict, delimiter: str, split: object) -> dict:
    """references: by the family, as rows of data are read; samples: by `split`."""
    family = load_task("mathqa" if delimiter == ";" else "gsm8k").family
    sampled = [split(text) for text in given["incorrect_trajectories"]]
    return {
        "gt_steps": steps.with_delimiter(family.steps_of(steps.body_of(given["gt_sol"]), delimiter), delimiter),
        "traj_steps": [steps.with_delimiter(parts, delimiter) for parts in sampled if parts],
    }


@pytest.mark.parametrize("name", ["grace_steps"])
def test_every_case(vectors, name):
    """Our rule and theirs differ on none of these; for the texts where they do see tests/unit/tasks/test_steps.py."""
    cases = vectors(name)["cases"]
    wrong = []
    for case in cases:
        delimiter = ";" if case["in"]["task"] in ("mathqa", "asdiv") else "|"
        ours = cut(case["in"], delimiter, load_task(case["in"]["task"]).split_steps)
        theirs = cut(case["in"], delimiter, lambda text, end=delimiter: official_grace.split_steps(text, end))
        wrong += [case["in"]] if (ours, theirs) != (case["out"], case["out"]) else []
    print(f"{name}: {len(cases) - len(wrong)}/{len(cases)}")
    assert cases
    assert not wrong
