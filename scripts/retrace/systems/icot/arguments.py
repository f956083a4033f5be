"""Command-line arguments that the trainings of student and emulator share; light, so that --help is quick."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the trainings of student and emulator."""
    parser.add_argument("--model", required=True, help="folder of the base model")
    parser.add_argument("--teacher", required=True, help="folder of the teacher (checkpoint explicit_cot)")
    parser.add_argument("--states", help="folder of the cached states; needed where --cached is true")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--train", required=True, help="training examples, JSONL")
    parser.add_argument("--dev", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts, removed at the end")
    parser.add_argument("--output", required=True, help="folder of the checkpoint")
