"""Choose the right sampled solutions that the next model is trained on. DPO-ST section 3.3.

    python scripts/make_pseudo_labels.py --task-file config/tasks/gsm8k.yaml --form dpo_st \\
        --model-file config/models/flan_t5_large.yaml --tokenizer results/gsm8k/flan_t5_large/seed0/dpo_st_round0/model \\
        --data results/data/gsm8k/dpo_st_train.jsonl --trajectories dpo_st_round1/trajectories.jsonl \\
        --output pseudo_labels.jsonl --report pseudo_labels.json

Inputs:  the samples of all rounds so far (--trajectories, oldest first), the questions that they were drawn for, and
         a folder with the tokenizer for comparing solutions.
Output:  PseudoLabel rows: each question's reference, if known, and correct samples that differ from it and
         each other; a report with the counts of every degenerate case. A round without anything new is not an error.
"""

import json
from collections.abc import Sequence

from retrace import cli
from retrace.systems.dpo_st.arguments import add_arguments
from retrace.systems.dpo_st.options import PseudoLabels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, PseudoLabels)
    add_arguments(parser, "PseudoLabel")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, PseudoLabels)

    from retrace.errors import UserError
    from retrace.machine.storage import read_jsonl, write_json, write_jsonl
    from retrace.models.options import load_model_config
    from retrace.schemas import Example, PseudoLabel, Trajectory
    from retrace.systems.dpo_st.preferences import (
        cap_at_percentile,
        counts_of,
        first_of,
        gather,
        gold_solutions,
        right_of,
        solutions_of_question,
        token_sets,
    )
    from retrace.tasks.load import load_task

    task = load_task(args.task_file).in_form(args.form, load_model_config(args.model_file).family)
    examples = read_jsonl(args.data, Example)
    rounds = [(path, read_jsonl(path, Trajectory)) for path in args.trajectories]
    sampled = first_of(examples, args.max_questions)
    found, before = gather(sampled, rounds), gather(sampled, rounds[:-1])
    gold = gold_solutions(examples, args.labelled, task.solution_text)
    tokens = token_sets(args.tokenizer, [*gold.values(), *(text for one in found.values() for text in one.right)])
    solutions = {
        example.id: solutions_of_question(gold.get(example.id), right_of(found, example), tokens, options.similarity)
        for example in examples
    }
    cap = cap_at_percentile(list(solutions.values()), options.percentile)
    rows = [
        PseudoLabel(
            example_id=example.id,
            question=example.question,
            solution=text,
            origin="gold" if text == gold.get(example.id) else "sampled",
        )
        for example in examples
        for text in solutions[example.id][:cap]
    ]
    if not rows:
        raise UserError(
            f"{args.trajectories[-1]}: no correct solution and no reference, so there is nothing to train on; raise "
            "dpo_st.labelled, or train the warm-up longer"
        )
    labels = [row for row in rows if row.origin == "sampled"]
    known = {id_: {*one.right} for id_, one in before.items()}
    report = {
        **counts_of(found, rounds[-1][1]),
        "cap": cap,
        "dropped_by_the_cap": sum(max(0, len(texts) - cap) for texts in solutions.values()),
        "gold": len(rows) - len(labels),
        "pseudo_labels": len(labels),
        "questions_with_pseudo_labels": len({row.example_id for row in labels}),
        "new_in_this_round": sum(row.solution not in known[row.example_id] for row in labels),
    }
    write_jsonl(args.output, rows)
    write_json(args.report, report)
    print(json.dumps(report))


if __name__ == "__main__":
    cli.run(main)
