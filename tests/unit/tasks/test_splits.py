"""Splits that a system brings for itself."""

import pytest

from retrace.tasks.options import TaskConfig
from retrace.tasks.splits import owner_of, plain_split, split_of_set, used_together

SPLITS = ("train", "dev", "test", "corpus", "icot_train", "icot_plain_train", "icot_dev", "other_train")
CONFIG = TaskConfig(
    name="t",
    title="T",
    family="word_problems",
    format="lines",
    splits={name: {"file": f"{name}.txt"} for name in SPLITS},
    split_sets=["icot", "other"],
)


@pytest.mark.parametrize(
    ("split", "owner", "role"),
    [
        ("train", None, "train"),
        ("icot_train", "icot", "train"),
        ("icot_plain_train", "icot", "train"),
        ("corpus", None, "corpus"),
        ("other_train", "other", "train"),
    ],
)
def test_owner_and_role(split: str, owner: str | None, role: str) -> None:
    assert owner_of(CONFIG, split) == owner
    assert plain_split(CONFIG, split) == role


def test_the_split_of_a_system() -> None:
    assert [split_of_set(CONFIG, "icot", role) for role in ("train", "dev", "test")] == [
        "icot_train",
        "icot_dev",
        "test",
    ]
    assert split_of_set(CONFIG, None, "train") == split_of_set(CONFIG, "unknown", "train") == "train"


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("train", "dev", True),
        ("train", "corpus", True),
        ("train", "demonstrations", True),
        ("icot_train", "test", True),
        ("icot_train", "icot_dev", True),
        ("icot_plain_train", "icot_dev", True),
        ("icot_plain_train", "test", True),
        ("icot_train", "icot_plain_train", False),
        ("icot_train", "train", False),
        ("icot_plain_train", "train", False),
        ("icot_train", "dev", False),
        ("icot_dev", "train", False),
        ("icot_train", "other_train", False),
        ("other_train", "dev", True),
        ("icot_train", "demonstrations", False),
        ("icot_train", "sampling_demonstrations", False),
        ("train", "sampling_demonstrations", True),
    ],
)
def test_who_is_read_together(one: str, other: str, together: bool) -> None:
    assert used_together(CONFIG, (one, other)) == together
    assert used_together(CONFIG, (other, one)) == together
