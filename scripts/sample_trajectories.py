"""Sample worked solutions of training questions until enough wrong ones are found. GRACE section 3.1.

    python scripts/sample_trajectories.py --model results/gsm8k/tiny_t5/seed0/sft/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --data results/data/gsm8k/train.jsonl --seed 0 --output trajectories.jsonl --incorrect 1000

Inputs:  --model (a checkpoint folder), --data (Example rows).
Output:  Trajectory rows, wrong and right ones, each text once a question; the questions in the order of the data.
Each pass draws --samples-per-pass solutions for every question. A block of --block neighbouring questions is done when
it has its share of --incorrect (its last pass is kept whole), or after --max-passes. A shard is made of whole blocks, so
that the rows do not depend on the number of shards. Counts are printed as JSON.
"""

import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from retrace import cli
from retrace.config import Sampling


class Block(NamedTuple):
    """Questions `start` to `stop` - 1 of the data, which together want so many wrong solutions."""

    start: int
    stop: int
    wanted: int


def blocks_of(questions: int, size: int, incorrect: int) -> list[Block]:
    """Blocks of `size` questions (the last may be smaller) whose shares add up to `incorrect`."""
    edges = [*range(0, questions, size), questions]
    return [
        Block(start, stop, incorrect * stop // questions - incorrect * start // questions)
        for start, stop in pairwise(edges)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Sampling)
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the training split")
    parser.add_argument("--seed", type=int, required=True, help="of the random numbers")
    parser.add_argument("--shard", type=int, default=0, help="which block of the rows, from 0 (default 0)")
    parser.add_argument("--shards", type=int, default=1, help="how many blocks there are (default 1)")
    cli.add_form(parser)
    parser.add_argument("--output", required=True, help="Trajectory rows")
    given = parser.parse_args(arguments)
    options = cli.section_from(given, Sampling)

    from retrace.decoding.sampling import generate
    from retrace.decoding.setup import check_references, open_generator, shard_of
    from retrace.schemas import Example, Trajectory
    from retrace.storage import read_jsonl, write_jsonl
    from retrace.tasks import load_task

    everything = read_jsonl(given.data, Example)
    check_references(load_task(given.task_file), everything, given.data)
    if options.max_questions >= 0:
        everything = everything[: options.max_questions]
    blocks = shard_of(blocks_of(len(everything), options.block, options.incorrect), given.shard, given.shards)
    examples = [example for block in blocks for example in everything[block.start : block.stop]]
    block_of = [number for number, block in enumerate(blocks) for _ in range(block.start, block.stop)]
    generator = open_generator(given.model, given.model_file, given.task_file, options.calculator, form=given.form)
    task = generator.task
    prompts = [generator.prompt(example.question) for example in examples]
    keys = [example.id for example in examples]

    found: list[dict[str, Trajectory]] = [{} for _ in examples]
    incorrect = [0] * len(blocks)
    wanted = sum(block.wanted for block in blocks)
    passes = drawn = drawn_correct = 0
    while passes < options.max_passes:
        going = [index for index, block in enumerate(block_of) if incorrect[block] < blocks[block].wanted]
        if not going:
            break
        answers = generate(
            generator.decoder,
            [prompts[index] for index in going],
            [keys[index] for index in going],
            samples=options.samples_per_pass,
            temperature=options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            max_new_tokens=options.max_new_tokens,
            calculator=generator.calculator,
            seed=given.seed,
            batch_size=options.batch_size,
            # New random numbers in every pass; the same ones however the passes are cut into batches.
            first_sample=passes * options.samples_per_pass,
            stops=generator.stops,
        )
        for answer in answers:
            index = going[answer.index]
            example, known = examples[index], found[index]
            for one in answer.samples:
                drawn += 1
                correct = known[one.text].correct if one.text in known else task.grade(one.text, example.answer)
                drawn_correct += correct
                if one.text in known:
                    continue
                incorrect[block_of[index]] += not correct
                known[one.text] = Trajectory(
                    example_id=example.id,
                    text=one.text,
                    steps=task.split_steps(one.text),
                    final_answer=task.extract(one.text),
                    correct=correct,
                    tokens=one.tokens,
                    logprob=one.logprob,
                    sampling_seed=given.seed,
                )
        passes += 1
        print(f"pass {passes}: {sum(incorrect)} of {wanted} wrong solutions", file=sys.stderr, flush=True)
    rows = [trajectory for known in found for trajectory in known.values()]
    write_jsonl(given.output, rows)
    counts = {
        "questions": len(examples),
        "passes": passes,
        "drawn": drawn,
        "drawn_correct": drawn_correct,
        "unique": len(rows),
        "unique_incorrect": sum(incorrect),
        "wanted_incorrect": wanted,
        "reached": all(count >= block.wanted for count, block in zip(incorrect, blocks, strict=True)),
    }
    print(json.dumps(counts))


if __name__ == "__main__":
    cli.run(main)
