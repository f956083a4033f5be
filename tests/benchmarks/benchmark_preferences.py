"""How long preference pairs and pseudo-labels take: 7,000 questions with 10 sampled solutions each, from file to file.

    python tests/benchmarks/benchmark_preferences.py --threads 2

Runs make_preferences.py and make_pseudo_labels.py as a user does, on made-up solutions of GSM8K's length (about 100
tokens; half of them right; variants of one another, so that much is compared), with a tokenizer of T5's kind. Prints
one JSON line with wall and processor seconds; the aim is under 60 s for the pairs on 2 cores.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

WORDS = (
    "the of each day week apples books dollars total number left more than half twice buys sells gives has had so then "
    "per hour miles friend brother school store price cost spent earned students boxes bags pages minutes left over"
).split()


def solution(draw: random.Random) -> list[str]:
    """Three to five steps of about twenty tokens."""
    steps = []
    for _ in range(draw.randint(3, 5)):
        first, second = draw.randint(2, 99), draw.randint(2, 99)
        words = " ".join(draw.choices(WORDS, k=9))
        steps.append(f"{words} {first} + {second} = [ {first} + {second} = {first + second}] {first + second}.")
    return steps


def variant(steps: list[str], draw: random.Random) -> str:
    """The same with some steps written anew."""
    return " ".join(step if draw.random() < 0.5 else solution(draw)[0] for step in steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=7000)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    from retrace.machine.storage import write_jsonl
    from retrace.models.scratch import build_tokenizer
    from retrace.schemas import Example, Trajectory

    draw = random.Random(0)
    examples, trajectories = [], []
    for number in range(args.questions):
        steps = solution(draw)
        answer = "\n".join([*steps, "#### 7"])
        base = {"id": f"train-{number}", "question": f"Question {number}?", "split": "train", "source": "made up"}
        examples.append(Example(**base, answer=answer, steps=steps, final_answer="7"))
        for sample in range(args.samples):
            text = f"{variant(steps, draw)} #### {7 + sample % 2}"
            row = {"example_id": base["id"], "text": text, "steps": [], "final_answer": "7", "tokens": 100}
            trajectories.append(Trajectory(**row, correct=sample % 2 == 0, logprob=-1.0, sampling_seed=sample))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [row.text for row in trajectories[:2000]]
        tokenizer = build_tokenizer([*WORDS, *texts], "|", 2000, "digits")
        tokenizer.save_pretrained(folder / "tokenizer")
        write_jsonl(folder / "train.jsonl", examples)
        write_jsonl(folder / "trajectories.jsonl", trajectories)
        result = {"benchmark": "preferences", "questions": args.questions, "samples": args.samples}
        result["tokens_per_solution"] = round(sum(len(row) for row in tokenizer(texts)["input_ids"]) / len(texts))
        for script, extra in (("make_preferences", ["--seed", "0"]), ("make_pseudo_labels", [])):
            words = [sys.executable, str(ROOT / "scripts" / f"{script}.py"), "--form", "dpo_st"]
            words += ["--task-file", str(ROOT / "config" / "tasks" / "gsm8k.yaml")]
            words += ["--model-file", str(ROOT / "config" / "models" / "flan_t5_large.yaml")]
            words += ["--tokenizer", str(folder / "tokenizer"), "--data", str(folder / "train.jsonl")]
            words += ["--trajectories", str(folder / "trajectories.jsonl"), "--output", str(folder / "out.jsonl")]
            words += ["--report", str(folder / "report.json"), *extra]
            threads = {"RAYON_NUM_THREADS": str(args.threads), "OMP_NUM_THREADS": str(args.threads)}
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(words, check=True, env={**os.environ, **threads}, stdout=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            report = json.loads((folder / "report.json").read_text())
            result[script] = {
                "seconds": round(time.perf_counter() - began, 1),
                "processor_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
                "rows": report.get("pairs", report.get("pseudo_labels")),
            }
    print(json.dumps({**result, "threads": args.threads, "wanted_at_most": 60}))


if __name__ == "__main__":
    main()
