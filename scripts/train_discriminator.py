"""Train the step discriminator on pairs of a right and a wrong step. GRACE section 3.2.

    python scripts/train_discriminator.py --generator sft/model --model-file config/models/tiny_t5.yaml \\
        --task-file config/tasks/arithmetic.yaml --pairs pairs.jsonl --seed 0 --state discriminator/state \\
        --output discriminator/model --report discriminator/report.json --backbone scratch

In: the generator's folder (its tokenizer for a scratch backbone, and the model to compare with) and Pair rows.
Out: a folder with the checkpoint of the lowest development loss, tokenizer and curves.jsonl; a JSON report with the
pair accuracy on held-out questions, and the generator's own by log-probability.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.grace import judge_program
from retrace.systems.grace.options import DiscriminatorTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, DiscriminatorTraining)
    judge_program.add_arguments(parser, "discriminator")
    parser.add_argument("--pairs", required=True, help="Pair rows, JSONL")
    cli.add_form(parser)
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, DiscriminatorTraining)

    from retrace.decoding.setup import best_device
    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl
    from retrace.models.discriminator import StepDiscriminator
    from retrace.models.load import check_delimiter, check_family, load_model, load_tokenizer
    from retrace.models.options import load_model_config
    from retrace.schemas import Pair
    from retrace.systems.grace import train_discriminator as training
    from retrace.systems.grace.networks import backbone_record, make_network
    from retrace.tasks.load import load_task
    from retrace.training.trainer import finish, is_first_process, set_seed

    config = load_model_config(args.model_file)
    task = load_task(args.task_file).in_form(args.form, config.family)
    # The whole generator is needed only after training, but a misfit is reported before.
    check_family(args.generator, config.family)
    check_delimiter(load_tokenizer(args.generator), task, args.generator)
    pairs, dev_pairs = training.split_pairs(read_jsonl(args.pairs, Pair), args.pairs)
    set_seed(args.seed)
    network = make_network(StepDiscriminator, options, args.generator, task, args.seed)
    rows = training.pair_rows(network, task, pairs)
    dev_rows = training.pair_rows(network, task, dev_pairs)
    curve = training.train_discriminator(network, rows, dev_rows, options, args.seed, args.state)
    if not is_first_process():
        return
    device = best_device()
    network.to(device)
    evaluation = training.PairEvaluation(dev_rows, options)
    report = {
        "task": task.name,
        "generator": config.name,
        "seed": args.seed,
        "pairs": {"train": len(pairs), "dev": len(dev_pairs)},
        "questions": {name: len({p.example_id for p in part}) for name, part in (("train", pairs), ("dev", dev_pairs))},
        "dev_loss": evaluation(network)["loss"],
        "pair_accuracy": {"discriminator": training.accuracy_of(*evaluation.scores(network))},
    }
    generator, tokenizer = load_model(args.generator, config.family, config.dtype, device)
    demonstrations = config.demonstrations if args.form == "steps" else 0
    report["pair_accuracy"] |= training.generator_pair_accuracy(
        generator, tokenizer, task, config.family, dev_pairs, 8 * options.device_batch_size, demonstrations
    )
    if packaged := backbone_record(options):
        report["backbone"] = packaged
    trained = Trained(
        args,
        {"pairs of a right and a wrong step": len(pairs)},
        options,
        network="discriminator",
        loader="retrace.models.discriminator.load_discriminator",
        packaged=packaged,
        measured={"accuracy on held-out pairs": report["pair_accuracy"]["discriminator"]["accuracy"]},
    )
    judge_program.write_judge(args, "discriminator", network, curve, report, trained)
    for name, entry in report["pair_accuracy"].items():
        print(f"{name}: {entry['accuracy']:.3f} of {entry['n']} pairs ({entry['low']:.3f} to {entry['high']:.3f})")
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
