"""Names that are found and listed nowhere."""

import sys
from pathlib import Path
from typing import Annotated

import pytest

from retrace.discovery import OneOf, import_each, modules_in
from retrace.errors import UserError
from retrace.sections import Section
from retrace.yaml_files import validated


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for file in ("b/form.py", "a/form.py", "a/other.py", "c/other.py"):
        path = tmp_path / "found" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"NAME = {file!r}\n")
        (path.parent / "__init__.py").touch()
    (tmp_path / "found" / "__init__.py").touch()
    (tmp_path / "found" / "plain.py").write_text("raise RuntimeError\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "found"
    for name in [name for name in sys.modules if name.partition(".")[0] == "found"]:
        del sys.modules[name]


def test_modules_are_named_without_being_imported(package: str) -> None:
    assert modules_in(package) == ["a", "b", "c", "plain"]
    assert "found.plain" not in sys.modules


def test_one_module_of_every_package_that_has_it(package: str) -> None:
    assert [module.NAME for module in import_each(package, "form")] == ["a/form.py", "b/form.py"]
    assert "found.c.other" not in sys.modules


def test_a_name_is_checked_when_it_is_read_and_named_in_the_schema() -> None:
    names = ["red"]

    class Colors(Section):
        first: Annotated[str, OneOf(lambda: names)] = "red"
        second: Annotated[str, OneOf(lambda: names)] | None = None

    with pytest.raises(UserError, match=r"mine\.yaml: first: did you mean 'red'\? valid: red \(got 'rde'\)"):
        validated(Colors, {"first": "rde"}, "mine.yaml")
    names.append("green")
    assert validated(Colors, {"second": "green"}, "mine.yaml").second == "green"
    properties = Colors.model_json_schema()["properties"]
    assert properties["first"]["enum"] == ["red", "green"]
    assert properties["second"]["anyOf"][0]["enum"] == ["red", "green"]
