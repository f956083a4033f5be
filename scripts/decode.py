"""Answer the questions of a split with a checkpoint and a decoding algorithm.

    python scripts/decode.py self_consistency --model results/gsm8k/tiny_t5/seed0/sft/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --data results/data/gsm8k/test.jsonl --seed 0 --output predictions.jsonl --samples 10

`decode.py --help` names the algorithms, `decode.py ALGORITHM --help` shows the options of one.
Inputs:  --model (a checkpoint folder), --data (Example rows), and the algorithm's other files: for guided
         --discriminator (a folder), and --choices (JSON with beta and temperature) if beta is `choose`.
Output:  Prediction rows in the order of the data; shard I of N is the I-th block of consecutive rows. Beside them, in
         NAME.timing.jsonl, how long it took, and in NAME.candidates.jsonl.gz, where guided decoding keeps them
         (--keep-candidates), all candidates of each step. On a CPU with exact rows (see --exact), neither --batch-size
         nor sharding changes a byte of the output.
Answers are kept in state/NAME.jsonl next to the output until the job is done: after a kill, the same command resumes.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from retrace import cli
from retrace.decoding.algorithms import Algorithm
from retrace.errors import UserError
from retrace.systems.algorithms import algorithms

if TYPE_CHECKING:
    from retrace.decoding.partial import PartialFile
    from retrace.schemas import Example, Prediction

    Answered = Iterator[tuple[int, Prediction]]


def parser_of(known: Sequence[Algorithm]) -> argparse.ArgumentParser:
    """The command line: one subcommand per algorithm, with its options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="algorithm", metavar="ALGORITHM", required=True)
    for algorithm in known:
        kind = kinds.add_parser(
            algorithm.name,
            parents=[cli.command(None, algorithm.command_options)],
            conflict_handler="resolve",
            description=algorithm.options.__doc__,
            help=(algorithm.options.__doc__ or "").split("\n")[0],
        )
        kind.add_argument("--model", required=True, help="checkpoint folder")
        kind.add_argument("--model-file", required=True, help="the model's YAML")
        kind.add_argument("--task-file", required=True, help="the task's YAML")
        kind.add_argument("--data", required=True, help="Example rows of the split")
        kind.add_argument("--seed", type=int, required=True, help="of the random numbers")
        kind.add_argument("--shard", type=int, default=0, help="which block of the rows, from 0 (default 0)")
        kind.add_argument("--shards", type=int, default=1, help="how many blocks there are (default 1)")
        if algorithm.has_forms:
            cli.add_form(kind)
        kind.add_argument("--output", required=True, help="Prediction rows")
        for name, about in algorithm.needs.items():
            kind.add_argument(cli.flag_of(name), help=about)
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    known = algorithms()
    args = parser_of(list(known.values())).parse_args(arguments)
    algorithm = known[args.algorithm]
    options = cli.section_from(args, algorithm.command_options)
    beside = {name: getattr(args, name) for name in algorithm.needs}
    form = args.form if algorithm.has_forms else None

    from retrace.decoding.partial import PartialFile, fingerprint, what_counts
    from retrace.decoding.setup import check_references, shard_of
    from retrace.machine.storage import read_jsonl
    from retrace.models.options import load_model_config
    from retrace.schemas import Example
    from retrace.tasks.answer_task import in_chat
    from retrace.tasks.load import load_task

    everything = read_jsonl(args.data, Example)
    task = in_chat(load_task(args.task_file)) if load_model_config(args.model_file).chat else load_task(args.task_file)
    check_references(task, everything, args.data)
    most = getattr(options, "max_questions", -1)  # an exam may cover only the first questions
    examples = shard_of(everything[:most] if most >= 0 else everything, args.shard, args.shards)
    options = algorithm.complete(options, beside)
    if keeps := hasattr(options, "keep_candidates"):
        options = options.for_split(len(everything))
        keeps = options.keep_candidates == "always"
    generator = algorithm.open(options, args.model, args.model_file, args.task_file, form)
    if generator.decoder.ends > 1 and not algorithm.several_ends:
        raise UserError(
            f"{args.model}: this checkpoint writes an end token between steps and answer; decode it with greedy or "
            "self_consistency"
        )
    prompts = [generator.prompt(example.question) for example in examples]
    depends = {"decoder": algorithm.name, "seed": args.seed, "shard": [args.shard, args.shards], "prompts": prompts}
    depends |= {"options": what_counts(options), "device": generator.decoder.device.type}
    depends["form"] = form  # answers are parsed with it as well; implicit decoding has none
    if keeps:  # rows of an earlier run without them are of no use
        depends["candidates"] = True
    files = [args.model, args.model_file, args.task_file, args.data, *beside.values()]
    predictions = answered(
        PartialFile(args.output, fingerprint(depends, [__file__, *files])),
        examples,
        lambda left: algorithm.answer(generator, options, left, args.seed, beside),
        args.output,
        keeps,
    )
    right = sum(prediction.correct for prediction in predictions)
    seconds = sum(prediction.seconds or 0.0 for prediction in predictions)
    print(json.dumps({"questions": len(predictions), "correct": right, "seconds": round(seconds, 3)}))


def answered(
    kept: "PartialFile",
    examples: "list[Example]",
    answer: "Callable[[list[Example]], Answered]",
    output: str,
    keep_candidates: bool = False,
) -> "list[Prediction]":
    """Answer all examples that no earlier run of this job has answered, and write the predictions in order.

    answer: yields the index and the prediction of each example that it is given, in any order. keep_candidates: also
    write the candidates that the predictions carry.
    """
    from retrace.evaluation.candidates import write_candidates
    from retrace.evaluation.predictions import write_predictions
    from retrace.schemas import Prediction

    predictions = {
        entry["index"]: Prediction.model_validate(
            entry["row"] | {"seconds": entry["seconds"], "candidates": entry.get("candidates")}
        )
        for entry in kept.entries
    }
    left = [index for index in range(len(examples)) if index not in predictions]
    for place, prediction in answer([examples[index] for index in left]):
        predictions[left[place]] = prediction
        row = prediction.model_dump(mode="json")
        entry = {"index": left[place], "seconds": prediction.seconds, "row": row}
        if prediction.candidates is not None:
            entry["candidates"] = prediction.candidates.model_dump(mode="json")
        kept.append(entry)
        report(len(predictions), len(examples))
    found = [predictions[index] for index in range(len(examples))]
    write_candidates(output, found, keep_candidates)
    write_predictions(output, found)
    kept.finish()
    return found


def report(done: int, total: int) -> None:
    """Print progress with the remaining time to stderr, at intervals."""
    from retrace.machine.progress import say

    say(done, total, "questions", sys.stderr)


if __name__ == "__main__":
    cli.run(main)
