"""YAML and JSON settings: what is read, and what is refused with file, line and mend."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.yaml_files import LARGEST, check_plain, read_settings, read_yaml, refuse_twice

PROJECT = Path(__file__).parents[2]
BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
BOMB_OF_MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))


def written(folder: Path, text: str | bytes, name: str = "x.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("\ufeffa: 1\r\nb: text\r\n", {"a": 1, "b": "text"}),
        ("a: 2024-01-31\nb: 2024-13-45\n", {"a": "2024-01-31", "b": "2024-13-45"}),
        ("a: 1_000\nb: 0o17\nc: '017'\nd: 1e-4\n", {"a": 1000, "b": "0o17", "c": "017", "d": "1e-4"}),
        ("x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n", {"x": {"a": 1, "b": 1}, "y": {"a": 1, "b": 2}}),
        ("a: {b: &b {<<: &z {x: 1}, x: 2}}\nc: {<<: *b}\n", {"a": {"b": {"x": 2}}, "c": {"x": 2}}),
        ("'1': é\n'yes': [=, <<]\n", {"1": "é", "yes": ["=", "<<"]}),
        ("---\na: !!str 1\n", {"a": "1"}),
    ],
)
def test_what_is_read(tmp_path: Path, text: str, value: dict) -> None:
    assert read_yaml(written(tmp_path, text)) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: key 'a' is given twice, first on line 1; remove one"),
        ("s: {train: 1,\n  dev: 2, train: 3}\n", "x.yaml:2: key 'train' is given twice, first on line 1"),
        ("- {a: 1}\n", "x.yaml: should hold `key: value` lines, holds a list"),
        ("", "x.yaml: holds nothing; write `key: value` lines"),
        ("# only this\n---\n", "x.yaml: holds nothing"),
        ("title: café\n".encode("latin-1"), r"x.yaml:1: not UTF-8 text \(byte 10\); save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "x.yaml: is UTF-16 text; save it as UTF-8"),
        ("a: 1\n".encode("utf-16-le"), "x.yaml:1: not YAML"),
        ("a: 1\nb: \x00\n", r"x.yaml:2: not YAML \(a character that no text may hold\)"),
        ("[" * 100_000, "x.yaml:1: nested more than 50 levels deep"),
        ("{a: " * 100_000, "x.yaml:1: nested more than 50 levels deep"),
        ("- " * 1_000 + "x\n", "x.yaml:1: nested more than 50 levels deep"),
        (BOMB, rf"x.yaml:1\d: holds more than {LARGEST:,} values, those of its aliases included"),
        (BOMB_OF_MERGES, f"holds more than {LARGEST:,} values"),
        ("a: &a [1, *a]\n", r"x.yaml:1: \*a refers to what it stands in"),
        ("a: *b\n", "x.yaml:1: not YAML .*undefined alias"),
        ("1: x\n", "x.yaml:1: '1' as a key is no text; put it in quotes"),
        ("a: {yes: 1}\n", "x.yaml:1: 'yes' as a key is no text"),
        ("null: x\n", "x.yaml:1: 'null' as a key is no text"),
        ("? [a]\n: b\n", "x.yaml:1: a list or mapping as a key is no text"),
        ("t: 12:30:00\n", "x.yaml:1: 12:30:00 is the number 45000 in YAML; write 45000, or put it in quotes"),
        ("t: 1:30.5\n", "x.yaml:1: 1:30.5 is the number 90.5 in YAML"),
        ("seed: 010\n", "x.yaml:1: 010 is the number 8 in YAML"),
        ("a: " + "9" * 5_000 + "\n", "x.yaml:1: a number of 5000 characters"),
        ("a: !!python/object/apply:os.system [ls]\n", "x.yaml:1: tag '!!python/object/apply:os.system' is not allowed"),
        ("a: !!binary aGk=\n", "x.yaml:1: tag '!!binary' is not allowed; write the plain value"),
        ("a: !own x\n", "x.yaml:1: tag '!own' is not allowed"),
        ('a: "\\ud800"\n', "x.yaml:1: not YAML .*Unicode"),
        ("a:\n\t- b\n", "x.yaml:2: not YAML .*; indent with spaces, not tabs"),
        ("a: b: c\n", "x.yaml:1: not YAML .*; put a text that holds ': ' in quotes"),
        ("a: 1\n---\nb: 1\n", "x.yaml:2: not YAML .*; a file holds one document"),
        ("<<: 3\n", "x.yaml:1: not YAML"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, message: str) -> None:
    for read in (read_yaml, read_settings):
        with pytest.raises(UserError, match=message):
            read(written(tmp_path, text))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nothing\.yaml: no such file"):
        read_yaml(tmp_path / "nothing.yaml")
    with pytest.raises(UserError, match=r"cannot be read \(Is a directory\)"):
        read_yaml(tmp_path)
    with pytest.raises(UserError, match=r"cannot be read \(File name too long\)"):
        read_yaml(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": {"b": 1, "b": 2}}', "x.json: key 'b' is given twice in one object"),
        ('["a"]', "x.json: should hold settings by name, holds a list"),
        ('{"a": "\\ud800"}', "x.json: a: .* holds half of a character"),
        ('{"a": ' + "[" * 60 + "]" * 60 + "}", "x.json: nested more than 50 levels deep"),
        ('{"a": ' + "[" * 100_000, "x.json:1: nested more than 50 levels deep"),
    ],
)
def test_settings_in_json(tmp_path: Path, text: str, message: str) -> None:
    assert read_settings(written(tmp_path, '{\n\t"a": [1, true]\n}', "x.json")) == {"a": [1, True]}
    with pytest.raises(UserError, match=message):
        read_settings(written(tmp_path, text, "x.json"))


def test_values_that_another_program_read() -> None:
    from datetime import date

    check_plain({"a": [1, 2.5, None, True, "é", {"b": ()}]}, "configuration")
    for value, message in (
        ({"a": {1: 2}}, "configuration: a: 1 as a key is no text"),
        ({"a": {None: 2}}, "configuration: a: None as a key is no text"),
        ({"a": {"b": date(2024, 1, 1)}}, "configuration: a.b: 2024-01-01 is a date; put it in quotes"),
        ({"\udc80": 1}, "configuration: .* as a key is no text"),
        ({"a": {"b": "\udc80"}}, "configuration: a.b: .*holds half of a character"),
        ({"a": {1, 2}}, "configuration: a: .* is a set"),
    ):
        with pytest.raises(UserError, match=message):
            check_plain(value, "configuration")
    deep: list = []
    deep.append(deep)
    with pytest.raises(UserError, match="nested more than 50 levels deep"):
        check_plain({"a": deep}, "configuration")


def test_a_key_twice_in_a_value_of_the_command_line() -> None:
    with pytest.raises(UserError, match="--config grace:1: key 'beta' is given twice"):
        refuse_twice("{beta: 1, beta: 2}", "--config grace")
    for text in ("{beta: 1}", "[1", "010", "", "!!python/name:x y", "[" * 100_000, "{1: 2}"):
        refuse_twice(text, "--config grace")  # left to Snakemake, which takes it for a text


def test_all_files_of_the_project_are_read() -> None:
    """The strict reader takes every file that the project ships."""
    files = [*PROJECT.glob("config/**/*.yaml"), *PROJECT.glob("profiles/**/*.yaml")]
    assert len(files) > 100
    for file in files:
        assert read_settings(file) is not None
