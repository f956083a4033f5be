"""Sample worked solutions of training questions until enough wrong ones are found. GRACE section 3.1.

    python scripts/sample_trajectories.py --model results/gsm8k/tiny_t5/seed0/sft/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --data results/data/gsm8k/train.jsonl --seed 0 --output trajectories.jsonl --incorrect 1000

Inputs:  --model (a checkpoint folder), --data (Example rows), and --demonstrations (Example rows) if each pass must
         show the model other worked examples (--demonstrations-per-pass).
Output:  Trajectory rows, wrong and right ones, each text once per question; the questions in the order of the data. Beside
         them, in NAME.counts.jsonl, how many were wanted and found, which is printed as well.
Each pass draws --samples-per-pass solutions for every question. A block of --block neighboring questions is done when
it has its share of --incorrect (its last pass is kept whole), when --idle-passes passes found nothing new, or after
--max-passes. A shard consists of whole blocks, so the rows do not depend on the number of shards.
Samples are kept in state/NAME.jsonl next to the output until the job is done: after a kill, the same command resumes.
"""

import sys
from collections.abc import Sequence
from typing import Any

from retrace import cli
from retrace.decoding import sampled_solutions
from retrace.errors import UserError
from retrace.systems.grace.options import Sampling


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Sampling)
    sampled_solutions.add_arguments(parser)
    parser.add_argument("--demonstrations", help="Example rows to draw worked examples from")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, Sampling)
    if options.demonstrations_per_pass and not args.demonstrations:
        raise UserError(
            f"--demonstrations-per-pass {options.demonstrations_per_pass} needs --demonstrations FILE, the worked examples "
            "to draw from"
        )

    from retrace.decoding.partial import PartialFile, fingerprint, what_counts
    from retrace.decoding.setup import check_references, open_generator, shard_of
    from retrace.machine.progress import say
    from retrace.machine.storage import counts_path, read_jsonl, write_jsonl
    from retrace.schemas import Example, SamplingCounts, Trajectory
    from retrace.systems.grace.wrong_solutions import Examples, Search, blocks_of
    from retrace.tasks.load import load_task

    everything = read_jsonl(args.data, Example)
    check_references(load_task(args.task_file), everything, args.data)
    if options.max_questions >= 0:
        everything = everything[: options.max_questions]
    blocks = shard_of(blocks_of(len(everything), options.block, options.incorrect), args.shard, args.shards)
    examples = [example for block in blocks for example in everything[block.start : block.stop]]
    block_of = [number for number, block in enumerate(blocks) for _ in range(block.start, block.stop)]
    generator = open_generator(args.model, args.model_file, args.task_file, options.calculator, form=args.form)
    task = generator.task
    shown = None
    if options.demonstrations_per_pass:
        pool = read_jsonl(args.demonstrations, Example)
        count = options.demonstrations_per_pass
        shown = Examples(generator.prompting, pool, count, args.seed, args.demonstrations)
    keys = [example.id for example in examples]

    prompts = [generator.prompt(example.question) for example in examples]
    depends = {"seed": args.seed, "shard": [args.shard, args.shards], "form": args.form, "prompts": prompts}
    depends |= {"options": what_counts(options), "device": generator.decoder.device.type}
    files = [__file__, args.model, args.model_file, args.task_file, args.data, args.demonstrations]
    kept = PartialFile(args.output, fingerprint(depends, files))
    # Samples of an earlier run of this job, by pass and question.
    before = {(entry["pass"], entry["index"]): entry for entry in kept.entries}
    found: list[dict[str, Trajectory]] = [{} for _ in examples]
    search = Search(blocks, options)
    drawn = drawn_correct = 0
    wrong = [0] * len(blocks)  # new in this pass

    def take(entry: dict[str, Any]) -> None:
        """Count one pass's samples of one question, and keep new texts."""
        nonlocal drawn, drawn_correct
        index = entry["index"]
        drawn += entry["drawn"]
        drawn_correct += entry["drawn_correct"]
        for row in entry["new"]:
            wrong[block_of[index]] += not row["correct"]
            found[index][row["text"]] = Trajectory.model_validate(row)

    while still := search.going():
        going = [index for index, block in enumerate(block_of) if block in still]
        left = [index for index in going if (search.passes, index) not in before]
        wrong[:] = [0] * len(blocks)
        for index in going:
            if (search.passes, index) in before:
                take(before[search.passes, index])
        questions = [examples[index].question for index in left]
        answers = sampled_solutions.draw(
            generator,
            shown.prompts(questions, search.passes) if shown else [prompts[index] for index in left],
            [keys[index] for index in left],
            options,
            options.samples_per_pass,
            args.seed,
            # Every pass has new random numbers, independent of how it is split into batches.
            first_sample=search.passes * options.samples_per_pass,
        )
        for done, answer in enumerate(answers, start=len(going) - len(left) + 1):
            index = left[answer.index]
            example, known, new = examples[index], found[index], {}
            right = 0
            for one in answer.samples:
                row = known.get(one.text) or new.get(one.text)
                if row is None:
                    row = sampled_solutions.trajectory_of(task, example, one, args.seed)
                    new[one.text] = row
                right += row.correct
            entry = {"pass": search.passes, "index": index, "drawn": len(answer.samples), "drawn_correct": right}
            entry["new"] = [row.model_dump(mode="json") for row in new.values()]
            kept.append(entry)
            take(entry)
            say(done, len(going), f"questions of pass {search.passes + 1}", sys.stderr)
        search.finish_pass(wrong)
        found_now = f"{sum(search.found)} of {search.wanted} wrong solutions"
        print(f"pass {search.passes}: {found_now}", file=sys.stderr, flush=True)
    rows = [trajectory for known in found for trajectory in known.values()]
    counts = SamplingCounts(
        questions=len(examples),
        passes=search.passes,
        drawn=drawn,
        drawn_correct=drawn_correct,
        unique=len(rows),
        unique_incorrect=sum(search.found),
        wanted_incorrect=search.wanted,
        reached=search.reached,
    )
    if short := search.shortfall():
        print(f"note: {short}", file=sys.stderr)
    write_jsonl(counts_path(args.output), [counts])
    write_jsonl(args.output, rows)
    kept.finish()
    print(counts.model_dump_json())


if __name__ == "__main__":
    cli.run(main)
