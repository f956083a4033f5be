"""What the jobs of DPO-ST and of plain self-training take: as many pairs and pseudo-labels as the samples so far give.

Counts come from the files that are there; where the plan makes them, from the options of the jobs that make them.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.storage import read_json
from retrace.planning.formulas import decode, gathered
from retrace.planning.jobs import Job
from retrace.planning.registry import formula
from retrace.planning.sizes import BYTES_PER_TOKEN, Sizes, Text
from retrace.planning.work import Work, model_of, option, reading_seconds, steps_of_training, text_of, training, written
from retrace.systems.dpo_st.options import DpoTraining, LabelSampling, PreferencePairs, RoundSampling

SAMPLES_A_SECOND = 5000  # read, cut into tokens and compared by one thread: 20,000 of 100 words took 4 s


# ---------------------------------------------------------------- counts


def files_behind(job: Job, ending: str) -> Iterator[str]:
    """A job's input files whose name ends so; of a measured job those that it read then."""
    return (file for file in dict.fromkeys([*job.input_mb, *job.input]) if file.endswith(ending))


def split_behind(job: Job, sizes: Sizes, kind: str) -> Text:
    """The split that a job reads as its `train`, `dev` or `test`: the task's, or the paper's own one (`dpo_st_train`)."""
    return text_of(job, sizes, next((Path(file).stem for file in files_behind(job, f"{kind}.jsonl")), kind))


def planned_for(job: Job, sizes: Sizes, rule: str, **wildcards: str) -> Job | None:
    """The planned job of this rule for the same task and model."""
    return sizes.planned(rule, task=job.wildcards["task"], model=job.wildcards["model"], **wildcards)


def questions_sampled(job: Job, sizes: Sizes) -> float:
    """Training questions that solutions are drawn of."""
    rows, most = split_behind(job, sizes, "train").rows, option(job, "max-questions", -1)
    return min(rows, most) if most >= 0 else rows


def samples_so_far(job: Job, sizes: Sizes) -> float:
    """Solutions in the trajectories that pairs or pseudo-labels are chosen from."""
    questions, total = questions_sampled(job, sizes), 0.0
    for file in files_behind(job, "/trajectories.jsonl"):
        rows = sizes.lines(file, job.input_mb.get(file))
        if rows is None:
            made = Path(file).parent.name
            usual = (RoundSampling if made.startswith("dpo_round") else LabelSampling)().samples
            planned = planned_for(job, sizes, "sample_round", sampled=made)
            rows = questions * (option(planned, "samples", usual) if planned else usual)
        total += rows
    return total


def pairs_made(job: Job, sizes: Sizes) -> float:
    """Pairs of a make_preferences job: as many a question as it has wrong solutions, up to its most.

    Of n samples, at a share w of wrong ones, n w are wrong, and a question has any with probability 1 - (1 - w)^n.
    """
    questions = max(1, questions_sampled(job, sizes))
    samples, wrong = samples_so_far(job, sizes) / questions, sizes.assumed.wrong_share
    most = option(job, "pairs-per-question", PreferencePairs().pairs_per_question)
    return questions * (1 - (1 - wrong) ** samples) * min(most, samples * wrong)


def makes_pairs(job: Job, sizes: Sizes) -> Job | None:
    """The planned job that makes the pairs of a preference optimisation."""
    return planned_for(job, sizes, "make_preferences", round=job.wildcards["round"])


def text_of_pairs(job: Job, sizes: Sizes) -> Text:
    """The split whose questions the pairs are of."""
    makes = makes_pairs(job, sizes)
    return split_behind(makes, sizes, "train") if makes else text_of(job, sizes, "train")


def pairs_of(job: Job, sizes: Sizes) -> tuple[float, float]:
    """(pairs to learn from, pairs held out) of a round's preference optimisation."""
    file = next(files_behind(job, "/pairs.jsonl"), "")
    makes, usual = makes_pairs(job, sizes), PreferencePairs()
    pairs = sizes.lines(file, job.input_mb.get(file))
    if pairs is None:
        text = text_of_pairs(job, sizes)
        pairs = pairs_made(makes, sizes) if makes else text.rows * usual.pairs_per_question
    share = option(makes, "development-share", usual.development_share) if makes else usual.development_share
    return pairs * (1 - share), pairs * share


def references_of(job: Job, sizes: Sizes) -> float:
    """Worked solutions that may be used."""
    rows, most = split_behind(job, sizes, "train").rows, option(job, "labelled", -1)
    return min(rows, most) if most >= 0 else rows


def labels_made(job: Job, sizes: Sizes) -> float:
    """References and right samples that are unlike them, of a make_pseudo_labels job."""
    right = samples_so_far(job, sizes) * (1 - sizes.assumed.wrong_share)
    return references_of(job, sizes) + right * sizes.assumed.unlike_share


def rows_to_learn(job: Job, sizes: Sizes) -> float:
    """Rows of a fine-tuning: the references, and where there are any, pseudo-labels, or as many references for them."""
    report = next(
        (file for end in ("/pseudo_labels.jsonl", "/pseudo_labels.json") for file in files_behind(job, end)), ""
    )
    if not report:
        return references_of(job, sizes)
    file = str(Path(report).with_suffix(".jsonl"))
    rows = sizes.lines(file, job.input_mb.get(file))
    if rows is not None:
        return rows
    loop, number = job.wildcards.get("loop", "dpo_st"), job.wildcards["round"]
    planned = planned_for(job, sizes, "make_pseudo_labels", loop=loop, round=number)
    return labels_made(planned, sizes) if planned else references_of(job, sizes)


def steps_of_trainings(job: Job, sizes: Sizes) -> float:
    """Optimiser steps that the trainings behind a control took together: by their reports, or as they are planned."""
    total = 0.0
    for file in files_behind(job, "/training.json"):
        path = sizes.results.parent / file
        planned = next((other for other in sizes.jobs if file in other.output), None)
        if planned:
            rows = pairs_of(planned, sizes)[0] if planned.rule == "train_dpo" else rows_to_learn(planned, sizes)
            total += steps_of_training(planned, rows)
        elif path.is_file():
            report = read_json(path)
            if not isinstance(report, dict) or not isinstance(report.get("steps"), int):
                raise UserError(f"{path}: has no number 'steps'; delete the file and rebuild it")
            total += report["steps"]
        elif "/dpo_round" in file:
            total += DpoTraining().max_steps
        else:
            total += steps_of_training(job, references_of(job, sizes))
    return total


# ---------------------------------------------------------------- samples


@formula("sample_round")
def sample_round(job: Job, sizes: Sizes) -> Work:
    """The same number of solutions for every question of a shard."""
    text = split_behind(job, sizes, "train")
    questions = questions_sampled(job, sizes) / option(job, "shards", 1)
    samples = option(job, "samples", RoundSampling().samples)
    return written(job, sizes, text, questions, samples, option(job, "batch-size", RoundSampling().batch_size))


@formula("gather_round")
def gather_round(job: Job, sizes: Sizes) -> Work:
    """Joining the shards of a round."""
    return gathered(job, sizes, "sample_round")


@formula("decode_transfer")
def decode_transfer(job: Job, sizes: Sizes) -> Work:
    """Like the decoding of the task's own questions; the split is known by its file."""
    names = [Path(file).stem for file in files_behind(job, ".jsonl")]
    return decode(replace(job, wildcards={**job.wildcards, "split": names[0] if names else "test"}), sizes)


@formula("make_preferences")
def make_preferences(job: Job, sizes: Sizes) -> Work:
    """Reading and comparing the samples of all rounds so far."""
    text = split_behind(job, sizes, "train")
    seconds = sizes.assumed.small_job_seconds + samples_so_far(job, sizes) / SAMPLES_A_SECOND
    size = pairs_made(job, sizes) * (text.question + 2 * text.solution) * BYTES_PER_TOKEN
    return Work(seconds, 0, size, text.known)


@formula("make_pseudo_labels")
def make_pseudo_labels(job: Job, sizes: Sizes) -> Work:
    """The same for the right samples."""
    text = split_behind(job, sizes, "train")
    seconds = sizes.assumed.small_job_seconds + samples_so_far(job, sizes) / SAMPLES_A_SECOND
    return Work(seconds, 0, labels_made(job, sizes) * (text.question + text.solution) * BYTES_PER_TOKEN, text.known)


# ---------------------------------------------------------------- trainings


@formula("train_dpo")
def train_dpo(job: Job, sizes: Sizes) -> Work:
    """Question and solution of both sides of a pair; before that every process reads all pairs once, for the
    reference's log-probabilities. Evaluations on the pairs that are held out."""
    text, model = text_of_pairs(job, sizes), model_of(job, sizes)
    learned, held_out = pairs_of(job, sizes)
    tokens = 2 * (text.question + text.solution)
    work = training(job, sizes, model, learned, tokens, held_out)
    before = reading_seconds(replace(job, gpus=min(job.gpus, 1)), model, (learned + held_out) * tokens, sizes.assumed)
    return replace(work, seconds=work.seconds + before, sizes_known=text.known)


@formula("train_warm_up", "train_round", "train_sft_extra", "train_sft_continued")
def train_round(job: Job, sizes: Sizes) -> Work:
    """Question and solution of every row; the continued control takes as many steps as the rounds' trainings did."""
    text, dev = split_behind(job, sizes, "train"), split_behind(job, sizes, "dev")
    if job.rule == "train_sft_continued":
        job = replace(job, options={**job.options, "max-steps": str(steps_of_trainings(job, sizes))})
    tokens = text.question + text.solution
    work = training(job, sizes, model_of(job, sizes), rows_to_learn(job, sizes), tokens, dev.rows)
    return replace(work, sizes_known=text.known and dev.known)
