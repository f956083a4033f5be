"""Names of splits: the plain ones, and those that a system brings for itself (`dpo_st_train` beside `train`)."""

from collections.abc import Iterable

from retrace.config import TaskConfig

STANDARD = ("train", "dev", "test")  # what a split set may replace
DEMONSTRATIONS = "demonstrations"  # for prompts of frozen models; no system with splits of its own has any
# What a model that was trained on another task is tested on, where that is more than the plain test split.
TRANSFER = "transfer_test"


def split_of_set(config: TaskConfig, name: str | None, split: str) -> str:
    """The split that the system `name` reads as its `split`: its own where the task has one, else the plain one."""
    own = f"{name}_{split}"
    return own if name in config.split_sets and own in config.splits else split


def plain_split(config: TaskConfig, split: str) -> str:
    """What a split is used as: `train` for `dpo_st_train` and for itself, `test` for `transfer_test`."""
    if split == TRANSFER:
        return "test"
    for name in config.split_sets:
        if split.startswith(f"{name}_") and split.removeprefix(f"{name}_") in STANDARD:
            return split.removeprefix(f"{name}_")
    return split


def used_together(config: TaskConfig, splits: Iterable[str]) -> bool:
    """Whether some system reads all of these splits, so that they must share no question."""
    splits = set(splits)
    if TRANSFER in splits:
        return splits == {TRANSFER}
    plain = {split for split in splits if plain_split(config, split) == split}
    if plain == splits:
        return True
    return DEMONSTRATIONS not in splits and any(
        all(split_of_set(config, name, plain_split(config, split)) == split for split in splits)
        for name in config.split_sets
    )
