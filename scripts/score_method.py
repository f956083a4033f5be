"""Score one method on one model: accuracy with its interval, costs, the paper's number and what it was made from.

    python scripts/score_method.py --task-file config/tasks/gsm8k.yaml --model-file config/models/tiny_t5.yaml \\
        --method greedy --checkpoint sft --decoder greedy --split test --seeds 0 --preset tiny --papers config/papers \\
        --predictions results/gsm8k/tiny_t5/seed0/sft/greedy/test.jsonl --output greedy_acc.json

Inputs:  --predictions (Prediction rows, one file per seed), the split that they answer (--data, or found by the path
         grammar), config/papers, benchmark files.
Output:  a Result document (scripts/retrace/evaluation/result.py says what its fields mean).
"""

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.errors import UserError

if TYPE_CHECKING:
    from retrace.workflow.configuration import Configuration
    from retrace.workflow.settings import Settings


def settings_with(configuration: dict[str, Any], tasks: Sequence[str], model: str) -> "Settings":
    """Settings that a result was made with, to resolve its names. tasks, model: their YAML files."""
    from retrace.workflow.declared import config_folders
    from retrace.workflow.settings import Settings

    settings = Settings(configuration, *config_folders())
    settings.use_files(tasks, [model])
    return settings


def differences_from_paper(
    configuration: dict[str, Any],
    asked: "Settings",
    tasks: Sequence[str],
    model_file: str,
    names: Sequence[str],
    sections: Sequence[str],
) -> list[str]:
    """Options that differ from the preset `paper` or, for a variant, from what it extends.

    names: of task, model, checkpoint and decoder.
    """
    from retrace.workflow.sections_behind import differences

    task, model, checkpoint, decoder = names
    paper = settings_with({"preset": "paper"}, tasks, model_file)
    theirs = paper.for_target(task, model, asked.shipped_checkpoint(checkpoint), asked.shipped_decoder(decoder))
    return differences(configuration, theirs.model_dump(mode="json"), [*sections, "limits"])


def chosen_on_test(settings: "Settings", values: "Configuration", checkpoint: str) -> str | None:
    """Measure by which the checkpoint was chosen on the test split; None if it was not."""
    named = settings.checkpoints.parse(checkpoint)
    dotted = named.kind.chosen_on_test if named and named.round != 0 else None
    if dotted is None or not settings.option(values, dotted):
        return None
    kept = settings.option(values, f"{dotted.rpartition('.')[0]}.keep")
    return "loss" if kept == "best" else kept


def gpus_of_a_job(gpus: int | None, scratch: bool) -> int | None:
    """`--gpus`; by default none for models from scratch, one if this machine has any, unknown elsewhere."""
    from retrace.evaluation.provenance import gpu_names

    if gpus is not None:
        return gpus
    return 0 if scratch else (1 if gpu_names() else None)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--model-file", required=True, help="the model's YAML")
    parser.add_argument("--method", required=True, help="name that the result carries")
    parser.add_argument("--source-task-file", help="YAML of the task that the checkpoint was trained on, if another")
    parser.add_argument("--checkpoint", required=True, help="what was decoded from")
    parser.add_argument("--decoder", required=True, help="how answers were drawn")
    parser.add_argument("--split", default="test", help="the split that was answered (default test)")
    parser.add_argument("--predictions", nargs="+", required=True, help="one file per seed")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="in the order of the predictions")
    parser.add_argument(
        "--data", help="the split's examples (default: data/{task}/{split}.jsonl above the predictions)"
    )
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--method-names", nargs="*", default=[], help="the method's names in the papers' tables")
    parser.add_argument("--configuration", help="the resolved configuration: a file or JSON text")
    parser.add_argument("--inputs", nargs="*", default=[], help="further files to record with their checksums")
    parser.add_argument(
        "--costs",
        nargs="*",
        default=[],
        help="benchmark files of the jobs behind it; a_{0..7}.tsv are eight",
    )
    parser.add_argument("--gpus", type=int, help="GPUs of each job (default: guessed, see cost.gpu_seconds)")
    parser.add_argument("--preset", required=True, help="name of the preset")
    parser.add_argument("--votes", help="decoder whose samples give maj@k and pass@k, if not --decoder itself")
    parser.add_argument("--vote-predictions", nargs="*", default=[], help="its predictions, one file per seed")
    parser.add_argument("--reports", nargs="*", default=[], help="how checkpoints were chosen, one report per seed")
    parser.add_argument(
        "--sampling", nargs="*", default=[], help="what sampling found, SamplingCounts, one file per seed"
    )
    parser.add_argument(
        "--accuracy", default="paper", help="grader that the accuracy is by (default: paper, the task's own)"
    )
    parser.add_argument("--output", required=True, help="JSON file to write")
    args = parser.parse_args(arguments)

    from retrace.evaluation import provenance, reported
    from retrace.evaluation.grading import answering, check_grader, graders_beside, judged
    from retrace.evaluation.predictions import find_data, read_examples, read_runs
    from retrace.evaluation.result import build_result, read_reports, read_sampling
    from retrace.machine.storage import write_json
    from retrace.models.options import load_model_config
    from retrace.tasks.graders import grader_named
    from retrace.tasks.load import load_task
    from retrace.workflow.sections_behind import sections_behind

    task = load_task(args.task_file)
    source = load_task(args.source_task_file).config if args.source_task_file else None
    model = load_model_config(args.model_file)
    if args.split not in task.config.splits:
        raise UserError(f"--split {args.split!r}: {args.task_file} has {', '.join(sorted(task.config.splits))}")
    data = Path(args.data) if args.data else find_data(args.predictions[0], task.name, args.split)
    examples = read_examples(data)
    if wrong := next((example for example in examples if example.split != args.split), None):
        raise UserError(
            f"{data}: question {wrong.id!r} is of split {wrong.split!r}, not {args.split!r}; give that split"
        )
    runs = read_runs(args.predictions, args.seeds, examples, data)

    check_grader(args.accuracy, task)
    asked, grader = answering(task, model), grader_named(args.accuracy)
    beside = {name: judged(runs, asked, examples, name) for name in graders_beside(task, args.accuracy)}
    runs = judged(runs, asked, examples, args.accuracy)
    libraries = {one for name in (args.accuracy, *beside) for one in grader_named(name).libraries}

    votes = None
    if args.votes:
        drawn = read_runs(args.vote_predictions, args.seeds, examples, data)
        votes = (args.votes, judged(drawn, asked, examples, args.accuracy))

    values, file = provenance.read_configuration(args.configuration) if args.configuration else (None, None)
    tasks = [args.task_file, *([args.source_task_file] if args.source_task_file else [])]
    trained_on = (source or task.config).name
    names = (trained_on, model.name, args.checkpoint, args.decoder)
    settings = settings_with(values or {"preset": "paper"}, tasks, args.model_file)
    sections = sections_behind(settings, *names, args.votes)
    config_dir = Path(args.papers).parent
    configuration = provenance.configuration_record(values, file, sections) if values else None
    found = provenance.Provenance(
        git=provenance.git_state(),
        configuration=configuration,
        packages=provenance.package_records(configuration.values) if configuration else [],
        data=provenance.data_record(
            data, [example.source for example in examples], len(examples), task.config, args.split
        ),
        model=provenance.model_record(model, config_dir / "models.lock.json"),
        files=provenance.file_records([*args.predictions, *args.vote_predictions, *args.reports, *args.inputs]),
        versions=provenance.versions(sorted(libraries)),
        machine=provenance.machine(),
        command=provenance.command_line(),
    )
    result = build_result(
        runs,
        task.config,
        model,
        partial(grader.key, asked),
        method=args.method,
        method_names=args.method_names,
        checkpoint=args.checkpoint,
        decoder=args.decoder,
        split=args.split,
        preset=args.preset,
        papers=reported.load_papers(args.papers),
        changed=differences_from_paper(values, settings, tasks, args.model_file, names, sections) if values else None,
        benchmarks=args.costs,
        gpus=gpus_of_a_job(args.gpus, model.scratch is not None),
        provenance=found,
        source=source,
        votes=votes,
        reports=read_reports(args.reports, args.seeds),
        sampling=read_sampling(args.sampling, args.seeds),
        chosen_by=chosen_on_test(settings, settings.for_target(*names), args.checkpoint)
        if values and args.split == "test"
        else None,
        grader=args.accuracy,
        others=beside,
    )
    write_json(args.output, result)
    if unrecorded := result.cost.unrecorded:
        of_all = unrecorded + result.cost.jobs
        print(
            f"note: {unrecorded} of {of_all} benchmark records are missing; the cost is without these jobs",
            file=sys.stderr,
        )
    summary = {"accuracy": result.accuracy.value, "low": result.accuracy.low, "high": result.accuracy.high}
    print(f"{args.method} of {model.name} on {task.name}: {json.dumps(summary)}, n={result.n}, seeds={result.seeds}")


if __name__ == "__main__":
    cli.run(main)
