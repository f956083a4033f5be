"""The result document: one method on one model and task, over all seeds."""

import operator
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from retrace.errors import UserError
from retrace.evaluation.cost import Cost, measure_cost
from retrace.evaluation.intervals import Estimate, estimate
from retrace.evaluation.metrics import sample_curves
from retrace.evaluation.predictions import Run, outcomes
from retrace.evaluation.provenance import Provenance
from retrace.evaluation.reported import PaperFile, Reported, find_row, judge, judged_again
from retrace.machine.storage import read_json, read_jsonl
from retrace.models.options import ModelConfig
from retrace.schemas import Prediction, Row, SamplingCounts, counts_together
from retrace.tasks.graders import PAPER
from retrace.tasks.options import TaskConfig
from retrace.tasks.splits import plain_split

UNIT = "accuracies are shares of 1; multiply by 100 for the papers' percent"


class SeedResult(Row):
    """The result of one seed."""

    seed: int
    accuracy: float = Field(description="by the result's grader, or the paper's own if it names none; share of 1")
    accuracy_strict: float = Field(description="by the strict grader")
    accuracy_by: dict[str, float] = Field(
        default={}, exclude_if=operator.not_, description="by further graders, like the result's `accuracy_by`"
    )
    invalid_share: float = Field(description="share of questions without a readable answer")
    tokens_per_question: float
    seconds: float | None = Field(description="decoding time; None: not measured")


class AtK(Row):
    """A share that depends on the number of samples."""

    k: int = Field(ge=1)
    value: float = Field(ge=0, le=1)


class CheckpointChoice(Row):
    """How one seed's checkpoint was chosen among those of its training, including the start."""

    seed: int
    chosen_on: str = Field(
        description="the split whose accuracy decided; `test` is not a fair choice for a test result"
    )
    questions: int
    step: int
    accuracy: float = Field(description="greedy accuracy of the chosen checkpoint on that split")
    start_accuracy: float
    stopped: str | None = Field(description="why the training stopped early, if it did")


class CheckpointNote(Row):
    """What the training of one seed's checkpoint left out, and why."""

    seed: int
    note: str


class SampledSolutions(Row):
    """The sampled solutions that one seed's discriminator or verifier was trained on."""

    seed: int
    questions: int
    drawn: int = Field(description="sampled solutions of training questions, including repeated texts")
    wrong_wanted: int
    wrong_found: int = Field(description="distinct wrong solutions; fewer than wanted if no more could be found")


class Result(Row):
    """results/{task}/{model}/{method}_acc.json."""

    kind: Literal["result"] = "result"
    unit: str = UNIT
    task: str
    split: str
    model: str
    method: str
    checkpoint: str
    decoder: str
    trained_on: str | None = Field(default=None, description="the task that the checkpoint was trained on, if another")
    preset: str
    made_from: str = Field(description="the measured model and data, in words")
    seeds: list[int]
    independent_seeds: list[int] | None = Field(
        default=None,
        exclude_if=lambda seeds: seeds is None,
        description="the seeds with predictions of their own, where some gave the same ones",
    )
    n: int = Field(ge=1, description="questions, the same for every seed")
    samples: int = Field(ge=1, description="samples per question")
    graded_by: str = Field(
        default=PAPER,
        exclude_if=lambda name: name == PAPER,
        description="the grader of `accuracy`, maj_at_k, pass_at_k and invalid_share, if not the paper's own extractor and "
        "grader",
    )
    accuracy: Estimate = Field(description="by the paper's own extractor and grader, or by `graded_by`")
    accuracy_strict: Estimate = Field(description="the text must end in '#### value' with exactly the right value")
    accuracy_by: dict[str, Estimate] = Field(
        default={},
        exclude_if=operator.not_,
        description="by further graders: the paper's if `accuracy` is by a different one, and math_verify for mathematics",
    )
    per_seed: list[SeedResult]
    votes_from: str | None = Field(
        default=None, description="the decoder whose samples maj_at_k and pass_at_k use, if not the result's own"
    )
    checkpoint_choice: list[CheckpointChoice] = Field(
        default=[], description="for checkpoints that were chosen by their accuracy (LaTRO)"
    )
    checkpoint_notes: list[CheckpointNote] = Field(
        default=[],
        exclude_if=operator.not_,
        description="what trainings left out (implicit chain of thought: coupling that the student was not ready for)",
    )
    sampling: list[SampledSolutions] = Field(
        default=[], description="for decoders that a network trained on sampled solutions guides or ranks (GRACE)"
    )
    maj_at_k: list[AtK] = Field(
        description="majority vote of k samples, ties broken at random; empty with a single sample"
    )
    pass_at_k: list[AtK] = Field(description="at least one of k samples correct, unbiased; empty with a single sample")
    invalid_share: float = Field(description="share of questions without a readable answer, mean over seeds")
    reported: Reported | None = Field(description="the paper's number, if it has one for this task and method")
    cost: Cost
    provenance: Provenance

    @model_validator(mode="before")
    @classmethod
    def _with_a_verdict_of_now(cls, given: Any) -> Any:
        """Documents of earlier versions said whether the number is inside the interval of our mean; the seeds' values are
        in them, so that the verdict can be given again."""
        reported = given.get("reported") if isinstance(given, dict) else None
        if not isinstance(reported, dict) or "because" in reported or "verdict" not in reported:
            return given
        accuracies = [row.get("accuracy_by", {}).get(PAPER, row["accuracy"]) for row in given.get("per_seed", [])]
        return given | {"reported": judged_again(reported, accuracies)}

    @property
    def paper_accuracy(self) -> Estimate:
        """The accuracy by the paper's own grader, the only one that is comparable with the paper's number."""
        return self.accuracy_by.get(PAPER, self.accuracy)


def _invalid(rows: Sequence[Prediction]) -> float:
    return sum(row.answer is None or not row.answer.strip() for row in rows) / len(rows)


def _seed_result(run: Run, others: Mapping[str, Run]) -> SeedResult:
    count = len(run.rows)
    return SeedResult(
        seed=run.seed,
        accuracy=sum(row.correct for row in run.rows) / count,
        accuracy_strict=sum(row.correct_strict for row in run.rows) / count,
        accuracy_by={name: sum(row.correct for row in other.rows) / count for name, other in others.items()},
        invalid_share=_invalid(run.rows),
        tokens_per_question=round(sum(row.tokens for row in run.rows) / count, 2),
        seconds=None if run.seconds is None else round(run.seconds, 3),
    )


def made_from(
    task: TaskConfig,
    model: ModelConfig,
    split: str,
    revision: str | None,
    checkpoint: str,
    n: int,
    source: TaskConfig | None = None,
) -> str:
    """Description in words of a result's model and data, so that results are not confused."""
    if model.scratch is not None:
        weights = f"{model.name}: {model.title}; a small model of this project, not a paper's"
        weights += "" if checkpoint == "base" else f"; checkpoint {checkpoint}"
    else:
        origin = f"Hub model {model.hub}, revision {revision or 'not locked'}" if model.hub else f"folder {model.file}"
        if package := model.package:
            origin = f"package {package.name} {package.version}, weights turned into float32 from {package.file}"
        weights = f"{model.name}: {origin}, " + ("frozen" if checkpoint == "base" else f"checkpoint {checkpoint}")
    weights += f", trained on {source.title}" if source else ""
    rows = task.splits.get(split)
    rows = task.splits.get(rows.part_of, rows) if rows and rows.part_of else rows
    if rows is None:
        data = "a split that the task does not define"
    elif rows.url:
        data = rows.url
    elif rows.hub:
        data = f"{rows.hub} on the Hub, commit {rows.revision}"
    elif rows.generator:
        data = f"generated data ({rows.generator}, seed {rows.seed})"
    else:
        data = f"own data ({rows.file})"
    return f"{weights}. {n} {split} questions of {task.title}: {data}"


def peeked(choices: Sequence[CheckpointChoice], split: str) -> bool:
    """Whether a checkpoint was chosen on the evaluated split, as LaTRO's authors did."""
    return any(choice.chosen_on == split for choice in choices)


def independent_runs(runs: Sequence[Run]) -> list[int]:
    """Places of the runs with predictions of their own: seeds that share a model and draw nothing give the same ones."""
    first: dict[tuple[Any, ...], int] = {}
    for place, run in enumerate(runs):
        said = ((row.chosen, row.answer, *(sample.text for sample in row.samples)) for row in run.rows)
        first.setdefault(tuple(said), place)
    return list(first.values())


def read_reports(
    paths: Sequence[str | Path], seeds: Sequence[int]
) -> tuple[list[CheckpointChoice], list[CheckpointNote]]:
    """Training reports, one per seed: of a choice among checkpoints (train_latro.py), or with a note (train_icot.py).

    Raises UserError for an invalid one.
    """
    if paths and len(paths) != len(seeds):
        raise UserError(f"--reports names {len(paths)} files and --seeds {len(seeds)} seeds; give one file per seed")
    choices, notes = [], []
    for path, seed in zip(paths, seeds, strict=bool(paths)):
        report = read_json(path)
        try:
            if "note" in report:
                if report["note"] is not None:
                    notes.append(CheckpointNote(seed=seed, note=report["note"]))
                continue
            choices.append(
                CheckpointChoice(
                    seed=seed,
                    chosen_on=report["chosen_on"],
                    questions=report["questions"],
                    step=report["chosen"]["step"],
                    accuracy=report["chosen"]["accuracy"],
                    start_accuracy=report["start"]["accuracy"],
                    stopped=report["stopped"],
                )
            )
        except (KeyError, TypeError, ValidationError) as error:
            raise UserError(f"{path}: not a report of a training ({error}); delete it and train again") from None
    return choices, notes


def read_sampling(paths: Sequence[str | Path], seeds: Sequence[int]) -> list[SampledSolutions]:
    """Sampling counts, one file per seed."""
    if paths and len(paths) != len(seeds):
        raise UserError(f"--sampling names {len(paths)} files and --seeds {len(seeds)} seeds; give one file per seed")
    found = []
    for path, seed in zip(paths, seeds, strict=bool(paths)):
        counts = counts_together(read_jsonl(path, SamplingCounts))
        found.append(
            SampledSolutions(
                seed=seed,
                questions=counts.questions,
                drawn=counts.drawn,
                wrong_wanted=counts.wanted_incorrect,
                wrong_found=counts.unique_incorrect,
            )
        )
    return found


def build_result(
    runs: Sequence[Run],
    task: TaskConfig,
    model: ModelConfig,
    canonical: Callable[[str], str],
    *,
    method: str,
    method_names: Sequence[str],
    checkpoint: str,
    decoder: str,
    split: str,
    preset: str,
    papers: Sequence[PaperFile],
    changed: Sequence[str] | None,
    benchmarks: Sequence[str],
    gpus: int | None,
    provenance: Provenance,
    source: TaskConfig | None = None,
    votes: tuple[str, Sequence[Run]] | None = None,
    reports: tuple[Sequence[CheckpointChoice], Sequence[CheckpointNote]] = ((), ()),
    sampling: Sequence[SampledSolutions] = (),
    chosen_by: str | None = None,
    grader: str = PAPER,
    others: Mapping[str, Sequence[Run]] | None = None,
) -> Result:
    """Assemble the result document.

    Args:
        runs, task, model: The predictions of all seeds, and the task and model that they are of.
        canonical: Maps equal answers to the same text, for votes.
        method, checkpoint, decoder, split, preset: Their names.
        method_names: The method's names in the papers.
        papers: The papers' reported numbers.
        changed: Options that differ from the paper's preset; None: not known.
        benchmarks, gpus: See `measure_cost`.
        provenance: The provenance.
        source: The task that the checkpoint was trained on, if it is a different one.
        votes: Another decoder and its runs, for maj@k and pass@k.
        reports: How the checkpoints were chosen, and what their trainings left out.
        sampling: Sampled solutions that a discriminator or verifier was trained on.
        chosen_by: The metric (loss, accuracy) that chose the checkpoint, if measured on the scored questions.
        grader: The grader of `runs` and `votes`.
        others: The same runs, graded by further graders.
    """
    accuracy = estimate(outcomes(runs))
    choices, notes = reports
    others = others or {}
    per_seed = [_seed_result(run, {name: other[at] for name, other in others.items()}) for at, run in enumerate(runs)]
    accuracy_by = {name: estimate(outcomes(other)) for name, other in others.items()}
    majority, passed = sample_curves([run.rows for run in (votes[1] if votes else runs)], canonical)
    n = len(runs[0].rows)
    own = independent_runs(runs)
    trained_on = source.paper_names if source else ()
    found = find_row(papers, task.paper_names, model.paper_names, method_names, plain_split(task, split), trained_on)
    return Result(
        task=task.name,
        split=split,
        model=model.name,
        method=method,
        checkpoint=checkpoint,
        decoder=decoder,
        trained_on=source.name if source else None,
        preset=preset,
        made_from=made_from(task, model, split, provenance.model.revision, checkpoint, n, source)
        + (". The checkpoint was chosen by its accuracy on these very questions" if peeked(choices, split) else "")
        + (f". The checkpoint was chosen by its {chosen_by} on these very questions" if chosen_by else "")
        + "".join(f". Seed {note.seed}: {note.note}" for note in notes),
        seeds=[run.seed for run in runs],
        independent_seeds=[runs[at].seed for at in own] if len(own) < len(runs) else None,
        n=n,
        samples=min(len(row.samples) for run in runs for row in run.rows),
        graded_by=grader,
        accuracy=accuracy,
        accuracy_by=accuracy_by,
        accuracy_strict=estimate(outcomes(runs, strict=True)),
        per_seed=per_seed,
        votes_from=votes[0] if votes else None,
        checkpoint_choice=list(choices),
        checkpoint_notes=list(notes),
        sampling=list(sampling),
        maj_at_k=[AtK(k=k, value=value) for k, value in majority],
        pass_at_k=[AtK(k=k, value=value) for k, value in passed],
        invalid_share=sum(row.invalid_share for row in per_seed) / len(per_seed),
        reported=judge(
            found,
            [per_seed[at].accuracy_by.get(PAPER, per_seed[at].accuracy) for at in own],
            task,
            model,
            checkpoint,
            split,
            n,
            preset,
            changed,
            len(runs),
        )
        if found
        else None,
        cost=measure_cost(runs, benchmarks, gpus),
        provenance=provenance,
    )


def load_document(path: str | Path, document: type[Row]) -> Any:
    """Read a result or comparison. Raises UserError naming the file and the first error."""
    value = read_json(path)
    try:
        return document.model_validate(value)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "document"
        raise UserError(
            f"{path}: {place}: {fault['msg']}; this is not a {document.__name__} document of this version: delete the "
            "file and rebuild it"
        ) from None
