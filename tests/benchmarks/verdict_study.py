"""Do verdicts survive attack? Clean reruns must not be refuted, and planted defects must be caught.

    python tests/benchmarks/verdict_study.py --folder study --cores 2

The measured result is GRACE on a cut of the tiny preset: the frozen tiny T5, a quickly trained discriminator, 300 test
questions. The reference has 20 seeds. 20 clean reruns, each with one seed of its own, are judged against it as 20 numbers of
a table; so are 20 planted defects, each the mean of five seeds, as a paper would print it. At most one clean rerun may come
out as not reproduced, and at least 18 defects must.

What is in --folder already is not computed again, so that a killed study goes on. The outcome is written to --output
(tests/benchmarks/verdict_study.json) with every number, so that it can be judged again with --judge alone.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measured_run import PROJECT

sys.path.insert(0, str(PROJECT / "scripts"))
from retrace.evaluation.result import Result, load_document
from retrace.evaluation.verdict import NOT_REPRODUCED, Number, decide, holm, predict
from retrace.machine.storage import read_jsonl
from retrace.schemas import Prediction
from retrace.tasks.base import Task
from retrace.tasks.load import load_task

OUTCOME = Path(__file__).with_suffix(".json")
REFERENCE, CLEAN, PLANTED = range(20), range(100, 120), range(200, 205)
METHOD, MODEL, TASK = "grace", "tiny_t5", "arithmetic"
MARGIN = 0.2  # shares; the cut is small, and the study is about being refuted
MOST_ALARMS, LEAST_CAUGHT = 1, 18
CUT: dict[str, Any] = {
    "preset": "tiny",
    "limits": {"test": 300, "dev": 100, "corpus": 30000},
    "base": {"max_steps": 1200},
    "sample": {"max_questions": 1000, "incorrect": 3000},
    "discriminator": {"max_steps": 400},
    "grace": {"beta": 0.5, "candidates": 6},
    "threads": {"train": 1, "sample": 1, "align": 1, "decode": 1},
}

Grade = Callable[[Task, Sequence[Prediction]], float]


@dataclass(frozen=True)
class Defect:
    """Something that is done wrong.

    set: options. files: further files of the run's config folder. method, task, model: what is measured in place of the
    right ones. grade: how predictions of clean runs are judged. shared: all runs have one seed.
    """

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    method: str = METHOD
    task: str = TASK
    model: str = MODEL
    grade: Grade | None = None
    shared: bool = False


def neighbours_gold(task: Task, rows: Sequence[Prediction]) -> float:
    """Answers held against the next question's reference."""
    golds = [row.gold for row in rows[1:]] + [rows[0].gold]
    texts = [row.samples[row.chosen].text for row in rows]
    return sum(task.grade(text, gold) for text, gold in zip(texts, golds, strict=True)) / len(rows)


def last_digit(task: Task, rows: Sequence[Prediction]) -> float:
    """A lenient grader: the last digit decides."""

    def digit(text: str | None) -> str:
        return (text or "").strip()[-1:]

    return sum(bool(digit(row.answer)) and digit(row.answer) == digit(row.gold) for row in rows) / len(rows)


def _own_task(old: str, new: str) -> str:
    """A copy of the task's YAML under the name `planted`, with one text replaced."""
    text = (PROJECT / "config/tasks/arithmetic.yaml").read_text(encoding="utf-8")
    assert old in text
    return text.replace("name: arithmetic", "name: planted").replace(old, new)


def _own_model(**sizes: object) -> str:
    scratch = {"width": 64, "layers": 3, "heads": 4, "feedforward": 128, "numbers": "whole"} | sizes
    return json.dumps({"name": "planted", "title": "planted", "family": "encoder_decoder", "scratch": scratch})


# The corpus that the generator was trained on, in place of the task's own questions.
OF_THE_CORPUS = "    seed: 13\n    settings: {unfamiliar: 0, min_clauses: 1, distractors: 0.25}\n"
WRONG_SPLIT = _own_task("    seed: 13\n", OF_THE_CORPUS)

DEFECTS = [
    Defect("beta_of_zero", {"grace": {"beta": 0.0}}),
    Defect("beta_of_one", {"grace": {"beta": 1.0}}),
    Defect("few_candidates", {"grace": {"candidates": 1}}),
    Defect("hot_candidates", {"grace": {"temperature": 3.0}}),
    Defect("one_step", {"grace": {"max_steps": 1}}),
    Defect("short_steps", {"grace": {"max_step_tokens": 4}}),
    Defect("without_the_calculator", method="grace_no_calculator"),
    Defect("greedy_called_grace", method="greedy"),
    Defect("small_batches", {"base": {"batch_size": 2, "device_batch_size": 2}}),
    Defect("low_learning_rate", {"base": {"learning_rate": 1.0e-4}}),
    Defect("stopped_early", {"base": {"max_steps": 300}}),
    Defect("noisy_corpus", {"base": {"noise": 0.6}}),
    Defect("untrained_discriminator", {"discriminator": {"max_steps": 1}}),
    Defect("no_margin", {"discriminator": {"margin": 0.0}}),
    Defect("other_tokenizer", files={"models/planted.yaml": _own_model(numbers="digits")}, model="planted"),
    Defect("narrow_model", files={"models/planted.yaml": _own_model(width=16, feedforward=32)}, model="planted"),
    Defect("wrong_split", files={"tasks/planted.yaml": WRONG_SPLIT}, task="planted"),
    Defect("lenient_grader", grade=last_digit),
    Defect("neighbours_reference", grade=neighbours_gold),
    Defect("seeds_shared", shared=True),
]


# ---------------------------------------------------------------- judging


def judged(reference: Sequence[float], numbers: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    """Each of the numbers, a mean of its runs, against the reference; all of them are one table."""
    predictions = []
    for runs in numbers:
        mean = sum(runs) / len(runs)
        spread = (sum((one - mean) ** 2 for one in runs) / (len(runs) - 1)) ** 0.5 if len(runs) > 1 else None
        predictions.append(predict(reference, Number(mean, len(runs), spread)))
    found = []
    for runs, prediction, adjusted in zip(
        numbers, predictions, holm([one.p_value for one in predictions if one]), strict=True
    ):
        one = decide(prediction, len(reference), MARGIN, adjusted=adjusted)
        assert prediction is not None
        found.append(
            {
                "runs": list(runs),
                "verdict": one.verdict,
                "because": one.because,
                "p": prediction.p_value,
                "p_holm": adjusted,
            }
        )
    return found


def outcome(
    reference: Sequence[float], clean: Mapping[str, Sequence[float]], planted: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    """The whole study from its numbers. A defect whose runs are one run over again is caught by their number."""
    shared = {name for name, runs in planted.items() if len(runs) < len(PLANTED)}
    verdicts = dict(zip(clean, judged(reference, list(clean.values())), strict=True))
    told = [name for name in planted if name not in shared]
    defects = dict(zip(told, judged(reference, [planted[name] for name in told]), strict=True))
    defects |= {
        name: {"runs": list(planted[name]), "verdict": "cannot tell", "because": "seeds gave the same predictions"}
        for name in shared
    }
    alarms = sum(one["verdict"] == NOT_REPRODUCED for one in verdicts.values())
    caught = sum(one["verdict"] == NOT_REPRODUCED or name in shared for name, one in defects.items())
    return {
        "reference": list(reference),
        "clean": verdicts,
        "planted": defects,
        "false_alarms": alarms,
        "caught": caught,
        "passed": alarms <= MOST_ALARMS and caught >= LEAST_CAUGHT,
    }


# ---------------------------------------------------------------- running


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Sections of later parts over those of earlier ones."""
    found: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            found[name] = {**found.get(name, {}), **value} if isinstance(value, Mapping) else value
    return found


def run(folder: Path, configuration: Mapping[str, Any], files: Mapping[str, str], target: str, cores: int) -> Path:
    """Make a target in a folder of its own; what is there stays."""
    for name, text in {"config.yaml": json.dumps(configuration), **files}.items():
        path = folder / "config" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile"), "--cores", str(cores)]
    done = subprocess.run([*command, target], cwd=folder, check=False)
    if done.returncode:
        sys.exit(
            f"{folder}: snakemake ended with status {done.returncode}; see {folder}/.snakemake/log, and start again"
        )
    return folder / target


def accuracies(path: Path) -> list[float]:
    """The accuracy of each seed with predictions of its own."""
    result = load_document(path, Result)
    own = result.seeds if result.independent_seeds is None else result.independent_seeds
    return [row.accuracy for row in result.per_seed if row.seed in own]


def runs_with(defect: Defect, folder: Path, clean: Path, cores: int) -> list[float]:
    """The accuracies of a defect's runs. clean: the folder of clean runs with the same seeds."""
    target = f"results/{defect.task}/{defect.model}/{defect.method}_acc.json"
    if defect.grade is not None:
        task = load_task(PROJECT / "config/tasks/arithmetic.yaml")
        paths = sorted(clean.glob(f"results/{TASK}/{MODEL}/seed*/base/{METHOD}/test.jsonl"))
        return [defect.grade(task, read_jsonl(path, Prediction)) for path in paths]
    if defect.shared:
        return accuracies(_with_one_model(folder, clean, target))
    if not folder.exists() and not defect.files:
        # What the defect leaves as it is was made already.
        shutil.copytree(clean, folder, symlinks=True)
    return accuracies(run(folder, merged(CUT, {"seeds": list(PLANTED)}, defect.set), defect.files, target, cores))


def _with_one_model(folder: Path, clean: Path, target: str) -> Path:
    """The result of runs whose predictions are all those of the first seed."""
    import score_method

    first = clean / f"results/{TASK}/{MODEL}/seed{PLANTED[0]}/base/{METHOD}/test.jsonl"
    paths = [folder / f"seed{seed}.jsonl" for seed in PLANTED]
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        shutil.copyfile(first, path)
    words = [
        "--task-file",
        PROJECT / "config/tasks/arithmetic.yaml",
        "--model-file",
        PROJECT / f"config/models/{MODEL}.yaml",
    ]
    words += ["--method", METHOD, "--checkpoint", "base", "--decoder", METHOD, "--split", "test", "--preset", "tiny"]
    words += ["--papers", PROJECT / "config/papers", "--data", clean / f"results/data/{TASK}/test.jsonl"]
    words += ["--predictions", *paths, "--seeds", *PLANTED, "--output", folder / "out.json"]
    score_method.main([str(word) for word in words])
    return folder / "out.json"


def study(folder: Path, cores: int) -> dict[str, Any]:
    """All runs, and what is found."""
    target = f"results/{TASK}/{MODEL}/{METHOD}_acc.json"

    def clean_runs(name: str, seeds: Sequence[int]) -> Path:
        return run(folder / name, merged(CUT, {"seeds": list(seeds)}), {}, target, cores)

    reference = accuracies(clean_runs("reference", REFERENCE))
    clean = {str(seed): [one] for seed, one in zip(CLEAN, accuracies(clean_runs("clean", CLEAN)), strict=True)}
    clean_runs("before_defects", PLANTED)
    planted = {
        defect.name: runs_with(defect, folder / defect.name, folder / "before_defects", cores) for defect in DEFECTS
    }
    return outcome(reference, clean, planted)


def judge_again(path: Path) -> dict[str, Any]:
    """The outcome of a study from the numbers that are in it."""
    old = json.loads(path.read_text(encoding="utf-8"))
    clean, planted = ({name: one["runs"] for name, one in old[part].items()} for part in ("clean", "planted"))
    return outcome(old["reference"], clean, planted)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--folder", type=Path, default=Path("verdict_study"), help="of the runs (default: verdict_study)"
    )
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTCOME)
    parser.add_argument("--judge", type=Path, help="run nothing: judge the numbers of this outcome again")
    args = parser.parse_args(arguments)
    found = judge_again(args.judge) if args.judge else study(args.folder.resolve(), args.cores)
    args.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    missed = [name for name, one in found["planted"].items() if one["verdict"] == "reproduced"]
    print(
        f"{found['false_alarms']} of {len(found['clean'])} clean reruns refuted, {found['caught']} of "
        f"{len(found['planted'])} defects caught" + (f"; missed: {', '.join(missed)}" if missed else "")
    )
    sys.exit(0 if found["passed"] else 1)


if __name__ == "__main__":
    main()
