"""Measure how many tokens a second are written with the calculator and without it, over batch sizes, in one process.

    python scripts/measure_calculator_speed.py --model dpo_st_round0/model --model-file config/models/tiny_t5.yaml \\
        --task-file config/tasks/arithmetic.yaml --data results/data/arithmetic/test.jsonl --preset tiny \\
        --output dpo_st_speed.json --batch-sizes 1 8 16 32

Inputs:  a checkpoint folder and the questions. Output: a CalculatorSpeed document (scripts/retrace/systems/dpo_st/speed.py).
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.dpo_st.options import CalculatorSpeedOptions


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, CalculatorSpeedOptions)
    parser.add_argument("--model", required=True, help="checkpoint folder")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--form", default="steps", help="text form of the checkpoint")
    parser.add_argument("--data", required=True, help="Example rows")
    parser.add_argument("--preset", required=True, help="name of the preset")
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, CalculatorSpeedOptions)

    import torch

    from retrace.decoding.sampling import generate
    from retrace.decoding.setup import best_device, open_generator
    from retrace.errors import UserError
    from retrace.evaluation.provenance import machine
    from retrace.machine.storage import read_jsonl, write_json
    from retrace.schemas import Example
    from retrace.systems.dpo_st import speed

    examples = read_jsonl(args.data, Example)[: options.questions]
    generator = open_generator(args.model, args.model_file, args.task_file, form=args.form)
    if generator.calculator is None:
        raise UserError(
            f"{args.task_file}: {generator.task.name} has no calculator for {generator.config.name} to time"
        )
    prompts = [generator.prompt(example.question) for example in examples]
    on_gpu = best_device() == "cuda"

    def way(calculates: bool) -> speed.Write:
        def write(batch_size: int) -> int:
            answers = generate(
                generator.decoder,
                prompts,
                [example.id for example in examples],
                max_new_tokens=options.max_new_tokens,
                batch_size=batch_size,
                calculator=generator.calculator if calculates else None,
                stops=generator.stops,
            )
            if on_gpu:
                torch.cuda.synchronize()
            return sum(answer.samples[0].tokens for answer in answers)

        return write

    ways = dict(zip(speed.WAYS, (way(True), way(False)), strict=True))
    timings = speed.measure(ways, options.batch_sizes, options.repeats)
    document = speed.CalculatorSpeed(
        task=generator.task.name,
        model=generator.config.name,
        preset=args.preset,
        questions=len(examples),
        device=torch.cuda.get_device_name() if on_gpu else machine().processor,
        threads=0 if on_gpu else torch.get_num_threads(),
        dtype=generator.config.dtype,
        **timings,
    )
    write_json(args.output, document)
    for name, points in timings.items():
        shown = (f"batch {one.batch_size}: {one.tokens_per_second:.0f}/s ({one.speedup:.1f})" for one in points)
        print(f"{name}: {', '.join(shown)}")


if __name__ == "__main__":
    cli.run(main)
