"""Declaration of Learn-to-Reason: its configuration sections, targets and requirements."""

from retrace.systems.learn_to_reason.options import Feedback, LearnToReasonTraining, Rounds, StepJudging, Teacher
from retrace.systems.registry import System
from retrace.systems.requirements import Case, Requirement, has_solutions, plain_text
from retrace.tasks.forms import form_named


def no_form(case: Case) -> str | None:
    """Why Learn-to-Reason's own form does not work with this task and model; None if it does."""
    form = case.form
    if case.model.scratch is not None:
        return f"learn_to_reason.form {form} is for pretrained models"
    if case.model.family != "decoder_only":
        return f"learn_to_reason.form {form} is for decoder-only models"
    for task in (case.task, case.answered):
        if task.family not in (families := form_named(form).families()):
            named = ", ".join(families)
            return f"learn_to_reason.form {form} is for tasks of family {named}, but {task.name} is of {task.family}"
        if form == "learn_to_reason" and task.learn_to_reason is None:
            return f"config/tasks/{task.name}.yaml names no worked examples for these prompts (learn_to_reason)"
    return None


def trained_here(case: Case) -> bool:
    """Whether this is a round of Learn-to-Reason rather than the student before the first round."""
    return case.system == "learn_to_reason" and case.round != 0


def asks_the_references(case: Case) -> bool:
    """Whether the teacher is the oracle, which gives the task's own solutions."""
    return trained_here(case) and case.values.teacher.kind == "oracle" and not case.values.feedback.released_rationales


SYSTEM = System(
    name="learn_to_reason",
    sections={
        "teacher": Teacher,
        "judge": StepJudging,
        "feedback": Feedback,
        "learn_to_reason": LearnToReasonTraining,
        "rounds": Rounds,
    },
    figures={"learn_to_reason_TASK": (".json", ".svg")},
    requirements=(
        plain_text("learn_to_reason", "Learn-to-Reason", "a teacher's rationales"),
        Requirement(
            "Learn-to-Reason's own form",
            about=lambda c: c.system == "learn_to_reason" and c.form != "steps",
            met=lambda c: no_form(c) is None,
            why=lambda c: f"{no_form(c)}; set learn_to_reason.form to steps",
            mend=None,
        ),
        Requirement(
            "one training in place of rounds",
            about=lambda c: trained_here(c) and c.values.rounds.as_one,
            met=lambda c: c.values.rounds.learn_to_reason == 1,
            why=lambda c: (
                f"rounds.as_one would give each of {c.values.rounds.learn_to_reason} rounds the training steps of all "
                "rounds; set it together with `rounds.learn_to_reason: 1` in a file of config/checkpoints, as in "
                "learn_to_reason_single.yaml"
            ),
            mend=None,
        ),
        Requirement(
            "a loop beside random questions",
            about=lambda c: trained_here(c) and c.values.feedback.questions == "random",
            met=lambda c: bool(c.kind.made_from),
            why=lambda c: (
                f"feedback.questions random: {c.kind.name} needs another loop that determines the number of questions; set "
                "it in a file of config/checkpoints with `made_from: [learn_to_reason]`, as in learn_to_reason_random.yaml"
            ),
            mend=None,
        ),
        Requirement(
            "solutions of the oracle",
            about=asks_the_references,
            met=has_solutions,
            why=lambda c: (
                f"teacher.kind oracle needs reference solutions, but {c.task.name} has only final answers; choose openai, "
                "local or replay"
            ),
            mend="task",
        ),
    ),
)
