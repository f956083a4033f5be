"""Add scores to a checkpoint's model card, with the calculator and without.

    python scripts/write_model_card.py --model results/gsm8k/tiny_t5/seed0/sft/model --name sft \\
        --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/test.jsonl --seed 0 \\
        --predictions greedy/test.jsonl greedy_no_calculator/test.jsonl --decoders greedy greedy \\
        --calculator with without --output model_card.md

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
    parser.add_argument("--decoders", nargs="+", required=True, help="the decoder of each file")
    parser.add_argument(
        "--calculator",
        nargs="+",
        required=True,
        choices=["with", "without", "none"],
        help="whether each file was decoded with the calculator; none: the texts hold nothing to calculate",
    )
    parser.add_argument("--output", required=True, help="the card to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation.model_card import CARD_FILE, Score, with_scores
    from retrace.evaluation.predictions import read_examples, read_runs
    from retrace.machine.storage import write_text
    from retrace.tasks.load import load_task

    for name in ("decoders", "calculator"):
        if len(args.predictions) != (given := len(getattr(args, name))):
            raise UserError(
                f"--predictions names {len(args.predictions)} files and --{name} has {given} words; give one for each file"
            )
    folder = Path(args.model)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give the folder of a checkpoint")
    examples = read_examples(args.data)
    scores = []
    for decoder, calculator, path in zip(args.decoders, args.calculator, args.predictions, strict=True):
        scores.append(Score(decoder, calculator, read_runs([path], [args.seed], examples, args.data)[0]))
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
