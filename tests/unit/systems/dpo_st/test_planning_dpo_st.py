"""What the rounds of DPO-ST are estimated to take, against hand-computed values.

4,000 questions of 70 tokens with solutions of 120, half of the samples wrong, a quarter of the right ones unlike others.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.planning.jobs import Job
from retrace.planning.sizes import Sizes
from retrace.planning.work import work_of
from unit.planned_jobs import sizes_of

RUN = "results/arithmetic/flan_t5_large/seed0"
DATA = ["results/data/arithmetic/train.jsonl", "results/data/arithmetic/dev.jsonl"]
WILDCARDS = {"task": "arithmetic", "model": "flan_t5_large", "seed": "0"}
SFT = {"batch-size": "96", "device-batch-size": "12", "epochs": "8", "max-steps": "-1", "evaluations": "1"}
DPO = {"batch-size": "96", "device-batch-size": "12", "epochs": "1", "max-steps": "150", "evaluations": "2"}
ACTIVE = 3.9e8  # half of the model's parameters


def sample(folder: str, samples: int, shard: int = 0) -> Job:
    output = [f"{RUN}/{folder}/shards/trajectories_{shard}.jsonl"]
    options = {"samples": str(samples), "shards": "16", "max-new-tokens": "300", "batch-size": "250"}
    return Job(
        "sample_round", WILDCARDS | {"sampled": folder, "shard": str(shard)}, options, 1, 1, None, DATA[:1], output
    )


def trajectories(loop: str, number: int) -> list[str]:
    return [f"{RUN}/{loop}_round{turn}/trajectories.jsonl" for turn in range(1, number + 1)]


def gather(folder: str) -> Job:
    shards = [f"{RUN}/{folder}/shards/trajectories_{shard}.jsonl" for shard in range(16)]
    return Job(
        "gather_round", WILDCARDS | {"sampled": folder}, {}, input=shards, output=[f"{RUN}/{folder}/trajectories.jsonl"]
    )


def sampled(folder: str, samples: int) -> list[Job]:
    """All shards of a round, and what joins them."""
    return [*(sample(folder, samples, shard) for shard in range(16)), gather(folder)]


def make_pairs(number: int) -> Job:
    options = {"pairs-per-question": "3", "development-share": "0", "labelled": "-1"}
    reads = [DATA[0], f"{RUN}/dpo_st_round0/model", *trajectories("dpo", number)]
    output = [f"{RUN}/dpo_round{number}/pairs.jsonl"]
    return Job("make_preferences", WILDCARDS | {"round": str(number)}, options, 2, input=reads, output=output)


def make_labels(number: int, loop: str = "dpo_st", labelled: str = "-1") -> Job:
    reads = [DATA[0], f"{RUN}/dpo_st_round0/model", *trajectories(loop, number)]
    output = [f"{RUN}/{loop}_round{number}/pseudo_labels.{ending}" for ending in ("jsonl", "json")]
    wildcards = WILDCARDS | {"loop": loop, "round": str(number)}
    return Job("make_pseudo_labels", wildcards, {"labelled": labelled}, 2, input=reads, output=output)


def optimise(number: int, gpus: int = 1, **options: str) -> Job:
    folder = f"{RUN}/dpo_round{number}"
    reads = [f"{RUN}/dpo_st_round{number - 1}/model", f"{folder}/pairs.jsonl"]
    output = [f"{folder}/model", f"{folder}/training.json"]
    return Job("train_dpo", WILDCARDS | {"round": str(number)}, DPO | options, 8, gpus, None, reads, output)


def tune(number: int, loop: str = "dpo_st") -> Job:
    folder = f"{RUN}/{loop}_round{number}"
    reads = ["results/models/flan_t5_large", *DATA, f"{folder}/pseudo_labels.jsonl"]
    output = [f"{folder}/model", f"{folder}/training.json"]
    return Job("train_round", WILDCARDS | {"loop": loop, "round": str(number)}, SFT, 8, 1, None, reads, output)


def control(rule: str, *reads: str, **options: str) -> Job:
    return Job(rule, WILDCARDS | {"round": "2"}, SFT | options, 8, 1, input=[*DATA, *reads], output=[f"{RUN}/{rule}"])


def two_rounds(labelled: str = "-1") -> list[Job]:
    jobs = []
    for number in (1, 2):
        jobs += [*sampled(f"dpo_round{number}", 5), make_pairs(number)]
        jobs += [optimise(number), *sampled(f"dpo_st_round{number}", 3)]
        jobs += [make_labels(number, labelled=labelled), tune(number)]
    return jobs


def sizes_with(jobs: list[Job], folder: Path, **assumed: float) -> Sizes:
    """Without what a start takes."""
    return sizes_of(jobs, folder, start_seconds=0, disk_bandwidth=1e30, **assumed)


def put(folder: Path, file: str, text: str) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(text)


def test_a_shard_samples_so_many_solutions_of_its_questions(tmp_path: Path) -> None:
    """250 questions of a shard with 5 solutions each are 5 batches of 250; the longest of a batch has 216 tokens."""
    sizes = sizes_with(two_rounds(), tmp_path)
    work = work_of(sample("dpo_round1", 5), sizes)
    assert work.tokens == 250 * 5 * 120
    assert work.seconds == pytest.approx(5 * 216 * 0.03 + 2 * ACTIVE * 250 * 70 / 1e14)
    assert work_of(sample("dpo_st_round1", 3), sizes).tokens == 250 * 3 * 120
    assert work_of(gather("dpo_st_round1"), sizes).disk == pytest.approx(4000 * 3 * 120 * 4.5 * 2)


def test_only_so_many_questions_are_sampled(tmp_path: Path) -> None:
    """320 questions in 16 shards are 20 a shard; their 5 samples each are all that pairs come from."""
    few = {"max-questions": "320"}
    jobs = [replace(job, options=job.options | few) for job in [*sampled("dpo_round1", 5), make_pairs(1)]]
    sizes = sizes_with(jobs, tmp_path)
    assert work_of(jobs[0], sizes).tokens == 20 * 5 * 120
    assert work_of(jobs[-1], sizes).seconds == 1 + 320 * 5 / 5000


def test_the_paper_s_own_split_is_known_by_its_file(tmp_path: Path) -> None:
    job = sample("dpo_round1", 5)
    own = {"wildcards": job.wildcards | {"task": "gsm8k"}, "options": {"samples": "5", "shards": "1"}}
    planned = Job("sample_round", **own, gpus=1, input=["results/data/gsm8k/dpo_st_train.jsonl"])
    assert work_of(planned, sizes_of([], tmp_path)).tokens == 6705 * 5 * 120
    measured = Job("sample_round", **own, gpus=1, input_mb={"results/data/gsm8k/dpo_st_train.jsonl": 800 * 50 / 2**20})
    assert work_of(measured, sizes_of([], tmp_path)).tokens == 50 * 5 * 120


def test_pairs_come_from_the_samples_of_all_rounds(tmp_path: Path) -> None:
    """Of 5 samples 2.5 are wrong, and 31 of 32 questions have one; of 10 samples there would be 5, but 3 are kept."""
    sizes = sizes_with(two_rounds(), tmp_path)
    first, second = (work_of(make_pairs(number), sizes) for number in (1, 2))
    assert (first.seconds, second.seconds) == (1 + 20000 / 5000, 1 + 40000 / 5000)
    assert first.disk == pytest.approx(4000 * 31 / 32 * 2.5 * (70 + 240) * 4.5)
    assert second.disk == pytest.approx(4000 * 1023 / 1024 * 3 * (70 + 240) * 4.5)


def test_preference_optimisation_reads_both_sides_and_once_for_the_reference(tmp_path: Path) -> None:
    """9,687.5 pairs of two sides with 190 tokens."""
    slow = sizes_with(two_rounds(), tmp_path, gpu_flops=1e12)
    work = work_of(optimise(1), slow)
    tokens = 150 * 96 * 380
    assert work.tokens == tokens
    reference = 2 * ACTIVE * 9687.5 * 380 / 1e12
    assert work.seconds == pytest.approx(2 * ACTIVE * 3 * tokens / 1e12 + reference)
    # Every process scores all pairs by the reference; the training is shared out.
    four = work_of(optimise(1, gpus=4), slow)
    assert four.seconds == pytest.approx((work.seconds - reference) / 4 + reference)
    assert work_of(optimise(1, **{"max-steps": "-1"}), slow).tokens == 101 * 96 * 380
    assert (work.disk, work.state) == (4 * 7.8e8, 6 * 4 * 7.8e8)  # the policy's alone


def test_pairs_that_are_there_are_counted(tmp_path: Path) -> None:
    job = optimise(1, **{"max-steps": "-1", "epochs": "2"})
    put(tmp_path, f"{RUN}/dpo_round1/pairs.jsonl", "{}\n" * 480)
    assert work_of(job, sizes_of([job], tmp_path)).tokens == 10 * 96 * 380
    assert work_of(job, sizes_of([job, *two_rounds()], tmp_path)).tokens == 202 * 96 * 380  # will be made anew
    put(tmp_path, f"{RUN}/dpo_round1/trajectories.jsonl", "{}\n" * 8000)
    assert work_of(make_pairs(1), sizes_of([make_pairs(1)], tmp_path)).seconds == 1 + 8000 / 5000


def test_rounds_learn_references_and_pseudo_labels(tmp_path: Path) -> None:
    """Of 12,000 samples a round 1,500 are pseudo-labels."""
    sizes = sizes_with(two_rounds(), tmp_path)
    assert work_of(make_labels(2), sizes).seconds == 1 + 24000 / 5000
    assert work_of(make_labels(1), sizes).disk == 5500 * 190 * 4.5
    assert work_of(tune(1), sizes).tokens == 459 * 96 * 190  # 8 epochs of 5,500
    assert work_of(tune(2), sizes).tokens == 584 * 96 * 190  # of 7,000
    few = sizes_with(two_rounds(labelled="400"), tmp_path)
    assert work_of(tune(1), few).tokens == 159 * 96 * 190  # of 1,900
    assert work_of(control("train_warm_up", labelled="400"), few).tokens == 34 * 96 * 190
    assert work_of(control("train_warm_up", labelled="-1"), few).tokens == 334 * 96 * 190


def test_plain_self_training_has_samples_of_its_own(tmp_path: Path) -> None:
    jobs = [*sampled("st_round1", 10), make_labels(1, "st"), *two_rounds()]
    sizes = sizes_with(jobs, tmp_path)
    assert work_of(tune(1, "st"), sizes).tokens == 750 * 96 * 190  # 4,000 and an eighth of 40,000


def test_controls_take_the_steps_and_the_rows_of_the_rounds(tmp_path: Path) -> None:
    reports = [f"{RUN}/{made}_round{number}/training.json" for number in (1, 2) for made in ("dpo", "dpo_st")]
    continued = control("train_sft_continued", *reports, labelled="400")
    sizes = sizes_with(two_rounds(labelled="400"), tmp_path)
    extra = control("train_sft_extra", f"{RUN}/dpo_st_round2/pseudo_labels.json", labelled="400")
    assert work_of(extra, sizes).tokens == 284 * 96 * 190  # 8 epochs of 400 and 3,000
    assert work_of(continued, sizes).tokens == (150 + 159 + 150 + 284) * 96 * 190
    for steps, file in enumerate(reports, start=1):
        put(tmp_path, file, json.dumps({"steps": steps}))
    assert work_of(continued, sizes_with([continued], tmp_path)).tokens == 10 * 96 * 190
    put(tmp_path, reports[0], "[]")
    with pytest.raises(UserError, match=r"dpo_round1/training\.json: has no number 'steps'; delete the file"):
        work_of(continued, sizes_with([continued], tmp_path))


def test_transfer_decodes_the_questions_of_the_other_task(tmp_path: Path) -> None:
    wildcards = WILDCARDS | {
        "task": "gsm8k",
        "source_task": "svamp",
        "checkpoint": "dpo_st_round3",
        "decoder": "greedy",
    }
    reads = ["results/svamp/flan_t5_large/seed0/dpo_st_round3/model", "results/data/gsm8k/test.jsonl"]
    job = Job("decode_transfer", wildcards, {"max-new-tokens": "300", "batch-size": "64"}, gpus=1, input=reads)
    work = work_of(job, sizes_with([], tmp_path))
    assert work.tokens == 1319 * 120
    assert work.seconds == pytest.approx(21 * 216 * 0.03 + 2 * ACTIVE * 1319 * 70 / 1e14)
