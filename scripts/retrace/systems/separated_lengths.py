"""Lengths of texts with separators (retrace.prompting.separated), for estimates."""

from dataclasses import replace

from retrace.planning.sizes import Text
from retrace.planning.work import Costing
from retrace.tasks.long_multiplication import line_of
from retrace.yaml_files import read_yaml

# Mean tokens of GSM8K as implicit chain of thought has it, steps being equations alone: question, steps with the answer,
# answer alone (the authors' logs/gsm8k/gpt2/log.generate: src_avg, tgt_avg, both ways).
EQUATIONS, EQUATIONS_ANSWER = (57.5, 27.7), 6.1


def separated(job: Costing, text: Text) -> Text:
    """A split as implicit chain of thought puts it, with separators; lengths of multiplications follow from their digits."""
    path = job.sizes.config / "tasks" / f"{job.job.wildcards['task']}.yaml"
    task = read_yaml(path) if path.exists() else {}
    if digits := task.get("digits"):
        low = 10 ** (digits - 1)
        question, solution = line_of(low, low, digits).split("||")
        text = replace(text, question=len(question.split()), solution=len(solution.split()), steps=digits)
    elif "icot" in task.get("split_sets", []):
        question, solution = EQUATIONS
        steps = solution / EQUATIONS_ANSWER - 1  # as `answer_of` counts
        return replace(text, question=question, solution=solution, steps=steps)
    return replace(text, question=text.question + 1, solution=text.solution + 2)


def answer_of(text: Text) -> float:
    """Tokens of marker, answer and end: as long as one step."""
    return text.solution / (text.steps + 1)
