"""Summarize a round of DPO-ST.

    python scripts/report_round.py --task gsm8k --model tiny_t5 --round 1 --seed 0 --pairs dpo_round1/pairs.json \\
        --dpo dpo_round1/training.json --labels dpo_st_round1/pseudo_labels.json \\
        --sft dpo_st_round1/training.json --output round.json

Inputs:  the reports of the round's four steps.
Output:  JSON: the shares of right samples before and after the DPO step, the counts of pairs and pseudo-labels (over
         all rounds so far) with every degenerate case, both trainings, and notes if a round found nothing new.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from retrace import cli


def notes_of(pairs: Mapping[str, Any], dpo: Mapping[str, Any], labels: Mapping[str, Any]) -> list[str]:
    """Notes that the reader should see before the numbers."""
    notes = []
    if dpo["steps"] == 0:
        notes.append("no preference pair: the DPO step did not change the model")
    if labels["pseudo_labels"] == 0:
        notes.append("no pseudo-label: the round was trained only on the references")
    elif labels["new_in_this_round"] == 0:
        notes.append("no new pseudo-label in this round")
    if pairs["references_graded_wrong"]:
        notes.append(f"{pairs['references_graded_wrong']} sampled references were graded wrong; check the data")
    return notes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--round", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--pairs", required=True, help="report of make_preferences.py")
    parser.add_argument("--dpo", required=True, help="report of train_dpo.py")
    parser.add_argument("--labels", required=True, help="report of make_pseudo_labels.py")
    parser.add_argument("--sft", required=True, help="report of train_round.py")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)

    from retrace.machine.storage import read_json, write_json

    parts = {name: read_json(getattr(args, name)) for name in ("pairs", "dpo", "labels", "sft")}
    notes = notes_of(parts["pairs"], parts["dpo"], parts["labels"])
    write_json(
        args.output,
        {
            "kind": "round",
            "task": args.task,
            "model": args.model,
            "seed": args.seed,
            "round": args.round,
            "notes": notes,
            "share_of_correct_samples": {
                "before_dpo": _share(parts["pairs"]),
                "after_dpo": _share(parts["labels"]),
            },
            **parts,
        },
    )
    print(f"round {args.round}: {parts['pairs']['pairs']} pairs, {parts['labels']['pseudo_labels']} pseudo-labels")
    for note in notes:
        print(f"note: {note}")


def _share(report: Mapping[str, Any]) -> float:
    return round(report["correct_samples_of_this_round"] / max(report["samples_of_this_round"], 1), 4)


if __name__ == "__main__":
    cli.run(main)
