"""The result document, as score_method.py writes it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import score_method
from retrace.errors import UserError
from retrace.evaluation.cost import benchmark_files, read_benchmarks
from retrace.evaluation.intervals import wilson
from retrace.evaluation.reported import find_row, judge, load_paper, load_papers
from retrace.evaluation.result import Result, load_document, made_from
from retrace.machine.storage import timing_path, write_json, write_jsonl
from retrace.models.options import load_model_config
from retrace.schemas import SamplingCounts
from retrace.tasks.load import load_task
from retrace.tasks.options import Source
from retrace.workflow.sections_behind import differences
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG, examples, prediction, write_task

GSM8K = load_task(CONFIG / "tasks/gsm8k.yaml").config
FLAN = load_model_config(CONFIG / "models/flan_t5_large.yaml")
TINY = load_model_config(CONFIG / "models/tiny_t5.yaml")
LLAMA = load_model_config(CONFIG / "models/llama_7b.yaml")


def score(root: Path, paths: list[Path], **changes: Any) -> dict[str, Any]:
    """Run the script; `changes` replace options, a list gives several words."""
    options: dict[str, Any] = {
        "task-file": CONFIG / "tasks/gsm8k.yaml",
        "model-file": CONFIG / "models/tiny_t5.yaml",
        "method": "greedy",
        "checkpoint": "sft",
        "decoder": "greedy",
        "split": "test",
        "predictions": paths,
        "seeds": list(range(len(paths))),
        "papers": CONFIG / "papers",
        "method-names": ["Greedy decoding"],
        "preset": "tiny",
        "output": root / "out.json",
    } | {key.replace("_", "-"): value for key, value in changes.items()}
    words = []
    for name, value in options.items():
        words += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    score_method.main(words)
    return json.loads((root / "out.json").read_text())


# ---------------------------------------------------------------- the document


def test_one_seed(tmp_path: Path) -> None:
    found = score(tmp_path, write_task(tmp_path, [[True] * 3 + [False] * 7]))
    assert found["accuracy"] == {
        "value": 0.3,
        "low": pytest.approx(wilson(3, 10)[0]),
        "high": pytest.approx(wilson(3, 10)[1]),
        "interval": "wilson",
    }
    assert (found["n"], found["seeds"], found["samples"]) == (10, [0], 1)
    assert found["invalid_share"] == 0.7
    assert found["maj_at_k"] == found["pass_at_k"] == []
    assert found["cost"]["generated_tokens"] == 70
    assert found["cost"]["questions_per_second"] == 2.0
    assert found["cost"]["wall_seconds"] is None
    assert found["cost"]["gpu_seconds"] == 0
    assert "a small model of this project, not a paper's" in found["made_from"]


def test_several_seeds_are_averaged_and_kept(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True] * 6 + [False] * 4, [True] * 2 + [False] * 8])
    # Files and seeds may be given in any order, as long as it is the same.
    found = score(tmp_path, paths[::-1], seeds=[1, 0])
    assert found["accuracy"]["value"] == pytest.approx(0.4)
    assert found["accuracy"]["interval"] == "cluster_bootstrap"
    assert [(row["seed"], row["accuracy"]) for row in found["per_seed"]] == [(0, 0.6), (1, 0.2)]


def test_samples_give_maj_and_pass_at_k(tmp_path: Path) -> None:
    (path,) = write_task(tmp_path, [[True] * 4], "self_consistency")
    rows = [prediction(row, [index == 0, index < 2, False, False]) for index, row in enumerate(examples(4))]
    write_jsonl(path, rows)
    found = score(tmp_path, [path], decoder="self_consistency")
    assert found["samples"] == 4
    assert [point["k"] for point in found["pass_at_k"]] == [1, 2, 4]
    # Question 0 has 2 right of 4, question 1 has 1 of 4: pass@2 = (1 - 1/6 + 1/2) / 4
    assert found["pass_at_k"][1]["value"] == pytest.approx((5 / 6 + 1 / 2) / 4)
    assert found["maj_at_k"][2]["value"] == pytest.approx(0.5)


def test_time_that_was_not_measured_is_left_out(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True, False], [True, True]])
    found = score(tmp_path, paths, seeds=[0, 1])
    assert found["cost"]["prediction_seconds"] == 2.0
    assert [row["seconds"] for row in found["per_seed"]] == [1.0, 1.0]
    timing_path(paths[0]).unlink()
    found = score(tmp_path, paths, seeds=[0, 1])
    assert found["cost"]["prediction_seconds"] is None
    assert found["cost"]["questions_per_second"] is None
    assert [row["seconds"] for row in found["per_seed"]] == [None, 1.0]
    timing_path(paths[0]).write_text('{"questions":2}\n')
    with pytest.raises(UserError, match=r"test\.timing\.jsonl:1: seconds"):
        score(tmp_path, paths, seeds=[0, 1])


def test_provenance_holds_what_the_result_rests_on(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True, False]])
    configuration = Settings({"preset": "tiny"}, CONFIG).for_target("gsm8k", "tiny_t5").model_dump(mode="json")
    found = score(tmp_path, paths, configuration=json.dumps(configuration))["provenance"]
    assert found["data"]["sources"] == ["https://example.org/data@1"]
    assert found["files"][0]["path"] == str(paths[0])
    assert set(found["configuration"]["values"]) == {"preset", "seeds", "limits", "base", "sft", "greedy"}
    assert "pydantic" in found["versions"]


def test_what_sampling_found_stands_in_the_result(tmp_path: Path) -> None:
    files = []
    for seed in range(2):
        parts = [
            SamplingCounts(
                questions=5, passes=3, drawn=60, drawn_correct=20, unique=40, unique_incorrect=30 + seed,
                wanted_incorrect=50, reached=False,
            )
        ] * 3  # fmt: skip
        files.append(tmp_path / f"seed{seed}.counts.jsonl")
        write_jsonl(files[-1], parts)
    predictions = write_task(tmp_path, [[True] * 4, [False] * 4])
    found = score(tmp_path, predictions, sampling=files)["sampling"]
    assert found == [
        {"seed": seed, "questions": 15, "drawn": 180, "wrong_wanted": 150, "wrong_found": 90 + 3 * seed}
        for seed in range(2)
    ]
    with pytest.raises(UserError, match="--sampling names 1 files and --seeds 2 seeds"):
        score(tmp_path, predictions, sampling=files[:1])


def test_every_field_is_kept_when_the_document_is_read_again(tmp_path: Path) -> None:
    score(tmp_path, write_task(tmp_path, [[True, False]]))
    document = load_document(tmp_path / "out.json", Result)
    assert document.model_dump(mode="json") == json.loads((tmp_path / "out.json").read_text())
    write_json(tmp_path / "old.json", {"kind": "result", "accuracy": 0.3})
    with pytest.raises(UserError, match=r"old\.json: .*not a Result document"):
        load_document(tmp_path / "old.json", Result)


# ---------------------------------------------------------------- predictions that do not belong


def replace_row(path: Path, number: int, **changes: Any) -> None:
    lines = path.read_text().splitlines()
    lines[number] = json.dumps(json.loads(lines[number]) | changes)
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"example_id": "q0"}, r"test\.jsonl:3: question 'q0' comes twice"),
        ({"example_id": "train/9"}, r"test\.jsonl:3: question 'train/9' is not in"),
        ({"question": "Another?"}, r"test\.jsonl:3: the text of question 'q2' differs"),
        ({"chosen": 1}, r"test\.jsonl:3: chosen 1 of 1 samples"),
        ({"samples": []}, r"test\.jsonl:3: samples"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    (path,) = write_task(tmp_path, [[True] * 4])
    replace_row(path, 2, **changes)
    with pytest.raises(UserError, match=message):
        score(tmp_path, [path])
    assert not (tmp_path / "out.json").exists()


def test_seeds_with_other_questions_are_refused(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True] * 4, [True] * 4])
    paths[1].write_text("".join(paths[1].read_text().splitlines(keepends=True)[:3]))
    with pytest.raises(UserError, match=r"seed1.*1 of the 4 questions .* missing \(first 'q3'\)"):
        score(tmp_path, paths)


def test_files_and_seeds_must_match(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True] * 4, [True] * 4])
    with pytest.raises(UserError, match="2 files and --seeds 1"):
        score(tmp_path, paths, seeds=[0])
    with pytest.raises(UserError, match="seed 0 is given twice"):
        score(tmp_path, paths, seeds=[0, 0])
    with pytest.raises(UserError, match="one file is given twice"):
        score(tmp_path, [paths[0], paths[0]])


def test_the_split_must_be_the_tasks_own(tmp_path: Path) -> None:
    paths = write_task(tmp_path, [[True] * 4])
    with pytest.raises(UserError, match="--split 'final'"):
        score(tmp_path, paths, split="final")
    write_jsonl(tmp_path / "data/gsm8k/test.jsonl", examples(4, split="train"))
    with pytest.raises(UserError, match="is of split 'train', not 'test'"):
        score(tmp_path, paths)
    (tmp_path / "data/gsm8k/test.jsonl").unlink()
    with pytest.raises(UserError, match="name the split with --data"):
        score(tmp_path, paths)


# ---------------------------------------------------------------- the paper's number


PAPERS = load_papers(CONFIG / "papers")


def verdict(
    accuracies=(0.335, 0.34, 0.345), task=GSM8K, model=FLAN, checkpoint="sft", n=1319, preset="paper", changed=()
):
    found = find_row(PAPERS, task.paper_names, model.paper_names, ["GRACE"], "test")
    assert found is not None
    return judge(found, accuracies, task, model, checkpoint, "test", n, preset, changed)


def test_the_papers_own_run_gets_a_verdict() -> None:
    found = verdict()
    assert (found.percent, found.value, found.model) == (34.3, 0.343, "FLAN-T5-Large (fine-tuned)")
    assert found.comparable
    assert found.verdict == "reproduced"
    assert found.prediction is not None
    assert found.prediction.low < 0.343 < found.prediction.high
    assert verdict([0.395, 0.4, 0.405]).verdict == "not reproduced"
    assert verdict([0.34, 0.342]).verdict == verdict([0.343]).verdict == "cannot tell"
    assert verdict([0.3, 0.34, 0.38]).because.endswith("6 are the most that confirm a number")
    assert verdict(model=LLAMA, checkpoint="base").percent == 16.2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": TINY}, "this is tiny_t5"),
        ({"checkpoint": "base"}, "this is the checkpoint base"),
        ({"n": 200}, "200 questions were answered, the test set has 1319"),
        ({"changed": ["grace.beta"]}, r"grace\.beta"),
        ({"changed": None, "preset": "tiny"}, "the preset is tiny"),
        (
            {"task": GSM8K.model_copy(update={"splits": {"test": Source(file="mine.jsonl")}})},
            "the questions are not the paper's file",
        ),
    ],
)
def test_anything_else_is_shown_but_not_judged(changes: dict[str, Any], reason: str) -> None:
    found = verdict(**changes)
    assert not found.comparable
    assert found.verdict == "cannot tell"
    assert found.because.startswith("not comparable: ")
    assert re.search(reason, found.because)
    assert "interval" not in found.because


def test_a_document_with_a_verdict_of_earlier_versions_is_judged_again(tmp_path: Path) -> None:
    now = score(tmp_path, write_task(tmp_path, [[True] * 3 + [False] * 7, [True] * 4 + [False] * 6, [False] * 10]))
    assert (now["reported"]["verdict"], now["reported"]["prediction"]["seeds"]) == ("cannot tell", 3)
    new = {"because", "prediction", "margin", "runs"}

    def read_again(**old: object) -> Any:
        reported = {key: value for key, value in now["reported"].items() if key not in new}
        write_json(tmp_path / "old.json", now | {"reported": reported | old})
        return load_document(tmp_path / "old.json", Result).reported

    there = read_again(verdict="not comparable because this is tiny_t5", comparable=False)
    assert (there.verdict, there.because) == ("cannot tell", "not comparable: this is tiny_t5")
    inside = read_again(verdict="inside our 95 % interval", comparable=True)
    assert "points wide" in inside.because
    assert inside.prediction.mean == pytest.approx(0.7 / 3)


def test_a_model_that_the_paper_lacks_stands_beside_the_headline_model() -> None:
    found = find_row(PAPERS, ["GSM8K"], [], ["GRACE w/ self-consistency"], "test")
    assert found is not None
    assert (found[1].model, found[1].value) == ("FLAN-T5-Large (fine-tuned)", 36.3)
    only = find_row(PAPERS, ["MultiArith"], [], ["GRACE"], "test")
    assert only is not None
    assert only[1].model.startswith("LLaMA-7B")


def test_no_number_for_what_the_paper_did_not_measure() -> None:
    assert find_row(PAPERS, [], [], ["GRACE"], "test") is None
    assert find_row(PAPERS, ["GSM8K"], [], [], "test") is None
    # Table 2 holds judgements of prefixes, not accuracies.
    assert find_row(PAPERS, ["GSM8K"], [], ["Greedy decode"], "test") is None


def test_differences_from_the_papers_preset_are_named() -> None:
    paper = Settings({"preset": "paper"}, CONFIG).for_target("gsm8k", "flan_t5_large").model_dump(mode="json")
    ours = Settings({"preset": "paper", "grace": {"beta": 0.1, "batch_size": 7}}, CONFIG)
    ours = ours.for_target("gsm8k", "flan_t5_large").model_dump(mode="json")
    sections = ["sft", "sample", "align", "pair", "discriminator", "grace"]
    assert differences(paper, paper, sections) == []
    assert differences(ours, paper, sections) == ["grace.beta"]  # the batch size does not change the output
    assert differences(ours, paper, ["sft", "greedy"]) == []
    # What a result rests on comes without the options that change none.
    del ours["sft"]["save_minutes"]
    assert differences(ours, paper, sections) == ["grace.beta"]


def test_the_papers_numbers_are_there_with_their_sources() -> None:
    paper = load_paper(CONFIG / "papers/grace.yaml")
    table = [row for row in paper.rows if row.table == "Table 1"]
    assert len(table) == 30
    assert {row.source_kind for row in table} == {"primary"}
    assert len([row for row in paper.rows if row.source_kind == "figure-digitised"]) == 28
    assert all(paper.checkpoints[row.model] in ("sft", "base") for row in paper.rows)


def test_a_paper_file_without_its_source_is_refused(tmp_path: Path) -> None:
    text = (CONFIG / "papers/latro.yaml").read_text()
    (tmp_path / "latro.yaml").write_text(text.replace("source: v2, ", "source: v9, ", 1))
    with pytest.raises(UserError, match=r"rows\.0: source 'v9' is not among"):
        load_paper(tmp_path / "latro.yaml")


def test_made_from_tells_models_and_data_apart() -> None:
    arithmetic = load_task(CONFIG / "tasks/arithmetic.yaml").config
    scratch = made_from(arithmetic, TINY, "test", None, "base", 10)
    assert "not a paper's" in scratch
    assert "generated data (arithmetic, seed" in scratch
    hub = made_from(GSM8K, FLAN, "test", "abc", "sft", 1319)
    assert "Hub model google/flan-t5-large, revision abc, checkpoint sft" in hub
    assert "https://" in hub


# ---------------------------------------------------------------- costs

HEADER = "s\th:m:s\tmax_rss\tmax_vms\n"


def test_benchmarks_are_summed_and_missing_ones_counted(tmp_path: Path) -> None:
    (tmp_path / "greedy").mkdir()
    for name, line in {
        "sft.tsv": "10.5\t0:00:10\t900.0\t1",
        "greedy/test_0.tsv": "2\t0:00:02\t1200.5\t1",
        "greedy/test_1.tsv": "3\t0:00:03\t-\tNA",
        "greedy/dev_0.tsv": "100\t0:01:40\t5000\t1",
    }.items():
        (tmp_path / name).write_text(HEADER + line + "\n")
    names = [tmp_path / "sft.tsv", f"{tmp_path}/greedy/test_{{0..2}}.tsv", tmp_path / "base.tsv", tmp_path / "sft.tsv"]
    files, missing = benchmark_files(names)
    assert [file.name for file in files] == ["sft.tsv", "test_0.tsv", "test_1.tsv"]
    assert [file.name for file in missing] == ["test_2.tsv", "base.tsv"]
    assert read_benchmarks(files, 1) == (15.5, 15.5, 1200.5)
    assert read_benchmarks(files, None) == (15.5, None, 1200.5)


def test_a_result_says_which_of_its_costs_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_task(tmp_path, [[True] * 10])
    (tmp_path / "sft.tsv").write_text(HEADER + "10\t0:00:10\t900.0\t1\n")
    found = score(tmp_path, paths, costs=[str(tmp_path / "sft.tsv"), f"{tmp_path}/shard_{{0..1}}.tsv"])
    assert (found["cost"]["jobs"], found["cost"]["unrecorded"], found["cost"]["wall_seconds"]) == (1, 2, 10)
    assert "2 of 3 benchmark records are missing" in capsys.readouterr().err


def test_benchmarks_without_measurement_or_form(tmp_path: Path) -> None:
    assert read_benchmarks([], 0) == (None, 0, None)
    assert read_benchmarks([], 1) == (None, None, None)
    empty = tmp_path / "short.tsv"
    empty.write_text(HEADER + "nan\t-\tNA\t\n")
    assert read_benchmarks([empty], 1) == (None, None, None)
    empty.write_text("")
    assert read_benchmarks([empty], 1) == (None, None, None)
    empty.write_text("a\tb\n1\t2\n")
    with pytest.raises(UserError, match="no benchmark file of Snakemake"):
        read_benchmarks([empty], 1)


def test_gpu_seconds_are_those_of_each_job(tmp_path: Path) -> None:
    """A training on two nodes of four GPUs and a decoding on one."""
    for name, seconds, resources in (("sft", 10, "{'gpus': 4, 'nodes': 2}"), ("decode", 5, "{'gpus': 1, 'mem_mb': 9}")):
        (tmp_path / f"{name}.tsv").write_text(f"s\tmax_rss\tresources\n{seconds}\t1\t{resources}\n")
    assert read_benchmarks([tmp_path / "sft.tsv", tmp_path / "decode.tsv"], 1) == (15, 85, 1)
    (tmp_path / "sft.tsv").write_text("s\tmax_rss\tresources\n10\t1\t{'gpus'\n")
    with pytest.raises(UserError, match=r"sft\.tsv: malformed settings"):
        read_benchmarks([tmp_path / "sft.tsv"], 1)


def test_what_a_training_left_out_stands_in_the_result(tmp_path: Path) -> None:
    predictions = write_task(tmp_path, [[True] * 4, [False] * 4])
    reports = [tmp_path / "one.json", tmp_path / "two.json"]
    write_json(reports[0], {"note": None})
    write_json(reports[1], {"note": "the pair was not trained together"})
    found = score(tmp_path, predictions, reports=reports)
    assert found["checkpoint_notes"] == [{"seed": 1, "note": "the pair was not trained together"}]
    assert found["made_from"].endswith(". Seed 1: the pair was not trained together")
    assert found["checkpoint_choice"] == []
    write_json(reports[1], {"note": None})
    assert "checkpoint_notes" not in score(tmp_path, predictions, reports=reports)
    write_json(reports[1], {"note": 3})
    with pytest.raises(UserError, match=r"two.json: not a report of a training"):
        score(tmp_path, predictions, reports=reports)
