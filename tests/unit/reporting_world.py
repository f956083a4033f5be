"""A results folder with every kind of document, for the tests of the report."""

import base64
import json
import math
import os
from pathlib import Path

import compare_methods
import make_table
import score_method
from retrace.evaluation.candidates import digest_of_prediction, write_candidates
from retrace.evaluation.predictions import write_predictions
from retrace.evaluation.rounds import RoundFigure
from retrace.machine.storage import write_json, write_jsonl
from retrace.schemas import Candidate, CandidateStep, Example, Prediction, QuestionCandidates, Sample
from retrace.systems.grace.sweep import Curve
from retrace.systems.icot.speed import Speed
from unit.evaluation_data import CONFIG

FOLDER = Path("results/arithmetic/tiny_t5")
# What a model may write, and a page must show as text: an end of a script, a comment, a separator that is no blank.
HOSTILE = "</script><img src=x onerror='hit=1'><!-- <b>bold</b> \u2028 &amp; 🍎"


def example(number: int) -> Example:
    steps = [f"<<{number}+2={number + 2}>>", f"<<{number + 2}*2={2 * number + 4}>>"]
    final = str(2 * number + 4)
    question = f"Tom has {number} apples and gets 2. Twice as many are how many?"
    return Example(
        id=f"a{number}",
        question=question + (f" {HOSTILE}" if number == 3 else ""),
        answer="\n".join([*steps, f"#### {final}"]),
        steps=steps,
        final_answer=final,
        split="test",
        source="generator arithmetic, split test, seed 13",
    )


def solution(number: int, right: bool) -> list[str]:
    """Steps of a solution; a wrong one errs in the second."""
    value = 2 * number + 4 if right else 2 * number + 5
    second = f"<<{number + 2}*2={value}>> |" if right else f"🍎 <<{number + 3}+{number + 2}={value}>> |"
    return [f"<<{number}+2={number + 2}>> |", second, f"#### {value}"]


def sample(number: int, right: bool) -> Sample:
    steps = solution(number, right)
    text = " ".join(steps) + (f" {HOSTILE}" if number == 3 else "")
    return Sample(
        text=text, answer=steps[-1][5:], correct=right, correct_strict=right and number != 3, tokens=21, logprob=-1.5
    )


def prediction(number: int, rights: list[bool]) -> Prediction:
    """One sample for each of `rights`; the first counts."""
    one, samples = example(number), [sample(number, right) for right in rights]
    return Prediction(
        example_id=one.id,
        question=one.question,
        gold=one.final_answer,
        samples=samples,
        chosen=0,
        answer=samples[0].answer,
        correct=rights[0],
        correct_strict=samples[0].correct_strict,
        tokens=21 * len(rights),
        seconds=0.1,
    )


def with_candidates(row: Prediction, number: int) -> Prediction:
    """The prediction with four candidates for each step: the step taken twice, and two rivals."""
    steps = []
    for place, text in enumerate(solution(number, row.correct)):
        rival = solution(number, not row.correct)[place].replace("🍎 ", "")
        # Equal steps have equal scores of the discriminator, as in decoding.
        rival = "<<1+1=2>> |" if rival == text else rival
        scores = [(rival, 0.5, 1.5), (text, 0.9, 2.0), (text, 0.4, 2.0), ("<<2+2=4>> |", 0.3, 0.0)]
        mass = [math.exp(score) for _, _, score in scores]
        candidates = []
        for (written, language, judged), weight in zip(scores, mass, strict=True):
            spans = [(written.index("=") + 1, written.index(">>") + 2)] if "=" in written else []
            mixed = language / 2 + weight / sum(mass) / 2
            candidates.append(
                Candidate(
                    text=written, tokens=7, language_model=language, discriminator=judged, mixed=mixed, calculated=spans
                )
            )
        steps.append(CandidateStep(chosen=1, candidates=candidates))
    row.candidates = QuestionCandidates(
        example_id=row.example_id, prediction=digest_of_prediction(row), samples=[steps]
    )
    return row


def path_of(method: str) -> Path:
    return FOLDER / "seed0" / "base" / method / "test.jsonl"


def write_method(method: str, rows: list[Prediction], keep: bool = False) -> None:
    write_candidates(path_of(method), rows, keep)
    write_predictions(path_of(method), rows)
    words = ["--task-file", str(CONFIG / "tasks/arithmetic.yaml"), "--model-file", str(CONFIG / "models/tiny_t5.yaml")]
    words += ["--papers", str(CONFIG / "papers"), "--method", method, "--checkpoint", "base", "--decoder", method]
    words += ["--split", "test", "--predictions", str(path_of(method)), "--seeds", "0", "--method-names", method]
    words += [
        "--preset",
        "tiny",
        "--data",
        "results/data/arithmetic/test.jsonl",
        "--output",
        str(FOLDER / f"{method}_acc.json"),
    ]
    score_method.main(words)


def write_world(root: Path, questions: int = 40) -> None:
    """Make results/, benchmarks/ and .snakemake/ in a folder, and make it the working folder."""
    root.mkdir(parents=True, exist_ok=True)
    os.chdir(root)
    numbers = range(1, questions + 1)
    write_jsonl("results/data/arithmetic/test.jsonl", [example(number) for number in numbers])
    write_method("greedy", [prediction(number, [number % 3 == 0]) for number in numbers])
    votes = [[number % 2 == 0, number % 2 == 0, number % 5 == 0] for number in numbers]
    write_method(
        "self_consistency", [prediction(number, rights) for number, rights in zip(numbers, votes, strict=True)]
    )
    guided = [with_candidates(prediction(number, [number % 4 != 0]), number) for number in numbers]
    write_method("grace", guided, keep=True)
    compare_methods.main(
        [
            *["--task-file", str(CONFIG / "tasks/arithmetic.yaml"), "--method-a", "grace", "--method-b", "greedy"],
            *["--predictions-a", str(path_of("grace")), "--predictions-b", str(path_of("greedy")), "--seeds", "0"],
            *["--data", "results/data/arithmetic/test.jsonl", "--output", str(FOLDER / "compare/grace_vs_greedy.json")],
        ]
    )
    forms = [
        word for form in ("json", "csv", "md", "html") for word in (f"--{form}", f"results/tables/grace_table1.{form}")
    ]
    make_table.main(["--name", "grace_table1", "--configuration", '{"preset": "tiny"}', *forms])
    points = [
        {
            "beta": beta,
            "temperature": 0.7,
            "accuracy": 0.4 + beta / 2,
            "per_seed": [0.4],
            "n": 40,
            "low": 0.3,
            "high": 0.9,
        }
        for beta in (0.0, 0.5, 0.9)
    ]
    about = {"task": "arithmetic", "model": "tiny_t5", "split": "dev", "preset": "tiny", "seeds": [0]}
    sweep = {"kind": "sweep", **about, "points": points, "chosen": [], "reported": []}
    write_json(FOLDER / "grace_beta_sweep.json", Curve.model_validate(sweep))
    accuracy = {"value": 0.5, "low": 0.4, "high": 0.6, "interval": "wilson"}
    start, later = ({"round": number, "accuracy": accuracy, "seeds": {"0": 0.5}} for number in (0, 1))
    curves = [{"loop": "dpo_st", "title": "DPO-ST", "points": [later]}]
    rounds = {"kind": "rounds", **about, "n": 40, "start": start, "curves": curves, "reported": []}
    write_json("results/figures/dpo_st_rounds.json", RoundFigure.model_validate(rounds))
    ways = {
        way: [
            {"batch_size": size, "seconds_per_question": 1 / (speed * size), "questions_per_second": speed * size,
             "normalised": speed / 8, "tokens_per_question": 3.0, "truncated": 0, "rounds": [1 / (speed * size)]}
            for size in (1, 64)
        ]
        for way, speed in (("no_cot", 8), ("icot", 6), ("explicit_cot", 2))
    }  # fmt: skip
    measured = {"unit": "seconds", "questions": 6, "device": "cpu", "threads": 1, "dtype": "float32", "missing": {}}
    named = {name: about[name] for name in ("task", "model", "preset")}
    speed = {"kind": "icot_speed", **named, **measured, "ways": ways, "explicit_over_implicit": 3.0}
    write_json(FOLDER / "icot_speed.json", Speed.model_validate(speed))
    claims = [
        {"paper": "grace", "claim": "GRACE beats greedy decoding", "verdict": "holds"},
        {"paper": "grace", "claim": "GRACE beats beam search", "verdict": "cannot tell"},
    ]
    write_json("results/claims.json", {"claims": claims})
    model = FOLDER / "seed0/base/model"
    model.mkdir(parents=True)
    (model / "curves.jsonl").write_text(
        "".join(f'{{"step": {n}, "loss": {5 - n / 200}, "dev_reward": {n}, "epoch": 1}}\n' for n in range(1, 701))
    )
    write_history()


def write_history() -> None:
    """Snakemake's metadata of five jobs, and the benchmark record of one."""
    shards = [str(path_of("grace").parent / f"shards/test_{shard}.jsonl") for shard in (0, 1)]
    data, gathered = "results/data/arithmetic/test.jsonl", str(path_of("grace"))
    score = str(FOLDER / "grace_acc.json")
    logs = "logs/arithmetic/tiny_t5"
    jobs = [
        ("prepare_data", data, [], "logs/data/arithmetic/test.log"),
        *[("decode", shard, [data], f"{logs}/seed0/base/grace/test_{n}.log") for n, shard in enumerate(shards)],
        ("gather_predictions", gathered, shards, f"{logs}/seed0/base/grace/test.log"),
        ("score_method", score, [gathered, data], f"{logs}/grace_acc.log"),
    ]
    folder = Path(".snakemake/metadata")
    folder.mkdir(parents=True)
    for place, (rule, output, inputs, log) in enumerate(jobs):
        record = {"rule": rule, "input": inputs, "log": [log], "shellcmd": f"python {rule}.py --x '<b>'"}
        record |= {"starttime": 100.0 + place, "endtime": 102.5 + place, "incomplete": False}
        (folder / base64.urlsafe_b64encode(output.encode()).decode()).write_text(json.dumps(record))
        if Path(output).exists():
            os.utime(output, (1000 + place, 1000 + place))
    record = Path("benchmarks/arithmetic/tiny_t5/seed0/base/grace/test_0.tsv")
    record.parent.mkdir(parents=True)
    record.write_text("s\th:m:s\tmax_rss\tcpu_time\n7.5\t0:00:07\t100.0\t7.0\n")
