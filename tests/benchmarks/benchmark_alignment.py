"""Alignment of 1,000 solutions against plain references, in one run. Prints one JSON line.

    python tests/benchmarks/benchmark_alignment.py [--solutions 1000] [--threads 1]

equations_ratio, sentences_ratio: the whole step (embedding by the packaged MiniLM, similarities, table, paths)
against one solution at a time, whose steps and reference are embedded for it alone, as the official code does. The
equations are those of the task `arithmetic`; the sentences have GSM8K's form and fewer repetitions. On one CPU core
the gain is that of embedding a step once; on a GPU batches add to it.
table_ratio: the dynamic programme with its traceback against a plain Python one over nested lists;
table_numpy_cells_ratio: against one that fills a numpy table cell by cell, as the official code does.
Both sides' results are compared before anything is printed.
"""

import argparse
import json
import os
import platform
import re
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]


def seconds(action, repeats=5):
    """Best wall time of some repeats, and the last result."""
    best = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        result = action()
        best = min(best, time.perf_counter() - started)
    return best, result


def numpy_table_align(similarity, gap=0.5, threshold=0.8):
    """Cell by cell in a numpy table, comparisons by numpy.isclose: how the official code works."""
    import numpy as np

    m, n = similarity.shape
    table = np.zeros((m + 1, n + 1))
    table[:, 0], table[0] = gap * np.arange(m + 1), gap * np.arange(n + 1)
    for i in range(1, m + 1):
        for j in range(1, n + 1):
            corner, s = table[i - 1, j - 1], similarity[i - 1, j - 1]
            table[i, j] = (
                corner if s >= threshold else min(corner + 1 - s, table[i - 1, j] + gap, table[i, j - 1] + gap)
            )
    i, j, first, second = m, n, [], []
    while i > 0 and j > 0:
        s, here = similarity[i - 1, j - 1], table[i, j]
        pair = s >= threshold or np.isclose(table[i - 1, j - 1] + 1 - s, here)
        above = not pair and np.isclose(table[i - 1, j] + gap, here)
        first.append(i - 1 if pair or above else -1)
        second.append(j - 1 if pair or not above else -1)
        i, j = i - (pair or above), j - (pair or not above)
    first += [*range(i - 1, -1, -1), *[-1] * j]
    second += [*[-1] * i, *range(j - 1, -1, -1)]
    return first[::-1], second[::-1], float(table[m, n])


def sentence_jobs(count, each):
    """Wrong solutions in GSM8K's form, `each` a question, 2 to 8 steps; every other step worded anew."""
    import random

    from retrace.systems.grace.alignment import Job

    draw = random.Random(0)
    things = ["apples", "books", "cards", "marbles", "tickets", "shirts", "flowers", "coins", "stamps", "chairs"]
    verbs = ["has", "buys", "sells", "gives away", "finds", "is left with", "earns", "needs"]

    def sentence(verb, thing):
        a, b = draw.randint(2, 60), draw.randint(2, 60)
        return f"{draw.choice(['Tom', 'Ann', 'He', 'She'])} {verb} {a} + {b} = <<{a}+{b}={a + b}>>{a + b} {thing}"

    jobs = []
    while len(jobs) < count:
        thing = draw.choice(things)
        reference = [sentence(draw.choice(verbs), thing) for _ in range(draw.randint(2, 8))]
        for _ in range(each):
            wrong = [step if draw.random() < 0.5 else sentence(draw.choice(verbs), thing) for step in reference]
            if draw.random() < 0.3 and len(wrong) > 1:
                wrong.pop(draw.randrange(len(wrong)))
            jobs.append(Job(str(len(jobs)), wrong, [reference]))
    return jobs[:count]


def equation_jobs(count, each):
    """Wrong solutions of the task `arithmetic`, `each` a question: + and - taken for each other, results carried on."""
    import random

    from retrace.systems.grace.alignment import Job
    from retrace.tasks import arithmetic

    draw = random.Random(0)
    jobs = []
    for example in arithmetic.generate("train", count, 0):
        found = {}
        for _ in range(8 * each):
            carried, wrong = {}, []
            for step in example.steps:
                left, sign, right, result = re.fullmatch(r"<<(\d+)([-+*/])(\d+)=(\d+)>>", step).groups()
                a, b = carried.get(left, int(left)), carried.get(right, int(right))
                if sign in "+-" and draw.random() < 0.4:
                    sign = "-" if sign == "+" else "+"
                value = {"+": a + b, "-": a - b, "*": a * b, "/": a // max(b, 1)}[sign]
                carried[result] = value
                wrong.append(f"<<{a}{sign}{b}={value}>>")
            if wrong != example.steps:
                found.setdefault(tuple(wrong), Job(str(len(jobs)), wrong, [example.steps]))
        jobs += list(found.values())[:each]
        if len(jobs) >= count:
            break
    return jobs[:count]


def whole_step(jobs, embedder):
    """Seconds of ours, seconds of one solution at a time, distinct steps; results compared."""
    import numpy as np

    from retrace.systems.grace.alignment import align_jobs
    from retrace.systems.grace.embedding import embed_steps

    def one_by_one():
        result = []
        for job in jobs:
            vectors = embed_steps([*job.steps, *job.references[0]], embedder)
            similarity = vectors[: len(job.steps)] @ vectors[len(job.steps) :].T
            result.append(numpy_table_align(similarity.astype(float)))
        return result

    # In turns, the best of two each: another process's load then weighs on both sides alike.
    ours = reference = float("inf")
    for _ in range(2):
        took, aligned = seconds(lambda: align_jobs(jobs, lambda steps: embed_steps(steps, embedder)), 1)
        ours = min(ours, took)
        took, references = seconds(one_by_one, 1)
        reference = min(reference, took)
    assert np.allclose([one.cost for one in aligned], [cost for _, _, cost in references], atol=1e-3)
    return ours, reference, len({step for job in jobs for step in (*job.steps, *job.references[0])})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solutions", type=int, default=1000)
    parser.add_argument("--each", type=int, default=10, help="solutions a question; GRACE draws 80,000 for 7,473")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(args.threads)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import numpy as np
    import torch

    from retrace.systems.grace.alignment import align_batch
    from retrace.systems.grace.embedding import load_embedder
    from unit.systems.grace.test_alignment import padded, plain_align

    torch.set_num_threads(args.threads)
    row = {"benchmark": "alignment", "solutions": args.solutions, "threads": args.threads, "cpus": os.cpu_count()}
    row["device"] = "cuda" if torch.cuda.is_available() else platform.processor() or platform.machine()

    sentences = sentence_jobs(args.solutions, args.each)
    random = np.random.default_rng(0)
    arrays = [random.uniform(-0.2, 1, (len(job.steps), len(job.references[0]))) for job in sentences]
    nested = [one.tolist() for one in arrays]
    batch = padded(nested)
    ours, found = seconds(lambda: align_batch(*batch), 50)
    plain, expected = seconds(lambda: [plain_align(one) for one in nested], 20)
    by_cell, also_expected = seconds(lambda: [numpy_table_align(one) for one in arrays], 3)
    assert [path[:2] for path in found.to_list()] == [path[:2] for path in expected]
    assert [path[:2] for path in expected] == [path[:2] for path in also_expected]
    assert np.allclose(found.costs, [path[2] for path in expected], rtol=0, atol=1e-12)
    row |= {"table_seconds": ours, "table_plain_seconds": plain, "table_ratio": plain / ours}
    row |= {"table_numpy_cells_seconds": by_cell, "table_numpy_cells_ratio": by_cell / ours}

    embedder = load_embedder("minilm")
    embedder(["warm up"])
    for kind, jobs in (("equations", equation_jobs(args.solutions, args.each)), ("sentences", sentences)):
        ours, reference, distinct = whole_step(jobs, embedder)
        row |= {f"{kind}_seconds": ours, f"{kind}_reference_seconds": reference, f"{kind}_ratio": reference / ours}
        row |= {f"{kind}_steps": sum(len(j.steps) + len(j.references[0]) for j in jobs), f"{kind}_distinct": distinct}
    print(json.dumps({key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}))


if __name__ == "__main__":
    main()
