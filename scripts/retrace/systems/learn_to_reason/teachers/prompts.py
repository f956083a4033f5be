"""Prompts for a teacher from templates in config/prompts, with worked solutions of the task as demonstrations."""

import re
from collections.abc import Sequence
from pathlib import Path

from pydantic import Field

from retrace.errors import UserError
from retrace.schemas import Example
from retrace.sections import Section
from retrace.tasks.base import Task
from retrace.yaml_files import read_yaml, validated

_PLACE = re.compile(r"\{([^{}\s]*)\}")
_PLACES = {
    "system": set(),
    "demonstration": {"question", "reference"},
    "solution": {"solution", "reference"},
    "with_mistake": {"question", "reference", "mistake"},
    "without_mistake": {"question", "reference"},
}


class PromptTemplate(Section):
    """config/prompts/NAME.yaml: the parts of a conversation, with {placeholders}."""

    system: str = Field(description="the system message; empty: none")
    demonstration: str = Field(description="the user's part of a worked example")
    solution: str = Field(description="the teacher's part of a worked example")
    with_mistake: str = Field(description="the user's question when the student's mistake is shown")
    without_mistake: str = Field(description="the user's question when it is not shown")


def load_template(path: str | Path) -> PromptTemplate:
    """Read a template. Raises UserError naming the part with an unknown or missing placeholder."""
    if not Path(path).exists():
        known = ", ".join(sorted(file.stem for file in Path(path).parent.glob("*.yaml"))) or "none"
        raise UserError(f"{path}: no such template; known: {known} (feedback.template)")
    template = validated(PromptTemplate, read_yaml(path), str(path))
    for part, allowed in _PLACES.items():
        text = getattr(template, part)
        used = set(_PLACE.findall(text))
        if unknown := sorted(used - allowed):
            names = ", ".join(f"{{{name}}}" for name in sorted(allowed)) or "no placeholders"
            raise UserError(f"{path}: {part}: {{{unknown[0]}}} is unknown; it may contain {names}")
        needed = {"with_mistake": "mistake", "solution": "solution", "without_mistake": "question"}.get(part)
        if needed and needed not in used:
            raise UserError(f"{path}: {part}: must contain {{{needed}}}")
    return template


def filled(text: str, **values: str) -> str:
    """The text with its placeholders filled in once; braces in the values are not expanded."""
    return _PLACE.sub(lambda match: values.get(match.group(1), match.group()), text).strip()


def shown_answer(task: Task, example: Example) -> str:
    """A final answer as people write it, with choices in parentheses."""
    return task.family.shown_answer(example.final_answer)


def conversation(
    template: PromptTemplate, task: Task, example: Example, mistake: str | None, demonstrations: Sequence[Example]
) -> tuple[tuple[str, str], ...]:
    """The messages (role, content) that request a rationale for `example`, and show `mistake` if there is one."""
    messages = [("system", template.system.strip())] if template.system.strip() else []
    for shown in demonstrations:
        reference = shown_answer(task, shown)
        question = " ".join(shown.question.split())
        messages.append(("user", filled(template.demonstration, question=question, reference=reference)))
        solution = "\n".join(shown.steps)
        messages.append(("assistant", filled(template.solution, solution=solution, reference=reference)))
    asked = template.without_mistake if mistake is None else template.with_mistake
    reference = shown_answer(task, example)
    question = " ".join(example.question.split())
    content = filled(asked, question=question, reference=reference, mistake=(mistake or "").strip())
    return (*messages, ("user", content))
