"""Names of splits: the plain ones, and a system's own (`dpo_st_train` in addition to `train`)."""

from collections.abc import Iterable

from retrace.tasks.options import TaskConfig

STANDARD = ("train", "dev", "test")  # what a split set may replace
DEMONSTRATIONS = "demonstrations"  # for prompts of frozen models; no system with splits of its own has any
SAMPLING_DEMONSTRATIONS = "sampling_demonstrations"  # what sampling of training questions draws its examples from
# What a model that was trained on another task is tested on, where that is more than the plain test split.
TRANSFER = "transfer_test"


def split_of_set(config: TaskConfig, name: str | None, split: str) -> str:
    """The split that the system `name` reads as its `split`: its own where the task has one, else the plain one."""
    own = f"{name}_{split}"
    return own if name in config.split_sets and own in config.splits else split


def owner_of(config: TaskConfig, split: str) -> str | None:
    """The system whose own split this is; None for a plain split."""
    role = split.rpartition("_")[2]
    owners = [name for name in config.split_sets if split.startswith(f"{name}_") and role in STANDARD]
    return max(owners, key=len) if owners else None


def plain_split(config: TaskConfig, split: str) -> str:
    """The role of a split: `train` for `dpo_st_train`, `icot_unaugmented_train` and itself, `test` for `transfer_test`."""
    if split == TRANSFER:
        return "test"
    return split if owner_of(config, split) is None else split.rpartition("_")[2]


def used_together(config: TaskConfig, splits: Iterable[str]) -> bool:
    """Whether some system reads both of these two splits, so that they must share no question.

    Two training splits of one system (augmented and not) are choices, never read together.
    """
    one, other = splits
    if TRANSFER in (one, other):
        return False
    owners = owner_of(config, one), owner_of(config, other)
    if owners[0] == owners[1]:
        return owners[0] is None or plain_split(config, one) != plain_split(config, other)
    if None not in owners:
        return False
    plain, own = (one, other) if owners[0] is None else (other, one)
    if plain in (DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS) or plain == plain_split(config, own):
        return False
    return split_of_set(config, owner_of(config, own), plain) == plain
