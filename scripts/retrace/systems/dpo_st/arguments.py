"""Arguments of the programs that select from a question's samples. No heavy imports, so --help is fast."""

import argparse

from retrace import cli


def add_arguments(parser: argparse.ArgumentParser, rows: str) -> None:
    """Arguments of `make_preferences.py` and `make_pseudo_labels.py`.

    Args:
        parser: The program's parser.
        rows: The type of the rows that the program writes.
    """
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    cli.add_form(parser)
    parser.add_argument("--tokenizer", required=True, help="folder with the model's tokenizer")
    parser.add_argument("--data", required=True, help="Example rows that the solutions were sampled for")
    parser.add_argument(
        "--max-questions", type=int, default=-1, help="read only this many rows, from the start (default -1: all)"
    )
    parser.add_argument(
        "--labelled", type=int, default=-1, help="number of questions whose references are known (-1: all)"
    )
    parser.add_argument("--trajectories", required=True, nargs="+", help="Trajectory rows, one file per round")
    parser.add_argument("--output", required=True, help=f"{rows} rows")
    parser.add_argument("--report", required=True, help="JSON report")
