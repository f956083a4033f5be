"""The commands of the README can be planned, and a target can be drawn."""

import re
import shlex
import subprocess
import sys


def readme_commands(text: str) -> list[list[str]]:
    """The words behind `snakemake` of each such command in the console and bash blocks."""
    commands = []
    for block in re.findall(r"^```(?:console|bash)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                if words and words[0] in ("snakemake", ".venv/bin/snakemake"):
                    commands.append(words[1:])
    return commands


def test_the_commands_of_the_readme_can_be_planned(workflow, copied_project, workflow_class) -> None:
    commands = readme_commands((workflow.project / "README.md").read_text(encoding="utf-8"))
    assert len(commands) >= 5
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
    command = [sys.executable, "scripts/draw_dag.py", target, "--output", "dag.svg", "--", *options]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    drawing = (project / "dag.svg").read_text()
    assert len(rules) > 8
    assert [rule for rule in set(rules) - {"total"} if rule not in drawing] == []
