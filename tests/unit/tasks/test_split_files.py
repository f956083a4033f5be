"""The files of a split in a folder or a repository, by their names and by the data set's card."""

import errno
import os
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks.split_files import files_of, in_folder, is_whole

CARD = """---
license: mit
configs:
- config_name: main
  data_files:
  - split: train
    path: main/train-*
  - split: validation
    path:
    - main/dev.jsonl
    - extra/**
- config_name: small
  data_dir: tiny
- config_name: single
  data_files: one.csv
- config_name: short
  data_files: {train: "a?.jsonl"}
---
# My data
"""
FILES = [
    "README.md",
    "a1.jsonl",
    "a12.jsonl",
    "main/train-00000-of-00002.parquet",
    "main/train-00001-of-00002.parquet",
    "main/dev.jsonl",
    "extra/x/y.jsonl",
    "one.csv",
    "tiny/train.csv",
    "tiny/test.csv",
]


@pytest.mark.parametrize(
    ("names", "split", "subset", "found"),
    [
        (["train.jsonl", "test.jsonl"], "train", None, ["train.jsonl"]),
        (["data/train-00000-of-00001.parquet", "README.md"], "train", None, ["data/train-00000-of-00001.parquet"]),
        (
            ["data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet"],
            "train",
            None,
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        ),
        (
            ["train-00000-of-00001-0123456789abcdef.parquet"],
            "train",
            None,
            ["train-00000-of-00001-0123456789abcdef.parquet"],
        ),
        (["train_10.jsonl", "train_2.jsonl"], "train", None, ["train_2.jsonl", "train_10.jsonl"]),
        (["train.part1.csv.gz", "train.part2.csv.gz"], "train", None, ["train.part1.csv.gz", "train.part2.csv.gz"]),
        (["main/train.jsonl", "other/train.jsonl"], "train", "main", ["main/train.jsonl"]),
        (["data/main/train.jsonl", "data/other/train.jsonl"], "train", "other", ["data/other/train.jsonl"]),
        (["main/train/0000.parquet", "main/test/0000.parquet"], "train", "main", ["main/train/0000.parquet"]),
        (["train/b.jsonl", "train/a.jsonl", "test/a.jsonl"], "train", None, ["train/a.jsonl", "train/b.jsonl"]),
        (["gsm8k_train.jsonl", "gsm8k_test.jsonl"], "train", None, ["gsm8k_train.jsonl"]),
        (["train.jsonl", "train_hard.jsonl"], "train", None, ["train.jsonl"]),
        (["train.jsonl", "train_hard.jsonl"], "train_hard", None, ["train_hard.jsonl"]),
        (["train.jsonl", "train-1.jsonl"], "train", None, ["train.jsonl"]),
        (["train.jsonl", "train-1.jsonl"], "train-1", None, ["train-1.jsonl"]),
        (["train-1-of-2.jsonl", "train-2-of-2.jsonl"], "train", None, ["train-1-of-2.jsonl", "train-2-of-2.jsonl"]),
        (["train.jsonl", "old/train.jsonl"], "train", None, ["train.jsonl"]),
        (["rows.jsonl", "constraint.jsonl"], "rows", None, ["rows.jsonl"]),
    ],
)
def test_files_by_their_names(names: list[str], split: str, subset: str | None, found: list[str]) -> None:
    assert files_of(names, split, subset, None, "here") == found


@pytest.mark.parametrize(
    ("names", "split", "subset", "message"),
    [
        ([], "train", None, "here: contains no data files"),
        (["README.md", "train.zip"], "train", None, "contains no data files .supported: .jsonl"),
        (["training.jsonl", "x.jsonl"], "train", None, "no file matches the split 'train'; .*training, x"),
        (
            ["main/train.jsonl", "other/train.jsonl"],
            "train",
            None,
            "the split 'train' is ambiguous .*main/train.jsonl, other/",
        ),
        (["train.jsonl", "train.csv"], "train", None, "the split 'train' is ambiguous"),
        (["my_train.jsonl", "your_train.jsonl"], "train", None, "is ambiguous"),
        (["main/train.jsonl"], "train", "mian", "has no subset 'mian'; set `subset` to one of its folders .main"),
        (
            ["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"],
            "train",
            None,
            "incomplete: 2 of 3 files are there",
        ),
        (["train-00000-of-99999999999999999999.parquet"], "train", None, "incomplete: 1 of 99999999999999999999 files"),
        (["train-00000-of-00001.parquet", "train-00001-of-00002.parquet"], "train", None, "is incomplete"),
    ],
)
def test_files_that_cannot_be_determined(names: list[str], split: str, subset: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        files_of(names, split, subset, None, "here")


@pytest.mark.parametrize(
    ("split", "subset", "found"),
    [
        ("train", "main", ["main/train-00000-of-00002.parquet", "main/train-00001-of-00002.parquet"]),
        ("validation", "main", ["main/dev.jsonl", "extra/x/y.jsonl"]),
        ("test", "small", ["tiny/test.csv"]),
        ("train", "single", ["one.csv"]),
        ("train", "short", ["a1.jsonl"]),
    ],
)
def test_the_card_says_which_files_are_a_subsets(split: str, subset: str, found: list[str]) -> None:
    assert files_of(FILES, split, subset, CARD, "here") == found


def test_the_default_subset_of_a_card() -> None:
    with pytest.raises(UserError, match=r"has several subsets; set `subset` to one of them \(main, small"):
        files_of(FILES, "train", None, CARD, "here")
    marked = CARD.replace("config_name: single", "config_name: single\n  default: true")
    assert files_of(FILES, "train", None, marked, "here") == ["one.csv"]
    named = CARD.replace("config_name: small", "config_name: default")
    assert files_of(FILES, "train", None, named, "here") == ["tiny/train.csv"]


@pytest.mark.parametrize(
    ("change", "split", "subset", "message"),
    [
        (("", ""), "test", "main", "has no split 'test'; set `hub_split` to one that it has .train, validation"),
        (("", ""), "train", "big", "has no subset 'big'; set `subset` to one that it has .main, small"),
        (
            ("main/dev.jsonl", "main/gone.jsonl"),
            "validation",
            "main",
            "no file matches 'main/gone.jsonl', listed for validation in README.md",
        ),
        (("main/dev.jsonl", "README.md"), "validation", "main", "README.md is not supported"),
        (("license: mit", "license: ["), "train", "main", "here/README.md: its YAML header cannot be read"),
        (("main/train-*", "main/train-00000*"), "train", "main", "is incomplete"),
        (("path: main/train-*", "path: [5]"), "train", "main", "data_files of main need `split` and `path`"),
        (("- split: train", "- splits: train"), "train", "main", "data_files of main need `split` and `path`"),
    ],
)
def test_cards_that_say_something_else(change: tuple[str, str], split: str, subset: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        files_of(FILES, split, subset, CARD.replace(*change), "here")


@pytest.mark.parametrize("card", [None, "", "# No head", "---\nlicense: mit\n---\n", "---\nconfigs: 5\n---\n"])
def test_a_card_without_subsets_says_nothing(card: str | None) -> None:
    assert files_of(["train.jsonl"], "train", None, card, "here") == ["train.jsonl"]


def test_a_folder_is_searched_without_hidden_files_and_links_to_files_count(tmp_path: Path) -> None:
    for name in ("data/train.jsonl", ".cache/train.jsonl", "data/.train.jsonl", "resolve/x/train.csv", "blob"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "data/test.jsonl").symlink_to(tmp_path / "blob")
    assert in_folder(tmp_path, "train", without="resolve") == [tmp_path / "data/train.jsonl"]
    assert in_folder(tmp_path, "test") == [tmp_path / "data/test.jsonl"]
    (tmp_path / "README.md").write_text("---\nconfigs:\n- config_name: a\n  data_files: resolve/**\n---\n")
    assert in_folder(tmp_path, "train") == [tmp_path / "resolve/x/train.csv"]


def test_links_between_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/train.jsonl").write_text("{}\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/data").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/up").symlink_to(tmp_path / "mine")
    (tmp_path / "mine/again").symlink_to(tmp_path / "mine")
    assert in_folder(tmp_path / "mine", "train") == [tmp_path / "mine/data/train.jsonl"]


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)  # the tests run as root, who may read everything
    with pytest.raises(UserError, match=rf"{tmp_path}: cannot be read: no permission"):
        in_folder(tmp_path, "train")


@pytest.mark.parametrize(
    ("files", "whole"),
    [
        (["train.jsonl"], True),
        (["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"], True),
        (["0000.parquet"], False),
        (["train_1.jsonl"], False),
        (["a.jsonl", "b.jsonl"], False),
    ],
)
def test_whole_lists_of_files(files: list[str], whole: bool) -> None:
    assert is_whole(files) is whole
