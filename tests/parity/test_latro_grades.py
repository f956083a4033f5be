"""LaTRO's graders against the authors', through the tasks as a chat model answers them."""

from retrace.tasks.answer_task import in_chat
from retrace.tasks.load import load_task

TASKS = {"gsm8k": "gsm8k", "arc": "arc_challenge"}


def test_latro_grades(vectors) -> None:
    tasks = {name: in_chat(load_task(task)) for name, task in TASKS.items()}
    cases = vectors("latro_grades")["cases"]
    for case in cases:
        given = case["in"]
        found = tasks[given["fn"]].grade(given["text"], f"#### {given['gold']}")
        assert found == bool(case["out"]["correct"]), given
    print(f"latro_grades: {len(cases)} cases")
