"""The commands of the README and of the pages can be planned with the files that the pages show, and their links lead
somewhere; a target can be drawn."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from workflow_fixtures import WARM


def readme_commands(text: str) -> list[list[str]]:
    """The words behind `snakemake` of each such command in console and bash blocks, and in cells of a table."""
    commands = []
    blocks = re.findall(r"^```(?:console|bash)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    for block in [*blocks, *re.findall(r"^\|[^|]*\| `([^`]*)` \|$", text, flags=re.MULTILINE)]:
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                if words and words[0] in ("snakemake", ".venv/bin/snakemake"):
                    commands.append(words[1:])
    return commands


def pages(project: Path) -> list[Path]:
    return [project / "README.md", *sorted((project / "docs").glob("*.md"))]


def write_shown_files(text: str, folder: Path) -> list[str]:
    """Write the files that a page shows, blocks whose first line is `# PATH`; their paths."""
    shown = re.findall(r"^```(?:yaml|python)\n(# ((?:config|scripts)/\S+)\n.*?)^```", text, re.MULTILINE | re.DOTALL)
    for content, path in shown:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    return [path for _, path in shown]


def test_every_link_between_the_pages_leads_somewhere(workflow) -> None:
    for page in [*pages(workflow.project), workflow.project / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)]+)\)", text):
            if link.startswith("http"):
                continue
            name, _, heading = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.exists(), f"{page.name}: {link}"
            headings = (
                re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), flags=re.MULTILINE) if heading else []
            )
            anchors = [re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-") for words in headings]
            assert not heading or heading in anchors, f"{page.name}: {link}"


def test_the_readme_is_short(workflow) -> None:
    assert len((workflow.project / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


def planned_together(commands: list[list[str]]) -> list[list[str]]:
    """Commands of the same options as one with all their targets: Snakemake refuses it if one of them has no rule."""
    together: dict[tuple[str, ...], dict[str, None]] = {}
    for words in commands:
        targets = dict.fromkeys(word for word in words if word.startswith("results/"))
        options = tuple(word for word in words if word not in targets)
        together.setdefault(("file" if targets else "default", *options), {}).update(targets)
    return [[*targets, *options] for (_, *options), targets in together.items()]


@pytest.mark.parametrize(
    ("folder", "least"), [(".", 8), pytest.param("docs", 35, marks=pytest.mark.slow)], ids=["README", "pages"]
)
def test_the_commands_can_be_planned(workflow, copied_project, workflow_class, folder: str, least: int) -> None:
    texts = {page: page.read_text(encoding="utf-8") for page in pages(workflow.project)}
    home = workflow.project / folder
    commands = [words for page, text in texts.items() if page.parent == home for words in readme_commands(text)]
    assert len(commands) >= least
    project = copied_project()  # profiles are looked up in the working folder
    assert len([path for text in texts.values() for path in write_shown_files(text, project)]) >= 8
    for words in planned_together(commands):
        for fetched in re.findall(r'"released_(?:student|emulator)": "([^"]+)"', " ".join(words)):
            (project / fetched).mkdir(parents=True, exist_ok=True)  # what the user has fetched before
        shown = workflow_class(project, project).dry(*words)
        assert re.search(r"^total +[1-9]", shown, flags=re.MULTILINE), words


def test_the_recipes_for_contributors_can_be_planned(workflow, copied_project, workflow_class) -> None:
    """A task, a model and a decoder are the files that the page shows; in a new process, which finds new modules."""
    text = (workflow.project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    project = copied_project()
    assert len(write_shown_files(text, project)) == 4
    words = dict.fromkeys(word for words in readme_commands(text) for word in words)
    targets = [word for word in words if word.startswith("results/")]
    values = [word for word in words if "=" in word]
    command = workflow_class(project, project).command("--dry-run", *targets, "--config", *values)
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(targets) == 4
    assert "results/arithmetic/my_gpt2/seed0/sft/shortest/test.jsonl" in done.stdout + done.stderr


def test_the_helpers_named_for_contributors_exist(workflow) -> None:
    text = (workflow.project / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rules = "".join(path.read_text(encoding="utf-8") for path in (workflow.project / "rules").rglob("*.smk"))
    items = text.split("In the rules:")[1].split("The system then has")[0]
    named = set(re.findall(r"`(\w+)(?:\(|`)", items)) - {"benchmark"}
    assert len(named) >= 9
    assert [name for name in sorted(named) if not re.search(rf"\b{name}\b", rules)] == []


def test_a_drawing_of_a_target_holds_all_its_rules(copied_project, workflow_class) -> None:
    project = copied_project()
    target, options = "results/arithmetic/grace_acc.json", ["--config", "preset=smoke"]
    shown = workflow_class(project, project).dry(target, *options)
    rules = re.findall(r"^(\w+) +\d+$", shown, flags=re.MULTILINE)
    command = [str(WARM.python()), "scripts/draw_dag.py", target, "--output", "dag.svg", "--", *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drawing = (project / "dag.svg").read_text()
    assert len(rules) > 8
    assert [rule for rule in set(rules) - {"total"} if rule not in drawing] == []
