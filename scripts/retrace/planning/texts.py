"""Lengths of the texts that models read and write where these are not the task's own solutions."""

from dataclasses import replace

from retrace.checkpoints import system_of
from retrace.planning.jobs import Job
from retrace.planning.sizes import Model, Sizes, Text
from retrace.tasks.multiplication import line_of
from retrace.yaml_files import read_yaml

# Mean tokens of GSM8K as implicit chain of thought has it, steps being equations alone: question, steps with the answer,
# answer alone (the authors' logs/gsm8k/gpt2/log.generate: src_avg, tgt_avg, both ways).
EQUATIONS, EQUATIONS_ANSWER = (57.5, 27.7), 6.1


def separated(job: Job, sizes: Sizes, text: Text) -> Text:
    """A split as implicit chain of thought puts it, with separators; lengths of multiplications follow from their digits."""
    path = sizes.config / "tasks" / f"{job.wildcards['task']}.yaml"
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


def decoded(job: Job, sizes: Sizes, text: Text) -> Text:
    """A split as the job's checkpoint answers it."""
    checkpoint = job.wildcards.get("checkpoint", "")
    if system_of(checkpoint) != "icot":
        return text
    text = separated(job, sizes, text)
    return text if checkpoint == "explicit_cot" else replace(text, solution=answer_of(text), steps=1.0)


def prompted(model: Model, text: Text) -> float:
    """Tokens of a prompt: the question, behind the worked examples that a frozen model is shown."""
    return text.question + model.demonstrations * (text.question + text.solution)
