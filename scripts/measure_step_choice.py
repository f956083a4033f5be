"""Measure how often discriminator and language model pick the right step among N samples.

    python scripts/measure_step_choice.py --model results/gsm8k/tiny_t5/seed0/sft/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --discriminator results/gsm8k/tiny_t5/seed0/sft_discriminator/model --pairs pairs.jsonl --seed 0 \\
        --candidates 10 --temperature 0.7 --output report.json

In: generator, discriminator, Pair rows (those with split `dev` give the contexts). Options are those of guided
decoding; beta is not used.
Out: the training report's values, under `sampling` how many wrong solutions were wanted and found (the counts of all
sampling jobs together) and, under `step_choice`, {"contexts", "candidates", "temperature", "discriminator",
"language_model", "any", "random"}; the middle three hold right, share, low and high (Wilson, 95 %): chosen by the
discriminator alone, by the language model alone, and the share of contexts in which some candidate is right. `random`
is a candidate drawn at random.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.decoding.options import Guided
from retrace.errors import UserError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Guided)
    parser.add_argument("--model", required=True, help="folder of the generator")
    parser.add_argument("--model-file", required=True, help="config/models/NAME.yaml")
    parser.add_argument("--task-file", required=True, help="config/tasks/NAME.yaml")
    parser.add_argument("--discriminator", required=True, help="folder of the discriminator")
    parser.add_argument("--pairs", required=True, help="Pair rows, JSONL")
    parser.add_argument("--limit", type=int, default=1000, help="maximum number of contexts (default 1000)")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--training-report", help="pair accuracies (train_discriminator.py), copied into the report")
    parser.add_argument("--sampling", help="SamplingCounts rows (sample_trajectories.py), copied into the report")
    cli.add_form(parser)
    parser.add_argument("--output", required=True, help="JSON")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, Guided)

    from retrace.decoding.setup import open_generator
    from retrace.decoding.step_choice import held_out_contexts, measure_step_choice
    from retrace.machine.storage import read_json, read_jsonl, write_json
    from retrace.models.discriminator import load_discriminator
    from retrace.schemas import Pair, SamplingCounts, counts_together

    contexts = held_out_contexts(read_jsonl(args.pairs, Pair))[: args.limit]
    if not contexts:
        raise UserError(f"{args.pairs}: no pair has split 'dev'; raise pair.development_share and make the pairs again")
    place = (args.model, args.model_file, args.task_file)
    generator = open_generator(*place, options.calculator, form=args.form, exact=options.exact)
    discriminator = load_discriminator(args.discriminator, generator.decoder.device, options.exact)
    report = measure_step_choice(generator, discriminator, contexts, options, args.seed)
    beside = read_json(args.training_report) if args.training_report else {}
    if args.sampling:
        beside["sampling"] = counts_together(read_jsonl(args.sampling, SamplingCounts)).model_dump()
    write_json(args.output, {**beside, "step_choice": report})
    for name in ("discriminator", "language_model", "any"):
        print(f"{name}: {report[name]['right']} of {report['contexts']}")


if __name__ == "__main__":
    cli.run(main)
