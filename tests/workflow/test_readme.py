"""The commands of the README and of the pages can be planned, their links lead somewhere, and a target can be drawn."""

import re
import shlex
import subprocess
from pathlib import Path

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


def test_every_link_between_the_pages_leads_somewhere(workflow) -> None:
    for page in pages(workflow.project):
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


def test_the_commands_of_the_pages_can_be_planned(workflow, copied_project, workflow_class) -> None:
    commands = [
        words for page in pages(workflow.project) for words in readme_commands(page.read_text(encoding="utf-8"))
    ]
    assert len(commands) >= 40
    project = copied_project()  # profiles are looked up in the working folder
    for words in commands:
        for folder in re.findall(r'"released_(?:student|emulator)": "([^"]+)"', " ".join(words)):
            (project / folder).mkdir(parents=True, exist_ok=True)  # what the user has fetched before
        shown = workflow_class(project, project).dry(*words)
        assert re.search(r"^total +[1-9]", shown, flags=re.MULTILINE), words


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
