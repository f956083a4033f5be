"""Add scores to a checkpoint's model card, with the calculator and without.

    python scripts/write_model_card.py --model results/gsm8k/tiny_t5/seed0/sft/model --name sft \\
        --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/test.jsonl --seed 0 \\
        --predictions greedy/test.jsonl greedy_no_calculator/test.jsonl --decoders greedy greedy_no_calculator \\
        --output model_card.md

In: the checkpoint's folder, whose README.md its training wrote (without one the card says so), the split that was
answered, and a file of predictions for each decoder. Out: the card with a table of scores, and with the Hub's
`model-index`. Publish it as README.md of the folder.
"""

from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--model", required=True, help="the checkpoint's folder")
    parser.add_argument("--name", required=True, help="of the checkpoint, in the card")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the split that was answered")
    parser.add_argument("--seed", type=int, required=True, help="of the checkpoint")
    parser.add_argument("--predictions", nargs="+", required=True, help="Prediction rows, one file for each decoder")
    parser.add_argument(
        "--decoders",
        nargs="+",
        required=True,
        help="their names; NAME beside NAME_no_calculator is the one with the calculator",
    )
    parser.add_argument("--output", required=True, help="the card to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.model_card import CARD_FILE, Score, with_scores
    from retrace.evaluation.predictions import read_examples, read_runs
    from retrace.machine.storage import write_text
    from retrace.tasks.load import load_task
    from retrace.workflow.names import WITHOUT_CALCULATOR

    if len(args.predictions) != len(args.decoders):
        raise UserError(
            f"--predictions names {len(args.predictions)} files and --decoders {len(args.decoders)} decoders; give one "
            "file for each decoder"
        )
    folder = Path(args.model)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a checkpoint")
    examples = read_examples(args.data)
    scores = []
    for decoder, path in zip(args.decoders, args.predictions, strict=True):
        without = decoder.endswith(WITHOUT_CALCULATOR)
        pair = without or decoder + WITHOUT_CALCULATOR in args.decoders
        run = read_runs([path], [args.seed], examples, args.data)[0]
        scores.append(Score(decoder.removesuffix(WITHOUT_CALCULATOR), not without if pair else None, run))
    card = folder / CARD_FILE
    try:
        text = card.read_text(encoding="utf-8") if card.exists() else None
    except UnicodeDecodeError:
        raise UserError(f"{card}: not UTF-8 text; mend it, or remove it to have a card without the training") from None
    split = examples[0].split
    write_text(args.output, with_scores(text, card, args.name, load_task(args.task_file).config, split, scores))
    for score in scores:
        right = sum(row.correct for row in score.run.rows)
        print(f"{args.name}, {score.setting}: {100 * right / len(examples):.1f} % of {len(examples)} questions")


if __name__ == "__main__":
    cli.run(main)
