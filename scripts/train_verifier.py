"""Train the outcome verifier on right and wrong sampled solutions: the baseline that reranks samples.

    python scripts/train_verifier.py --generator sft/model --model-file config/models/tiny_t5.yaml \\
        --task-file config/tasks/arithmetic.yaml --data train.jsonl --trajectories trajectories.jsonl --seed 0 \\
        --state verifier/state --output verifier/model --report verifier/report.json --backbone scratch

In: the generator's folder (its tokenizer for a scratch backbone), the questions, and Trajectory rows of both labels.
Out: a folder with the checkpoint of the best development macro-F1, tokenizer and curves.jsonl; a JSON report.
"""

from collections.abc import Sequence

from retrace import cli
from retrace.systems.grace import judge_program
from retrace.systems.grace.options import VerifierTraining


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, VerifierTraining)
    judge_program.add_arguments(parser, "verifier")
    parser.add_argument("--data", required=True, help="the questions, Example rows")
    parser.add_argument("--trajectories", required=True, help="sampled solutions, Trajectory rows")
    cli.add_card(parser)
    args = parser.parse_args(arguments)
    options = cli.section_from(args, VerifierTraining)

    from retrace.decoding.setup import best_device
    from retrace.evaluation.model_card import Trained
    from retrace.machine.storage import read_jsonl
    from retrace.models.load import check_family
    from retrace.models.options import load_model_config
    from retrace.models.verifier import Verifier
    from retrace.schemas import Example, Trajectory
    from retrace.systems.grace import train_verifier as training
    from retrace.systems.grace.networks import backbone_record, make_network
    from retrace.tasks.load import load_task
    from retrace.training.trainer import finish, is_first_process, set_seed

    config = load_model_config(args.model_file)
    check_family(args.generator, config.family)
    task = load_task(args.task_file)
    examples = {example.id: example for example in read_jsonl(args.data, Example)}
    solutions, dev_solutions = training.split_solutions(
        read_jsonl(args.trajectories, Trajectory), examples, options, args.seed, args.trajectories
    )
    set_seed(args.seed)
    network = make_network(Verifier, options, args.generator, task, args.seed, outputs=2)
    rows = training.solution_rows(network, examples, solutions)
    dev_rows = training.solution_rows(network, examples, dev_solutions)
    curve = training.train_verifier(network, rows, dev_rows, options, args.seed, args.state)
    if not is_first_process():
        return
    network.to(best_device())
    metrics = training.SolutionEvaluation(dev_rows, 4 * options.device_batch_size)(network)
    report = {
        "task": task.name,
        "generator": config.name,
        "seed": args.seed,
        "solutions": {
            name: {"right": sum(row.correct for row in part), "wrong": sum(not row.correct for row in part)}
            for name, part in (("train", rows), ("dev", dev_rows))
        },
        **{f"dev_{name}": value for name, value in metrics.items()},
    }
    if packaged := backbone_record(options):
        report["backbone"] = packaged
    trained = Trained(
        args,
        {"sampled solutions, right and wrong": len(rows)},
        options,
        network="verifier",
        loader="retrace.models.verifier.load_verifier",
        packaged=packaged,
        measured={
            f"{name.replace('_', ' ')} on held-out solutions": metrics[name] for name in ("accuracy", "macro_f1")
        },
    )
    judge_program.write_judge(args, "verifier", network, curve, report, trained)
    print(f"development accuracy {metrics['accuracy']:.3f}, macro-F1 {metrics['macro_f1']:.3f}")
    finish(args.state)


if __name__ == "__main__":
    cli.run(main)
