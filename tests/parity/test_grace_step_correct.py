"""Vectors grace_step_correct: whether a sampled step matches the aligned reference step."""

import pytest

from retrace.tasks.families import programs, word_problems


def judge(case: dict) -> bool:
    given = case["in"]
    if given["task"] in ("mathqa", "asdiv"):
        return programs.step_correct(given["traj_step"], given["gt_step"], given["prefix"], official=True)
    return word_problems.step_correct(given["traj_step"], given["gt_step"], official=True)


@pytest.mark.parametrize("name", ["grace_step_correct"])
def test_every_case(vectors, name):
    cases = vectors(name)["cases"]
    wrong = [(case["in"], judge(case)) for case in cases if judge(case) != case["out"]]
    print(f"{name}: {len(cases) - len(wrong)}/{len(cases)}")
    assert cases
    assert not wrong
