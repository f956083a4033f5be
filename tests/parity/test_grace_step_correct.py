"""Vectors grace_step_correct: whether a sampled step matches the aligned reference step."""

import pytest

from parity import official_grace
from retrace.tasks.load import load_task

# Steps that are right by our rule and wrong by theirs: a number is read whole, and white space makes no difference.
MENDED = {"it costs 12,450 |", "=1e3 |", "import math ;", "t0 = q ;"}


def ours(given: dict) -> bool:
    return load_task(given["task"]).step_correct(given["traj_step"], given["gt_step"], given["prefix"])


def theirs(given: dict) -> bool:
    if given["task"] in ("mathqa", "asdiv"):
        return official_grace.program_step_correct(given["traj_step"], given["gt_step"], given["prefix"])
    return official_grace.number_step_correct(given["traj_step"], given["gt_step"])


@pytest.mark.parametrize("name", ["grace_step_correct"])
def test_every_case(vectors, name):
    cases = vectors(name)["cases"]
    wrong = [(case["in"], theirs(case["in"])) for case in cases if theirs(case["in"]) != case["out"]]
    print(f"{name}: {len(cases) - len(wrong)}/{len(cases)}")
    assert cases
    assert not wrong


def test_ours_differ_only_where_they_mend_theirs(vectors):
    cases = vectors("grace_step_correct")["cases"]
    different = [(case["in"]["traj_step"], case["out"]) for case in cases if ours(case["in"]) != case["out"]]
    assert different == [(step, False) for step, _ in different]
    assert {step for step, _ in different} == MENDED
