"""Planned and measured jobs: options from commands and records, rules by path, formulas against hand-computed values."""

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine.benchmarks import gpus_in
from retrace.models.options import load_model_config
from retrace.planning.jobs import Job, options_of_command
from retrace.planning.records import options_of_params, read_records
from retrace.planning.sizes import planned_rows, scratch_parameters
from retrace.planning.work import work_of
from retrace.tasks.load import load_task
from unit.planned_jobs import HEADER, PROJECT, SHORT, sft_job, sizes_of, write_record

# ---------------------------------------------------------------- jobs and records


def test_options_of_a_command_with_a_launcher_and_a_redirection() -> None:
    command = (
        "python $RETRACE_SCRIPTS/launch.py --gpus 2 $RETRACE_SCRIPTS/decode.py guided --beta choose --top-p 0.95"
        " --betas 0.2 0.5 --official --shard 3 > logs/x.log 2>&1"
    )
    expected = {"gpus": "2", "beta": "choose", "top-p": "0.95", "betas": "0.2 0.5", "official": "", "shard": "3"}
    assert options_of_command(command) == expected
    assert options_of_command("echo 'unfinished") == {}


def test_options_of_recorded_params_are_those_of_the_command() -> None:
    params = {"task": "ab12", "arguments": ["guided", "--beta", "choose"], "shards": 4, "backbone": "", "max_steps": 3}
    assert options_of_params(params) == {"task": "ab12", "beta": "choose", "shards": "4", "max-steps": "3"}
    both = {"backbone": "--backbone results/models/roscoe", "options": ["--backbone", "roscoe"]}
    assert options_of_params(both)["backbone"] == "roscoe"


def test_gpus_are_counted_over_all_nodes() -> None:
    assert gpus_in({"gpus": 4, "nodes": 2}) == 8
    assert gpus_in({"gpus": 4, "mem": "4 GB"}) == 4
    assert gpus_in({"gpus": "many"}) == 0


def test_a_record_knows_its_job(tmp_path: Path) -> None:
    write_record(tmp_path, sft_job(seed=3), 100.0)
    (record,) = read_records(tmp_path)
    assert (record.job.rule, record.job.wildcards["seed"], record.job.gpus, record.job.threads) == (
        "train_sft",
        "3",
        1,
        8,
    )
    assert (record.seconds, record.cpu_seconds, record.memory_mb, record.gpu_seconds) == (100.0, 50.0, 900.5, 100.0)
    assert record.job.options.items() >= sft_job().options.items()
    assert record.job.kind == sft_job(seed=0).kind != sft_job(task="svamp").kind


def test_a_record_without_settings_is_known_by_its_path(tmp_path: Path) -> None:
    write_record(tmp_path, sft_job(seed=3), 100.0, extended=False)
    shard = tmp_path / "gsm8k/tiny_t5/seed0/sft/self_consistency/test_7.tsv"
    shard.parent.mkdir(parents=True)
    shard.write_text(f"{SHORT}\n2.5\t0:00:02\tNA\t-\n")
    (tmp_path / "elsewhere.tsv").write_text(f"{SHORT}\n-\tNA\tNA\tNA\n")
    trained, decoded = read_records(tmp_path)
    assert (decoded.memory_mb, trained.gpu_seconds, trained.job.rule) == (None, None, "")
    assert trained.job.kind == sft_job(seed=0).kind != sft_job(task="svamp").kind
    assert decoded.job.kind == "benchmarks/gsm8k/tiny_t5/seed*/sft/self_consistency/test_*.tsv"
    assert Job("fetch_model", {}, {}, benchmark="benchmarks/models/gpt2_1.5b.tsv").kind.endswith("gpt2_1.5b.tsv")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rubbish\nmore\n", "no column `s`"),
        (f"{SHORT}\nabc\t0\t0\t0\n", "'abc' in column `s` is not a number"),
        (f"{HEADER}\n1.0\t0\t1\t1\tdecode\t{{'task: 'x'}}\t{{}}\t1\t{{}}\t{{}}\n", "malformed settings"),
        (f"{HEADER}\n1.0\t0\t1\t1\tdecode\t__import__('os')\t{{}}\t1\t{{}}\t{{}}\n", "malformed settings"),
    ],
)
def test_a_malformed_record_is_named(tmp_path: Path, text: str, fault: str) -> None:
    (tmp_path / "bad.tsv").write_text(text)
    with pytest.raises(UserError, match=fault) as raised:
        read_records(tmp_path)
    assert "bad.tsv" in str(raised.value)
    assert "delete" in str(raised.value)


def test_no_records_are_no_error(tmp_path: Path) -> None:
    assert read_records(tmp_path / "benchmarks") == []


# ---------------------------------------------------------------- sizes and formulas


def test_rows_come_from_the_file_the_plan_or_the_task(tmp_path: Path) -> None:
    assert sizes_of([], tmp_path).text("gsm8k", "test").rows == 1319
    limited = Job("prepare_data", {"task": "gsm8k", "split": "test"}, {"limit": "100"})
    assert sizes_of([limited], tmp_path).text("gsm8k", "test").rows == 100
    assert sizes_of([], tmp_path).text("arithmetic", "corpus").rows == 60000
    unknown = sizes_of([], tmp_path, rows=777).text("no_such_task", "train")
    assert (unknown.rows, unknown.known) == (777, False)
    file = tmp_path / "results/data/gsm8k/test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"question": "12345678", "answer": "1234567890123456", "steps": ["a", "b"]}\n' * 30)
    text = sizes_of([], tmp_path, characters_per_token=4).text("gsm8k", "test")
    assert (text.rows, text.question, text.solution, text.steps) == (30, 2, 4, 2)
    assert sizes_of([limited], tmp_path).text("gsm8k", "test").rows == 100  # will be made anew
    file.write_text("no json\n")
    with pytest.raises(UserError, match=r"test\.jsonl:1: not a row of examples"):
        sizes_of([], tmp_path).text("gsm8k", "test")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json", "rows.jsonl.gz"])
def test_rows_of_own_data_are_counted_and_shared_out(tmp_path: Path, name: str) -> None:
    listed = "[" + ",\n".join(["{}"] * 50) + "]"
    texts = {"rows.csv": "question,answer\n" + '"How\nmany?",3\n' * 50, "rows.json": listed}
    text = texts.get(name, "{}\n" * 50).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    task = load_task("gsm8k", PROJECT / "config").config
    source = type(task.splits["train"])
    splits = {
        "train": source(file=str(tmp_path / name), part=[0.2, 1.0]),
        "dev": source(part_of="train", part=[0.0, 0.2]),
    }
    own = task.model_copy(update={"splits": splits, "rows": {}})
    assert (planned_rows(own, "train"), planned_rows(own, "dev"), planned_rows(own, "test")) == (40, 10, None)


@pytest.mark.parametrize("name", ["tiny_t5", "tiny_gpt2"])
def test_parameters_of_scratch_models_are_counted(name: str) -> None:
    """Against the networks themselves; the formula leaves norms and positions out."""
    from retrace.models.scratch import build_model, build_tokenizer

    config = load_model_config(PROJECT / f"config/models/{name}.yaml")
    tokenizer = build_tokenizer(["a few words"], "|", 300)
    network = build_model(config.scratch, config.family, tokenizer, 0)
    real = sum(weight.numel() for label, weight in network.named_parameters() if "wpe" not in label)
    known = config.model_copy(update={"scratch": config.scratch.model_copy(update={"vocabulary": len(tokenizer)})})
    assert scratch_parameters(known) == pytest.approx(real, rel=0.03)


def test_training_takes_six_operations_a_parameter_and_token(tmp_path: Path) -> None:
    """6,457 rows x 2 epochs in batches of 32 are 404 steps, micro-batches of 8; half of 780 M parameters see a token."""
    sizes = sizes_of([], tmp_path, question_tokens=100, solution_tokens=150, start_seconds=0, disk_bandwidth=1e30)
    work = work_of(sft_job(), sizes)
    tokens = 404 * 32 * 250
    assert work.tokens == tokens
    assert work.seconds == pytest.approx(404 * 4 * 2 * 0.03)  # here the launches take longer than the sums
    slow = sizes_of(
        [], tmp_path, question_tokens=100, solution_tokens=150, start_seconds=0, disk_bandwidth=1e30, gpu_flops=1e12
    )
    assert work_of(sft_job(), slow).seconds == pytest.approx(2 * 3.9e8 * (3 * tokens + 1000 * 250) / 1e12)
    assert work.disk == 4 * 7.8e8
    assert work_of(sft_job(gpus=4), slow).seconds == pytest.approx(work_of(sft_job(), slow).seconds / 4)


def test_answering_the_development_split_at_each_evaluation_costs_time(tmp_path: Path) -> None:
    """1,000 questions are 16 batches of 64, answered twice."""
    sizes = sizes_of(
        [], tmp_path, solution_tokens=100, longest=2, start_seconds=0, disk_bandwidth=1e30, gpu_step_seconds=0.05
    )
    job = sft_job()
    twice = {"keep": "accuracy", "evaluations": "2"}
    plain, chosen = (replace(job, options=job.options | {"evaluations": "2"} | more) for more in ({}, twice))
    answered = 2000 / 64 * 200 * 0.05
    assert work_of(chosen, sizes).seconds - work_of(plain, sizes).seconds == pytest.approx(answered, rel=0.1)


def test_sampling_takes_as_many_passes_as_it_needs_or_may(tmp_path: Path) -> None:
    sizes = sizes_of([], tmp_path, wrong_share=0.5, start_seconds=0)
    wildcards = {"task": "multiarith", "model": "llama_7b", "seed": "0", "generator": "base", "shard": "0"}

    def tokens(**options: str) -> float:
        values = {"incorrect": "80000", "samples-per-pass": "4", "shards": "1", "max-questions": "-1"} | options
        return work_of(Job("sample_trajectories", wildcards, values, gpus=1), sizes).tokens

    each = tokens(**{"max-passes": "1"})
    assert tokens(**{"max-passes": "50"}) == pytest.approx(50 * each)
    assert tokens(**{"max-passes": "-1"}) == pytest.approx(139 * each)  # 289 questions x 4 x 1/2 wrong in a pass


def decode_job(**options: str) -> Job:
    wildcards = {"task": "gsm8k", "model": "flan_t5_large", "seed": "0", "split": "test", "decoder": "greedy"}
    return Job("decode", wildcards, {"max-new-tokens": "256", "batch-size": "64", "shards": "1", **options}, gpus=1)


def test_decoding_takes_the_steps_of_the_longest_sequence(tmp_path: Path) -> None:
    """1,319 questions are 21 batches of 64; the longest of a batch of 100-token solutions has 200 tokens."""
    sizes = sizes_of(
        [], tmp_path, solution_tokens=100, longest=2, start_seconds=0, disk_bandwidth=1e30, gpu_step_seconds=0.05
    )
    prompts = 2 * 3.9e8 * 1319 * 70 / 1e14
    assert work_of(decode_job(), sizes).seconds == pytest.approx(21 * 200 * 0.05 + prompts)
    assert work_of(decode_job(), sizes).tokens == 1319 * 100
    assert work_of(decode_job(samples="10"), sizes).seconds == pytest.approx(207 * 200 * 0.05 + prompts)
    # Two shards: half the questions each.
    assert work_of(decode_job(shards="2"), sizes).seconds == pytest.approx(11 * 200 * 0.05 + prompts / 2)


def test_guided_decoding_costs_more_with_more_candidates_and_without_beta_less(tmp_path: Path) -> None:
    sizes = sizes_of([], tmp_path)

    def seconds(**options: str) -> float:
        values = {"candidates": "20", "max-steps": "8", "max-step-tokens": "60", "beta": "0.7", "samples": "1"}
        return work_of(decode_job(**(values | options)), sizes).seconds

    assert seconds(candidates="10") < seconds()
    assert seconds(beta="0.0") < seconds() == seconds(beta="choose")
    assert seconds(samples="40") > 20 * seconds()
