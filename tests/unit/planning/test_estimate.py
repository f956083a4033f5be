"""What an estimate rests on and how sure it says it is, and what the report adds up."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest

import estimate_cost
import report_cost
from retrace.errors import UserError
from retrace.machine.storage import read_json
from retrace.planning.assumptions import Assumptions
from retrace.planning.estimate import estimate, same_settings
from retrace.planning.jobs import Job
from retrace.planning.records import read_records
from retrace.planning.spent import files_by_rule, report, written_by
from retrace.planning.tables import count, duration, hours, report_lines, size
from retrace.planning.work import Costing, work_of
from unit.planned_jobs import sft_job, sizes_of, write_record

# ---------------------------------------------------------------- estimates


def test_without_records_the_configuration_alone_speaks(tmp_path: Path) -> None:
    jobs = [sft_job(seed) for seed in range(5)]
    found = estimate(["x"], jobs, [], sizes_of(jobs, tmp_path, factor=3))
    (row,) = found.rules
    (source,) = row.sources
    assert (source.kind, source.jobs, source.factor) == ("formula", 5, 3)
    assert row.gpu_hours.high == pytest.approx(3 * row.gpu_hours.likely)
    assert row.gpu_hours.low == pytest.approx(row.gpu_hours.likely / 3)
    assert found.gpu_hours_limit == 60
    assert found.measured_share == 0
    assert found.disk_bytes == 5 * 4 * 7.8e8


def test_the_same_job_with_another_seed_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = [sft_job(seed) for seed in (2, 3)]
    for seed, seconds in ((0, 3600.0), (1, 7200.0)):
        write_record(tmp_path / "benchmarks", sft_job(seed), seconds)
    found = estimate(["x"], jobs, read_records("benchmarks"), sizes_of(jobs, tmp_path))
    (row,) = found.rules
    assert [(source.kind, source.jobs, source.records) for source in row.sources] == [("measured", 2, 2)]
    assert (row.gpu_hours.low, row.gpu_hours.likely, row.gpu_hours.high) == pytest.approx((2, 3, 4))
    assert row.cpu_hours.likely == pytest.approx(1.5)
    assert found.measured_share == 1
    # What a measured seed left on disk is what the next one will.
    model = tmp_path / "results/gsm8k/flan_t5_large/seed1/sft/model"
    model.mkdir(parents=True)
    (model / "weights").write_bytes(b"x" * 1000)
    found = estimate(["x"], jobs, read_records("benchmarks"), sizes_of(jobs, tmp_path))
    assert found.disk_bytes == 2000


def test_one_measurement_is_less_sure_than_two_and_a_record_without_settings_even_less(tmp_path: Path) -> None:
    jobs = [sft_job(1)]
    factors = []
    for extended in (True, False):
        write_record(tmp_path / "benchmarks", sft_job(0), 3600.0, extended)
        found = estimate(["x"], jobs, read_records(tmp_path / "benchmarks"), sizes_of(jobs, tmp_path))
        (source,) = found.rules[0].sources
        assert (source.kind, found.gpu_hours.likely) == ("measured", pytest.approx(1))
        factors.append(source.factor)
    assert factors == [1.25, 2.0]
    assert source.note == "settings not recorded"


@pytest.mark.parametrize("planned", [sft_job(1, epochs="4"), sft_job(0, task="svamp")], ids=["setting", "task"])
def test_another_setting_or_task_scales_the_formula_by_what_was_measured(tmp_path: Path, planned: Job) -> None:
    sizes = sizes_of([planned], tmp_path)
    formula = work_of(sft_job(0), sizes).seconds
    write_record(tmp_path / "benchmarks", sft_job(0), 2 * formula)
    # The record read 1 MB of rows, as the task file's number of them is.
    (record,) = read_records(tmp_path / "benchmarks")
    ratio = record.seconds / work_of(record.job, sizes).seconds
    found = estimate(["x"], [planned], [record], sizes)
    (source,) = found.rules[0].sources
    assert source.kind == "scaled"
    assert found.gpu_hours.likely == pytest.approx(ratio * work_of(planned, sizes).seconds / 3600)
    assert source.factor >= 2


def test_what_only_a_model_card_tells_makes_no_other_settings() -> None:
    job = sft_job()
    told = {"checkpoint": "dpo_st_round1", "system": "dpo_st", "preset": "tiny"}
    first, second = (replace(job, options={**job.options, **told, **more}) for more in ({}, {"preset": "small"}))
    assert same_settings(first, second)
    assert same_settings(first, replace(second, options={**second.options, "checkpoint": "dpo_st_round2"}))
    assert not same_settings(first, replace(second, options={**second.options, "epochs": "7"}))


def test_a_processor_is_no_measure_for_a_gpu(tmp_path: Path) -> None:
    write_record(tmp_path / "benchmarks", sft_job(0, gpus=0), 3600.0)
    jobs = [sft_job(1)]
    found = estimate(["x"], jobs, read_records(tmp_path / "benchmarks"), sizes_of(jobs, tmp_path))
    assert found.rules[0].sources[0].kind == "formula"


def test_inputs_that_will_be_made_otherwise_are_no_repetition(tmp_path: Path) -> None:
    """The sampled file that alignment reads comes from a job whose settings changed: its record is scaled, not repeated."""
    wildcards = {"task": "gsm8k", "model": "tiny_t5", "seed": "1", "generator": "sft"}
    folder = "results/gsm8k/tiny_t5/seed1/sft_discriminator"

    def pair(incorrect: str) -> list[Job]:
        sample = Job(
            "sample_trajectories",
            {**wildcards, "shard": "0"},
            {"incorrect": incorrect, "shards": "1"},
            output=[f"{folder}/trajectories.jsonl"],
            benchmark="benchmarks/gsm8k/tiny_t5/seed1/sft_discriminator/sample/0.tsv",
        )
        align = Job(
            "align_steps",
            wildcards,
            {"embedder": "minilm"},
            input=[f"{folder}/trajectories.jsonl"],
            output=[f"{folder}/alignments.jsonl"],
            benchmark="benchmarks/gsm8k/tiny_t5/seed1/sft_discriminator/align.tsv",
        )
        return [sample, align]

    for job in pair("1000"):
        write_record(tmp_path / "benchmarks", job, 50.0)
    records = read_records(tmp_path / "benchmarks")
    for incorrect, kind in (("1000", "measured"), ("9000", "scaled")):
        jobs = pair(incorrect)
        found = estimate(["x"], jobs, records, sizes_of(jobs, tmp_path))
        assert {row.rule: row.sources[0].kind for row in found.rules} == dict.fromkeys([job.rule for job in jobs], kind)


def test_a_judge_costs_what_its_backbone_does(tmp_path: Path) -> None:
    wildcards = {"task": "gsm8k", "model": "gpt2", "seed": "0", "generator": "sft"}
    folder = "results/gsm8k/gpt2/seed0/sft_discriminator/model"

    def judge(**options: str) -> Job:
        return Job("train_discriminator", wildcards, options, output=[folder])

    def size(job: Job, option: str = "backbone", *others: Job) -> float:
        return Costing(job, sizes_of([job, *others], tmp_path)).encoder(option).parameters

    whole = size(judge(backbone="generator", layers="-1"))
    assert whole == sizes_of([], tmp_path).model("gpt2").parameters
    assert size(judge(backbone="generator", layers="3")) == pytest.approx(whole / 4, rel=0.01)
    assert size(judge(backbone="generator", layers="99")) == whole
    minilm = judge(backbone="minilm", layers="-1")
    assert size(minilm) == pytest.approx(1.1e7, rel=0.05)
    decode = Job("decode", wildcards, {"discriminator": folder})
    assert size(decode, "discriminator", minilm) == size(minilm)
    assert size(decode, "discriminator") == whole


def test_a_rule_without_formula_and_record_is_counted_and_not_estimated(tmp_path: Path) -> None:
    jobs = [Job("train_something_new", {"seed": "0"}, {}, gpus=1, benchmark="benchmarks/new.tsv"), sft_job()]
    found = estimate(["x"], jobs, [], sizes_of(jobs, tmp_path))
    assert found.unknown_jobs == 1
    assert found.jobs == 2
    row = next(row for row in found.rules if row.rule == "train_something_new")
    assert (row.gpu_hours.likely, row.sources[0].kind, row.sources[0].factor) == (0, "unknown", None)
    assert found.gpu_hours_limit is None


# ---------------------------------------------------------------- what was spent


def test_the_report_sums_records_and_files_by_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "benchmarks", sft_job(0), 100.0)
    write_record(tmp_path / "benchmarks", sft_job(1, gpus=2), 50.0)
    for name, content in (
        ("sft/model/weights", "x" * 300),
        ("sft/state/state", "x" * 40),
        ("sft/greedy/test.jsonl", "x" * 5),
    ):
        file = tmp_path / "results/gsm8k/flan_t5_large/seed0" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    outputs = {"results/gsm8k/flan_t5_large/seed0/sft/model": "train_sft"}
    outputs["results/gsm8k/flan_t5_large/seed0/sft/greedy/test.jsonl"] = "gather_predictions"
    files = files_by_rule(outputs)
    assert files == {"train_sft": (300, 1), "(no rule)": (40, 1), "gather_predictions": (5, 1)}
    assert files_by_rule(outputs, only=list(outputs)[:1]) == {"train_sft": (300, 1)}
    found = report([], read_records("benchmarks"), files)
    row = found.rules[0]
    assert (row.rule, row.jobs, row.wall_seconds, row.longest_seconds) == ("train_sft", 2, 150, 100)
    assert (row.cpu_seconds, row.gpu_seconds, row.peak_memory_mb) == (75, 200, 900.5)
    assert (found.disk_bytes, found.gpu_seconds) == (345, 200)
    write_record(tmp_path / "benchmarks", sft_job(0), 100.0, extended=False)
    lines = report_lines(report([], read_records("benchmarks"), files))
    assert "1 records do not say how many GPUs" in lines[-1]


def test_snakemake_remembers_which_rule_wrote_a_file(tmp_path: Path) -> None:
    """Its records are named by the output's path, in base64; names that are too long for a file are cut into folders."""
    metadata, long = tmp_path / "metadata", "results/" + "x" * 300
    names = [base64.urlsafe_b64encode(name.encode()).decode() for name in ("results/a", long, "results/half")]
    (metadata / f"@{names[1][:254]}").mkdir(parents=True)
    (metadata / names[0]).write_text('{"rule": "one"}')
    (metadata / f"@{names[1][:254]}" / names[1][254:]).write_text('{"rule": "two"}')
    (metadata / names[2]).write_text('{"rule": ')
    assert written_by(tmp_path) == {"results/a": "one", long: "two"}
    assert written_by(tmp_path / "nothing") == {}


def test_numbers_are_readable() -> None:
    assert [hours(value) for value in (0, 0.0123, 1.25, 12.3, 1234)] == ["0", "0.012", "1.2", "12", "1,234"]
    assert [count(value) for value in (0, 12, 999.6, 54e9)] == ["0", "12", "1.0 k", "54 G"]
    assert [size(value) for value in (0, 999, 1e3, 3.6e9, 5e15)] == ["0 B", "999 B", "1.0 kB", "3.6 GB", "5000 TB"]
    assert [duration(value) for value in (None, 3.14, 75, 3661)] == ["-", "3.1 s", "0:01:15", "1:01:01"]


# ---------------------------------------------------------------- the programs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a configuration and nothing else."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config/config.yaml").write_text("preset: paper\n")
    return tmp_path


def test_the_program_estimates_in_an_empty_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = "results/gsm8k/flan_t5_large/greedy_acc.json"
    estimate_cost.main([target, "--config", "seeds=[0,1]", "mirror=/nowhere", "--json", "cost.json", "--factor", "5"])
    shown = capsys.readouterr().out
    assert "train_sft" in shown
    assert "configuration only, factor 5" in shown
    found = read_json("cost.json")
    counts = {row["rule"]: row["jobs"] for row in found["rules"]}
    shards = 4
    expected = {"train_sft": 2, "decode": 2 * shards, "gather_predictions": 2, "score_method": 1, "fetch_model": 1}
    assert counts == expected | {"prepare_data": 3}
    assert found["gpu_hours"]["likely"] > 0
    assert found["assumptions"]["factor"] == 5
    assert not (folder / "results").exists()


def test_a_model_from_a_package_is_downloaded_small_and_kept_whole(tmp_path: Path) -> None:
    job = Job("fetch_model", {"model": "smollm2_135m_q4_1"}, {})
    sizes = sizes_of([job], tmp_path)
    found = work_of(job, sizes)
    assert found.seconds == pytest.approx(0.75 * 1.35e8 / Assumptions().download_bandwidth)
    assert found.disk == pytest.approx((0.75 + 4) * 1.35e8)
    hub = work_of(Job("fetch_model", {"model": "smollm2_135m"}, {}), sizes)
    assert hub.disk == pytest.approx(4 * 1.35e8)


@pytest.mark.usefixtures("folder")
def test_the_programs_refuse_what_they_cannot_read() -> None:
    for program in (estimate_cost.main, report_cost.main):
        with pytest.raises(UserError, match="'gsm9k' is unknown; did you mean 'gsm8k'"):
            program(["results/gsm9k/grace_acc.json"])
        with pytest.raises(UserError, match="results/gsm8k/nothing: there is no such result; those of a task are"):
            program(["results/gsm8k/nothing"])
        with pytest.raises(UserError, match="no such folder"):
            program(["results/gsm8k/grace_acc.json", "--workflow-profile", "profiles/nowhere"])
        with pytest.raises(UserError, match="no such folder"):
            program(["--benchmarks", "nowhere"])
    with pytest.raises(UserError, match=r"--gpu-flops '-3'"):
        estimate_cost.main(["results/gsm8k/grace_acc.json", "--gpu-flops", "-3"])


@pytest.mark.usefixtures("folder")
def test_the_report_of_an_empty_folder_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    report_cost.main([])
    assert "nothing measured" in capsys.readouterr().out
