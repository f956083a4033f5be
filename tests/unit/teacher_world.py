"""A folder of missed questions for ask_teacher.py, and what it leaves there."""

import json
from pathlib import Path

import ask_teacher
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import MarkedAnswer, TeacherRationale
from retrace.systems.learn_to_reason.teachers.recording import FILE
from unit.chat_server import ChatServer, rightly
from unit.tiny_models import problems

ROOT = Path(__file__).parents[2]
TASK_YAML = """name: arithmetic
title: Arithmetic
family: word_problems
format: generated
splits: {train: {generator: arithmetic, count: 1}}
"""


def world(folder: Path, count: int = 12, **options: object) -> list[str]:
    """Data of `count` missed questions in a folder, and the words of ask_teacher.py."""
    (folder / "arithmetic.yaml").write_text(TASK_YAML)
    examples = problems(count)
    write_jsonl(folder / "train.jsonl", examples)
    marks = [MarkedAnswer(example_id=one.id, text="<<1+1=2>> | #### 2", answer="2", correct=False) for one in examples]
    write_jsonl(folder / "marks.jsonl", marks)
    given = {
        "task-file": folder / "arithmetic.yaml",
        "data": folder / "train.jsonl",
        "marks": folder / "marks.jsonl",
        "template-file": ROOT / "config/prompts/feedback.yaml",
        "round": 1,
        "seed": 0,
        "output": folder / "rationales.jsonl",
        "report": folder / "report.json",
        "released-folder": folder / "released",
        "recording": folder / "recording",
        "model": "wise",
        "key-variable": "TEACHER_KEY",
        "max-wait-seconds": "0.2",
    } | {name.replace("_", "-"): value for name, value in options.items()}
    return [str(word) for name, value in given.items() for word in (f"--{name}", value)]


def rows_of(folder: Path) -> list[TeacherRationale]:
    return read_jsonl(folder / "rationales.jsonl", TeacherRationale)


def report_of(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def recorded(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "recording" / FILE).read_text().splitlines()]


def wrong_for_some(body: dict) -> str:
    """Right for nine questions of ten, always wrong for the others."""
    question = body["messages"][-1]["content"]
    return rightly(body) if len(question) % 10 else "I count.\nAnswer: 77777"


def ask(folder: Path, server: ChatServer, count: int = 3, **options: object) -> None:
    """Ask a server for a few rationales, each once."""
    ask_teacher.main(world(folder, count, **{"base_url": server.url, "retries": 0, "attempts": 2, **options}))


def error(message: str, **fields: object) -> str:
    """The body of a refusal."""
    return json.dumps({"error": {"message": message, **fields}})


def completion(body: dict, **changes: object) -> dict:
    """A whole completion, its message or other parts changed."""
    message = {"role": "assistant", "content": rightly(body)} | changes.pop("message", {})
    choice = {"index": 0, "finish_reason": changes.pop("finish", "stop"), "message": message}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "wise-1", "choices": [choice], **changes}
