"""Sample the same number of worked solutions for every training question. DPO-ST sections 3.2 and 3.3.

    python scripts/sample_round.py --model results/gsm8k/tiny_t5/seed0/dpo_st_round0/model --form dpo_st \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --data results/data/gsm8k/dpo_st_train.jsonl --seed 0 --output trajectories.jsonl --samples 5

Inputs:  --model (a checkpoint folder), --data (Example rows).
Output:  Trajectory rows, --samples for every question in the order of the data, repeats and empty texts included;
         each sample has its own random numbers, determined by seed and number, for any batches and shards.
         Counts are printed as JSON.
Samples are kept in state/NAME.jsonl next to the output until the job is done: after a kill, the same command resumes.
"""

import json
import sys
from collections.abc import Sequence

from retrace import cli
from retrace.decoding import sampled_solutions
from retrace.systems.dpo_st.options import RoundSampling


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, RoundSampling)
    sampled_solutions.add_arguments(parser)
    parser.add_argument(
        "--max-questions", type=int, default=-1, help="only this many of them, from the start (default -1: all)"
    )
    parser.add_argument("--first-sample", type=int, default=0, help="number of the first sample (default 0)")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, RoundSampling)

    from retrace.decoding.partial import PartialFile, fingerprint, what_counts
    from retrace.decoding.setup import check_references, open_generator, shard_of
    from retrace.machine.progress import say
    from retrace.machine.storage import read_jsonl, write_jsonl
    from retrace.schemas import Example, Trajectory
    from retrace.systems.dpo_st.preferences import first_of

    everything = first_of(read_jsonl(args.data, Example), args.max_questions)
    examples = shard_of(everything, args.shard, args.shards)
    place = (args.model, args.model_file, args.task_file)
    generator = open_generator(*place, options.calculator, form=args.form, exact=options.exact)
    task = generator.task
    check_references(task, everything, args.data)
    prompts = [generator.prompt(example.question) for example in examples]
    depends = {
        "seed": args.seed,
        "first": args.first_sample,
        "shard": [args.shard, args.shards],
        "prompts": prompts,
    }
    depends |= {"options": what_counts(options), "device": generator.decoder.device.type, "form": args.form}
    files = [__file__, args.model, args.model_file, args.task_file, args.data]
    kept = PartialFile(args.output, fingerprint(depends, files))
    drawn: dict[int, list[Trajectory]] = {
        entry["index"]: [Trajectory.model_validate(row) for row in entry["rows"]] for entry in kept.entries
    }
    left = [index for index in range(len(examples)) if index not in drawn]
    answers = sampled_solutions.draw(
        generator,
        [prompts[index] for index in left],
        [examples[index].id for index in left],
        options,
        options.samples,
        args.seed,
        args.first_sample,
    )
    for answer in answers:
        index = left[answer.index]
        example = examples[index]
        drawn[index] = [
            sampled_solutions.trajectory_of(task, example, one, number)
            for number, one in enumerate(answer.samples, start=args.first_sample)
        ]
        kept.append({"index": index, "rows": [row.model_dump(mode="json") for row in drawn[index]]})
        say(len(drawn), len(examples), "questions", sys.stderr)
    rows = [trajectory for index in range(len(examples)) for trajectory in drawn[index]]
    write_jsonl(args.output, rows)
    kept.finish()
    print(json.dumps({"questions": len(examples), "samples": len(rows), "correct": sum(row.correct for row in rows)}))


if __name__ == "__main__":
    cli.run(main)
