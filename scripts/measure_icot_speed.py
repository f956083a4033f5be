"""Compare the speed of answers without steps, with explicit steps and with implicit ones, in one process.

    python scripts/measure_icot_speed.py --no-cot no_cot/model --explicit-cot explicit_cot/model --icot icot/model \\
        --model-file config/models/tiny_gpt2.yaml --task-file config/tasks/mult_2x2.yaml \\
        --data results/data/mult_2x2/test.jsonl --preset tiny --output icot_speed.json --batch-sizes 1 64

Inputs: the three checkpoints (or only --icot, if a released pair has no baselines) and the test questions. Output: a
Speed document (scripts/retrace/systems/icot/speed.py): latency at batch size 1, throughput at larger ones, both divided by
those of no-CoT, as the paper does, how many answers --max-new-tokens cut off, and which ways are missing.
"""

import sys
from collections.abc import Sequence

from retrace import cli
from retrace.systems.icot.options import Speed


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Speed)
    parser.add_argument("--no-cot", help="folder of the checkpoint no_cot; without it, speeds are not normalized")
    parser.add_argument("--explicit-cot", help="folder of the checkpoint explicit_cot")
    parser.add_argument("--icot", required=True, help="folder of the checkpoint icot")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows of the test split")
    parser.add_argument("--preset", required=True, help="name of the preset")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, Speed)

    import torch

    from retrace.decoding.sampling import generate
    from retrace.decoding.setup import Generator, best_device, open_generator
    from retrace.evaluation.provenance import machine
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.schemas import Example
    from retrace.systems.icot import speed
    from retrace.systems.icot.decoding import open_coupled

    examples = read_jsonl(args.data, Example)[: options.questions]
    files = args.model_file, args.task_file
    written = {"no_cot": args.no_cot, "explicit_cot": args.explicit_cot}
    generators = {name: open_generator(folder, *files) for name, folder in written.items() if folder}
    generators["icot"] = open_coupled(args.icot, *files)
    on_gpu = best_device() == "cuda"

    def way(generator: Generator) -> speed.Answer:
        prompts = [generator.prompt(example.question) for example in examples]
        keys = [example.id for example in examples]

        def answer(numbers: Sequence[int], batch_size: int) -> speed.Written:
            answers = generate(
                generator.decoder,
                [prompts[number] for number in numbers],
                [keys[number] for number in numbers],
                max_new_tokens=options.max_new_tokens,
                batch_size=batch_size,
            )
            found = [one.samples[0] for one in answers]
            if on_gpu:
                torch.cuda.synchronize()
            return speed.Written(sum(one.tokens for one in found), sum(not one.finished for one in found))

        return answer

    ways = {name: way(generator) for name, generator in generators.items()}
    timings = speed.measure(ways, len(examples), options.batch_sizes, options.repeats)
    generator = generators["icot"]
    document = speed.Speed(
        task=generator.task.name,
        model=generator.config.name,
        preset=args.preset,
        questions=len(examples),
        device=torch.cuda.get_device_name() if on_gpu else machine().processor,
        threads=0 if on_gpu else torch.get_num_threads(),
        dtype=generator.config.dtype,
        ways=timings,
        missing=speed.missing_ways(timings),
        explicit_over_implicit=speed.latency_ratio(timings),
    )
    write_json(args.output, document)
    for name, found in timings.items():
        shown = [f"batch {one.batch_size}: {one.questions_per_second:.1f}/s" for one in found]
        shares = ["" if one.normalised is None else f" ({one.normalised:.2f})" for one in found]
        print(f"{name}: {', '.join(map(''.join, zip(shown, shares, strict=True)))}")
    for note in speed.notes_on_truncated(timings, len(examples), options.max_new_tokens):
        print(f"note: {note}", file=sys.stderr)


if __name__ == "__main__":
    cli.run(main)
