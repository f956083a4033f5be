"""One set of pins in all environments, and recipes of the form that their tools read."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ENVS = Path(__file__).parents[3] / "envs"
REQUIREMENTS = sorted(ENVS.glob("requirements*.txt"))
CONDA = sorted(ENVS.glob("*.yaml"))
RECIPES = [ENVS / "Dockerfile", ENVS / "retrace.def"]
PIN = re.compile(r"([A-Za-z0-9_.-]+)==([0-9][\w.+]*)")


def pins(lines: list[str]) -> dict[str, str]:
    """Package, as pip compares names, and version of each line; every line must be a pin."""
    found = {}
    for line in lines:
        match = PIN.fullmatch(line)
        assert match, f"{line!r} is no pin of the form name==version"
        found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def lines_of(path: Path) -> list[str]:
    """Requirements of a file, comments and references to other files left out."""
    lines = (line.split(" #")[0].strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith(("#", "-r "))]


def conda_pins(path: Path) -> dict[str, str]:
    return pins(
        next(entry for entry in yaml.safe_load(path.read_text())["dependencies"] if isinstance(entry, dict))["pip"]
    )


MAIN = pins(lines_of(ENVS / "requirements.txt"))


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pins_and_agree(path: Path) -> None:
    found = pins(lines_of(path))
    assert found
    for name in found.keys() & MAIN.keys():
        assert found[name] == MAIN[name], name
    for line in path.read_text().splitlines():
        if line.startswith("-r "):
            assert (ENVS / line.removeprefix("-r ").strip()).exists()


@pytest.mark.parametrize("path", CONDA, ids=lambda path: path.name)
def test_conda_files_hold_the_same_pins(path: Path) -> None:
    content = yaml.safe_load(path.read_text())
    assert set(content) <= {"name", "channels", "dependencies"}
    plain = [entry for entry in content["dependencies"] if isinstance(entry, str)]
    assert plain[-1] == "pip"
    assert plain[0] in ("python=3.11", "python=3.12")
    assert conda_pins(path) == MAIN


def test_rules_name_conda_files_that_exist() -> None:
    named = {
        ENVS.parent / name
        for file in (ENVS.parent / "rules").rglob("*.smk")
        for name in re.findall(r'ROOT / "(envs/[^"]+)"', file.read_text())
    }
    assert named == set(CONDA)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_containers_are_built_from_the_same_file(path: Path) -> None:
    text = path.read_text()
    commands = "\n".join(line for line in text.splitlines() if not line.strip().startswith("#"))
    assert "envs/requirements.txt /opt/retrace/requirements.txt" in commands
    assert "-r /opt/retrace/requirements.txt" in commands
    assert not PIN.findall(commands), "versions belong in requirements.txt"
    bases = re.findall(r"^(?:FROM|From:) python:(3\.1[12])-slim-bookworm$", text, flags=re.MULTILINE)
    assert len(bases) == 1


def test_apptainer_recipe_has_its_sections() -> None:
    text = (ENVS / "retrace.def").read_text()
    assert re.findall(r"^%(\w+)$", text, flags=re.MULTILINE) == ["files", "post", "test"]
    assert "Bootstrap: docker" in text


def test_the_supported_pythons_are_named_alike() -> None:
    oldest = tomllib.loads((ENVS.parent / "pyproject.toml").read_text())["tool"]["ruff"]["target-version"]
    assert oldest == "py311"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 12)" in (ENVS / "setup").read_text()


def test_what_is_installed_here_is_what_is_pinned() -> None:
    """A test run with other versions would prove little."""
    from importlib.metadata import version

    wrong = {name: version(name) for name in MAIN if version(name).split("+")[0] != MAIN[name]}
    assert wrong == {}
