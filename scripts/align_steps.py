"""Align every wrong solution with the reference solution of its question.

    python scripts/align_steps.py --task-file config/tasks/gsm8k.yaml --data results/data/gsm8k/train.jsonl \\
        --trajectories trajectories.jsonl --output alignments.jsonl --embedder minilm

Inputs:  --data (Example rows), --trajectories (Trajectory rows).
Output:  Alignment rows, in the order of the trajectories.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.schemas import Alignment, Example, Trajectory
from retrace.systems.grace.alignment import GAP, Aligned, Job, align_by_position, align_jobs
from retrace.systems.grace.options import Aligning
from retrace.tasks.load import load_task


def collect(
    examples: dict[str, Example],
    trajectories: Sequence[Trajectory],
    path: str | Path,
    use_correct_samples: bool = False,
) -> tuple[list[Job], dict[str, int]]:
    """Wrong solutions with their references, and the number of solutions skipped per reason.

    path: where the trajectories came from, for messages.
    """
    references: dict[str, list[list[str]]] = {}
    counts = {"trajectories": len(trajectories), "correct": 0, "no_steps": 0, "gap_step": 0, "no_reference": 0}
    for number, trajectory in enumerate(trajectories, start=1):
        example = examples.get(trajectory.example_id)
        if example is None:
            raise UserError(
                f"{path}:{number}: example_id {trajectory.example_id!r} is not in the data; "
                "the trajectories belong to other data: rebuild them, or give the data that they were sampled from"
            )
        known = references.setdefault(example.id, [example.steps] if example.steps else [])
        if GAP in example.steps:
            raise UserError(f"example {example.id!r}: a reference step is {GAP!r}, which marks a gap; reword the step")
        usable = trajectory.correct and trajectory.steps and GAP not in trajectory.steps
        if use_correct_samples and usable and trajectory.steps not in known:
            known.append(trajectory.steps)
    jobs = []
    for trajectory in trajectories:
        if trajectory.correct:
            counts["correct"] += 1
        elif not trajectory.steps:
            counts["no_steps"] += 1
        elif GAP in trajectory.steps:
            counts["gap_step"] += 1  # indistinguishable from a gap
        elif not references[trajectory.example_id]:
            counts["no_reference"] += 1
        else:
            jobs.append(Job(trajectory.example_id, trajectory.steps, references[trajectory.example_id]))
    if not jobs:
        mend = "sample more solutions"
        if counts["no_reference"] and not any(example.steps for example in examples.values()):
            mend = "the data has only final answers: put steps before '####', one per line"
        raise UserError(f"{path}: no wrong solution can be aligned ({json.dumps(counts)}); {mend}")
    return jobs, counts


def align_all(jobs: list[Job], options: Aligning, embedder_folder: str | None = None) -> list[Aligned]:
    """Alignments by embeddings, or by position if configured, which needs no model."""
    if options.skip_alignment:
        return align_by_position(jobs)
    from retrace.systems.grace.embedding import embed_steps, load_embedder

    embedder = load_embedder(options.embedder, options.embedder_url, options.batch_size, embedder_folder)
    if revision := getattr(embedder, "revision", None):
        print(f"embedder {options.embedder} at revision {revision}")
    return align_jobs(jobs, lambda steps: embed_steps(steps, embedder), options.gap_cost, options.threshold)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__, Aligning)
    parser.add_argument("--task-file", required=True, help="the task's YAML")
    parser.add_argument("--data", required=True, help="Example rows that the solutions were sampled for")
    parser.add_argument("--trajectories", required=True, help="Trajectory rows")
    parser.add_argument("--embedder-folder", help="the named embedder's files, already fetched")
    cli.add_form(parser)
    parser.add_argument(
        "--family", default="encoder_decoder", help="family of the model that wrote them (default encoder_decoder)"
    )
    parser.add_argument("--output", required=True, help="Alignment rows")
    args = parser.parse_args(arguments)
    options = cli.section_from(args, Aligning)
    started = time.perf_counter()

    task = load_task(args.task_file).in_form(args.form, args.family)
    examples = {
        example.id: example.model_copy(update={"steps": task.reference_steps(example)})
        for example in read_jsonl(args.data, Example)
    }
    trajectories = read_jsonl(args.trajectories, Trajectory)
    jobs, counts = collect(examples, trajectories, args.trajectories, options.use_correct_samples)
    aligned = align_all(jobs, options, args.embedder_folder)
    rows = [
        Alignment(example_id=one.example_id, trajectory=one.first, reference=one.second, cost=one.cost)
        for one in aligned
        if one.cost <= options.max_cost
    ]
    counts |= {"other_length": len(jobs) - len(aligned), "too_costly": len(aligned) - len(rows), "aligned": len(rows)}
    if not rows:
        raise UserError(
            f"{args.trajectories}: no alignment is left ({json.dumps(counts)}); raise align.max_cost "
            f"(now {options.max_cost}), turn align.skip_alignment off, or use another align.embedder"
        )
    write_jsonl(args.output, rows)
    print(f"{task.name}: {json.dumps(counts)} in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    cli.run(main)
