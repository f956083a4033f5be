"""Score one method on one model: accuracy with its interval, costs, the paper's number and what it was made from.

    python scripts/score_method.py --task-file config/tasks/gsm8k.yaml --model-file config/models/tiny_t5.yaml \\
        --method greedy --checkpoint sft --decoder greedy --split test --seeds 0 --preset tiny --papers config/papers \\
        --predictions results/gsm8k/tiny_t5/seed0/sft/greedy/test.jsonl --output greedy_acc.json

Inputs:  --predictions (Prediction rows, one file a seed), the split that they answer (--data, or found by the path
         grammar), config/papers, benchmark files.
Output:  a Result document (scripts/retrace/evaluation/result.py says what its fields mean).
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.errors import UserError

if TYPE_CHECKING:
    from retrace.workflow.configuration import Configuration
    from retrace.workflow.settings import Settings


def settings_with(configuration: dict[str, Any], files: Sequence[str]) -> "Settings":
    """The settings that a result was made with, to ask what its names mean. files: YAMLs of its tasks and its model."""
    from retrace.workflow.declared import config_folders
    from retrace.workflow.settings import Settings

    settings = Settings(configuration, *config_folders())
    for file in files:
        settings.use_file(file)
    return settings


def differences_from_paper(
    configuration: dict[str, Any],
    asked: "Settings",
    files: Sequence[str],
    names: Sequence[str],
    sections: Sequence[str],
) -> list[str]:
    """Options that are not as in the preset `paper`; of a variant, not as in what it is a variant of.

    names: of task, model, checkpoint and decoder.
    """
    from retrace.workflow.sections_behind import differences

    task, model, checkpoint, decoder = names
    paper = settings_with({"preset": "paper"}, files)
    theirs = paper.for_target(task, model, asked.shipped_checkpoint(checkpoint), asked.shipped_decoder(decoder))
    return differences(configuration, theirs.model_dump(mode="json"), [*sections, "limits"])


def chosen_on_test(settings: "Settings", values: "Configuration", checkpoint: str) -> str | None:
    """By which measure the checkpoint was chosen on the test split; None where it was not."""
    named = settings.checkpoints.parse(checkpoint)
    dotted = named.kind.chosen_on_test if named and named.round != 0 else None
    if dotted is None or not settings.option(values, dotted):
        return None
    kept = settings.option(values, f"{dotted.rpartition('.')[0]}.keep")
    return "loss" if kept == "best" else kept


def gpus_of_a_job(given: int | None, scratch: bool) -> int | None:
    """As given; else none for models from scratch, one where this machine has any, unknown elsewhere (a cluster)."""
    from retrace.evaluation.provenance import gpu_names

    if given is not None:
        return given
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
    parser.add_argument("--predictions", nargs="+", required=True, help="one file a seed")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="in the order of the predictions")
    parser.add_argument(
        "--data", help="the split's examples (default: data/{task}/{split}.jsonl above the predictions)"
    )
    parser.add_argument("--papers", required=True, help="folder of reported results")
    parser.add_argument("--method-names", nargs="*", default=[], help="the method's names in the papers' tables")
    parser.add_argument("--configuration", help="the resolved configuration: a file, or JSON text")
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
    parser.add_argument("--vote-predictions", nargs="*", default=[], help="its predictions, one file a seed")
    parser.add_argument("--reports", nargs="*", default=[], help="how checkpoints were chosen, one report a seed")
    parser.add_argument(
        "--sampling", nargs="*", default=[], help="what sampling found, SamplingCounts, one file a seed"
    )
    parser.add_argument("--output", required=True, help="JSON file to write")
    given = parser.parse_args(arguments)

    from retrace.evaluation import provenance, reported
    from retrace.evaluation.predictions import find_data, read_examples, read_runs
    from retrace.evaluation.result import build_result, read_choices, read_sampling
    from retrace.machine.storage import write_json
    from retrace.models.options import load_model_config
    from retrace.tasks.load import load_task
    from retrace.workflow.sections_behind import sections_behind

    task = load_task(given.task_file)
    source = load_task(given.source_task_file).config if given.source_task_file else None
    model = load_model_config(given.model_file)
    if given.split not in task.config.splits:
        raise UserError(f"--split {given.split!r}: {given.task_file} has {', '.join(sorted(task.config.splits))}")
    data = Path(given.data) if given.data else find_data(given.predictions[0], task.name, given.split)
    examples = read_examples(data)
    if wrong := next((example for example in examples if example.split != given.split), None):
        raise UserError(
            f"{data}: question {wrong.id!r} is of split {wrong.split!r}, not {given.split!r}; give that split"
        )
    runs = read_runs(given.predictions, given.seeds, examples, data)

    votes = (given.votes, read_runs(given.vote_predictions, given.seeds, examples, data)) if given.votes else None

    values, file = provenance.read_configuration(given.configuration) if given.configuration else (None, None)
    files = [given.task_file, given.model_file, *([given.source_task_file] if given.source_task_file else [])]
    trained_on = (source or task.config).name
    names = (trained_on, model.name, given.checkpoint, given.decoder)
    settings = settings_with(values or {"preset": "paper"}, files)
    sections = sections_behind(settings, *names, given.votes)
    config_dir = Path(given.papers).parent
    found = provenance.Provenance(
        git=provenance.git_state(),
        configuration=provenance.configuration_record(values, file, sections) if values else None,
        data=provenance.data_record(
            data, [example.source for example in examples], len(examples), task.config, given.split
        ),
        model=provenance.model_record(model, config_dir / "models.lock.json"),
        files=provenance.file_records([*given.predictions, *given.vote_predictions, *given.reports, *given.inputs]),
        versions=provenance.versions(),
        machine=provenance.machine(),
        command=provenance.command_line(),
    )
    result = build_result(
        runs,
        task.config,
        model,
        task.canonical,
        method=given.method,
        method_names=given.method_names,
        checkpoint=given.checkpoint,
        decoder=given.decoder,
        split=given.split,
        preset=given.preset,
        papers=reported.load_papers(given.papers),
        changed=differences_from_paper(values, settings, files, names, sections) if values else None,
        benchmarks=given.costs,
        gpus=gpus_of_a_job(given.gpus, model.scratch is not None),
        provenance=found,
        source=source,
        votes=votes,
        choices=read_choices(given.reports, given.seeds),
        sampling=read_sampling(given.sampling, given.seeds),
        chosen_by=chosen_on_test(settings, settings.for_target(*names), given.checkpoint)
        if values and given.split == "test"
        else None,
    )
    write_json(given.output, result)
    if unrecorded := result.cost.unrecorded:
        of_all = unrecorded + result.cost.jobs
        print(
            f"note: {unrecorded} of {of_all} benchmark records are missing; the cost is without these jobs",
            file=sys.stderr,
        )
    summary = {"accuracy": result.accuracy.value, "low": result.accuracy.low, "high": result.accuracy.high}
    print(f"{given.method} of {model.name} on {task.name}: {json.dumps(summary)}, n={result.n}, seeds={result.seeds}")


if __name__ == "__main__":
    cli.run(main)
