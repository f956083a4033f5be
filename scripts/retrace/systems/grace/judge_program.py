"""Shared code of the programs that train discriminator and verifier. No heavy imports, so --help is fast."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from retrace.evaluation.model_card import Trained
    from retrace.models.encoder_head import EncoderHead


def add_arguments(parser: argparse.ArgumentParser, kind: str) -> None:
    """Arguments of both programs.

    Args:
        parser: The program's parser.
        kind: `discriminator` or `verifier`.
    """
    parser.add_argument("--generator", required=True, help="folder of the generator")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml of the generator")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--state", required=True, help="folder for restarts; removed at the end")
    parser.add_argument("--output", required=True, help=f"folder of the {kind}")
    parser.add_argument("--report", required=True, help="JSON report")


def write_judge(
    args: argparse.Namespace,
    kind: str,
    network: "EncoderHead",
    curve: Sequence[dict[str, float]],
    report: dict[str, Any],
    trained: "Trained",
) -> None:
    """Write the trained network with its curve, and the report, atomically.

    Args:
        args: The program's arguments.
        kind: `discriminator` or `verifier`.
        network: The trained network.
        curve: The training's curve.
        report: Measurements on the development part.
        trained: Contents of the folder's model card.
    """
    from retrace.evaluation.model_card import write_card
    from retrace.machine.storage import atomic_path, write_json
    from retrace.training.trainer import write_curve

    with atomic_path(args.output) as folder:
        network.save(folder, kind)
        write_curve(folder / "curves.jsonl", curve)
        write_card(folder, trained)
    write_json(args.report, report)
