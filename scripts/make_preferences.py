"""Make preference pairs of right and wrong sampled solutions. DPO-ST section 3.2.

    python scripts/make_preferences.py --task-file config/tasks/gsm8k.yaml --form dpo_st \\
        --model-file config/models/flan_t5_large.yaml --tokenizer results/gsm8k/flan_t5_large/seed0/dpo_st_round0/model \\
        --data results/data/gsm8k/dpo_st_train.jsonl --trajectories dpo_round1/trajectories.jsonl --seed 0 \\
        --output pairs.jsonl --report pairs.json

Inputs:  the samples of all rounds so far (--trajectories, oldest first), the questions that they were drawn for, and
         a folder with the tokenizer for comparing solutions.
Output:  Preference rows, possibly none; a report with the counts of every degenerate case.
"""

import json
from collections.abc import Sequence

from retrace import cli
from retrace.systems.dpo_st.arguments import add_arguments
from retrace.systems.dpo_st.options import PreferencePairs


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, PreferencePairs)
    add_arguments(parser, "Preference")
    parser.add_argument("--seed", required=True, type=int, help="seed of the order of equally similar pairs")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, PreferencePairs)

    import random

    from retrace.machine.storage import read_jsonl, write_json, write_jsonl
    from retrace.models.options import load_model_config
    from retrace.schemas import Example, Preference, Trajectory
    from retrace.systems.dpo_st.preferences import (
        counts_of,
        first_of,
        gather,
        gold_solutions,
        pairs_of_question,
        token_sets,
    )
    from retrace.tasks.load import load_task

    task = load_task(args.task_file).in_form(args.form, load_model_config(args.model_file).family)
    examples = first_of(read_jsonl(args.data, Example), args.max_questions)
    rounds = [(path, read_jsonl(path, Trajectory)) for path in args.trajectories]
    found = gather(examples, rounds)
    gold = gold_solutions(examples, args.labelled, task.solution_text) if options.gold else {}
    tokens = token_sets(
        args.tokenizer,
        [*gold.values(), *(text for one in found.values() for text in (*one.right, *one.wrong))],
    )
    rows, equal_sides, with_pairs = [], 0, 0
    for example in examples:
        one, reference = found[example.id], gold.get(example.id)
        equal_sides += reference in one.wrong
        pairs = pairs_of_question(
            reference,
            one.right,
            one.wrong,
            tokens,
            random.Random(f"pairs {args.seed} {example.id}"),
            options.similarity,
            options.pairs_per_question,
        )
        with_pairs += bool(pairs)
        held_out = random.Random(f"development {args.seed} {example.id}").random() < options.development_share
        rows += [
            Preference(
                example_id=example.id,
                split="dev" if held_out else "train",
                question=example.question,
                chosen=chosen,
                rejected=rejected,
                similarity=round(likeness, 6),
            )
            for chosen, rejected, likeness in pairs
        ]
    report = {
        **counts_of(found, rounds[-1][1]),
        "references_graded_wrong": equal_sides,
        "questions_with_pairs": with_pairs,
        "pairs": len(rows),
        "development_pairs": sum(row.split == "dev" for row in rows),
    }
    write_jsonl(args.output, rows)
    write_json(args.report, report)
    print(json.dumps(report))


if __name__ == "__main__":
    cli.run(main)
