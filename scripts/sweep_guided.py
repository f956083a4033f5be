"""Choose the discriminator's weight, and optionally the temperature, on the development split. GRACE figure 4.

    python scripts/sweep_guided.py --model results/gsm8k/tiny_t5/seed0/sft/model --model-file config/models/tiny_t5.yaml \\
        --task-file config/tasks/gsm8k.yaml --discriminator results/gsm8k/tiny_t5/seed0/sft_discriminator/model \\
        --data results/data/gsm8k/dev.jsonl --seed 0 --limit 200 --betas 0 0.5 0.8 --temperatures 0.7 1.0 \\
        --output sweep.json --choices choices.json

In: generator, discriminator, development examples (the first --limit of them).
Out: --output {"points": [{"beta", "temperature", "accuracy", "n", "low", "high"}], "chosen": one of the points}, accuracy
by the paper's own grader with Wilson's 95 % interval; --choices {"beta", "temperature"}, which decode.py reads.

The most accurate point is chosen; ties go to the smallest beta, then the lowest temperature. All
values of beta at one temperature are decoded together and share candidates while they agree, with identical results.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.decoding.options import Guided
from retrace.systems.grace.options import Sweep

if TYPE_CHECKING:
    from retrace.decoding.partial import PartialFile


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Guided, Sweep)
    parser.add_argument("--model", required=True, help="folder of the generator")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--discriminator", required=True, help="folder of the discriminator")
    parser.add_argument("--data", required=True, help="development examples, JSONL")
    parser.add_argument("--seed", type=int, required=True)
    cli.add_form(parser)
    parser.add_argument("--output", required=True, help="all points, JSON")
    parser.add_argument("--choices", required=True, help="the chosen values, JSON")
    args = parser.parse_args(arguments)
    options, sweep = cli.section_from(args, Guided), cli.section_from(args, Sweep)
    betas = sorted(set(sweep.betas))
    temperatures = sorted(set(sweep.temperatures or [options.temperature]))

    from retrace.decoding.partial import PartialFile, fingerprint, what_counts
    from retrace.decoding.setup import check_references, open_generator
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.models.discriminator import load_discriminator
    from retrace.schemas import Example

    examples = read_jsonl(args.data, Example)[: sweep.limit]
    place = (args.model, args.model_file, args.task_file)
    generator = open_generator(*place, options.calculator, form=args.form, exact=options.exact)
    check_references(generator.task, examples, args.data)
    discriminator = None
    if any(beta > 0 for beta in betas):
        discriminator = load_discriminator(args.discriminator, generator.decoder.device, options.exact)
    depends = {"options": what_counts(options), "sweep": what_counts(sweep), "seed": args.seed, "form": args.form}
    depends |= {"prompts": [generator.prompt(example.question) for example in examples]}
    depends |= {"device": generator.decoder.device.type}
    files = [__file__, args.model, args.model_file, args.task_file, args.data, args.discriminator]
    kept = PartialFile(args.output, fingerprint(depends, files))
    points = measure(generator, discriminator, examples, options, betas, temperatures, args.seed, kept)
    chosen = best_point(points)
    write_json(args.output, {"points": points, "chosen": chosen})
    write_json(args.choices, {"beta": chosen["beta"], "temperature": chosen["temperature"]})
    kept.finish()


def measure(
    generator: Any,
    discriminator: Any,
    examples: Sequence[Any],
    options: Guided,
    betas: Sequence[float],
    temperatures: Sequence[float],
    seed: int,
    kept: "PartialFile | None" = None,
) -> list[dict[str, float]]:
    """Accuracy at every pair of a beta and a temperature, on the same examples and random numbers.

    kept: where each question's outcomes are saved; those of an earlier run are reused.
    """
    from retrace.decoding.guided import solve_for_betas
    from retrace.evaluation.intervals import wilson
    from retrace.machine.progress import say

    points = []
    what = "questions" if len(temperatures) == 1 else f"questions at {len(temperatures)} temperatures"
    for turn, temperature in enumerate(temperatures):
        warm = Guided.model_validate(options.model_dump() | {"temperature": temperature})
        before = [entry for entry in (kept.entries if kept else []) if entry["temperature"] == temperature]
        outcomes = {entry["index"]: entry["right"] for entry in before}
        left = [index for index in range(len(examples)) if index not in outcomes]
        asked = [examples[index] for index in left]
        for place, predictions in solve_for_betas(generator, discriminator, asked, warm, betas, seed):
            outcomes[left[place]] = [prediction.correct for prediction in predictions]
            if kept:
                kept.append({"temperature": temperature, "index": left[place], "right": outcomes[left[place]]})
            say(turn * len(examples) + len(outcomes), len(temperatures) * len(examples), what, sys.stderr)
        for number, beta in enumerate(betas):
            count = sum(right[number] for right in outcomes.values())
            low, high = wilson(count, len(examples))
            points.append(
                {
                    "beta": beta,
                    "temperature": temperature,
                    "accuracy": count / len(examples),
                    "n": len(examples),
                    "low": low,
                    "high": high,
                }
            )
            print(f"beta {beta:g}, temperature {temperature:g}: {count} of {len(examples)} right", flush=True)
    return points


def best_point(points: Sequence[dict[str, float]]) -> dict[str, float]:
    """The most accurate point; ties go to the smallest beta, then the lowest temperature."""
    return min(points, key=lambda point: (-point["accuracy"], point["beta"], point["temperature"]))


if __name__ == "__main__":
    cli.run(main)
