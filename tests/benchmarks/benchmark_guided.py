"""How much faster guided decoding is than a plain reference, in one run; prints one line of JSON.

    python tests/benchmarks/benchmark_guided.py                                  # tiny T5, 2 threads
    python tests/benchmarks/benchmark_guided.py --size flan_t5_large --dtype bfloat16 --device cuda

Random weights (see guided_world.py). `share_distinct` says how many of a question's candidates differ: ours scores
equal ones once, so the default, a flat model whose candidates nearly all differ, is the hardest case; `--temperature`
below 1 makes it surer. The reference is timed on a part of the questions (`--reference-questions`), as its time is
proportional to them. `same_choices`: candidates that the reference drew, judged by both.
`--memory` adds the peak memory for 64 and for 256 questions, each in a process of its own.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--reference-questions", type=int, default=16)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--max-steps", type=int, default=4)
    parser.add_argument("--max-step-tokens", type=int, default=16)
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--size", choices=["small", "tiny", "flan_t5_large"], default="tiny")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=1280, help="sequences decoded together")
    parser.add_argument("--memory", action="store_true", help="also measure peak memory")
    parser.add_argument("--ours-only", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)

    import torch

    torch.set_num_threads(args.threads)
    from guided_world import make_discriminator, make_examples, make_generator
    from reference_guided import PlainGuided, solve_all

    from retrace.decoding.options import Guided
    from unit.guided_rows import decode_guided

    generator = make_generator(args.size, device=args.device, dtype=args.dtype)
    discriminator = make_discriminator(generator, args.size, args.device, args.dtype)
    examples = make_examples(args.questions)
    options = Guided(
        beta=0.5,
        candidates=args.candidates,
        temperature=args.temperature,
        max_steps=args.max_steps,
        max_step_tokens=args.max_step_tokens,
        batch_size=args.batch_size,
    )

    def clock() -> tuple[float, float]:
        if args.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    list(decode_guided(generator, discriminator, examples[:2], options, 1))  # warm up
    began = clock()
    predictions = list(decode_guided(generator, discriminator, examples, options, 0))
    ended = clock()
    ours, ours_busy = (after - before for before, after in zip(began, ended, strict=True))
    result = {
        "benchmark": "guided",
        "machine": machine(args.device),
        "threads": args.threads,
        "model": f"{args.size}, random weights, {args.dtype}",
        "questions": args.questions,
        "candidates": args.candidates,
        "tokens": sum(prediction.tokens for prediction in predictions),
        "questions_per_second": round(args.questions / ours, 2),
        "busy_seconds_a_question": round(ours_busy / args.questions, 4),
    }
    if not args.ours_only:
        plain = PlainGuided(generator, discriminator, options)
        generator.decoder.model.set_attn_implementation("sdpa" if args.device != "cpu" else "eager")
        torch.manual_seed(0)
        plain.solve(examples[0])
        plain.seen.clear()
        part = examples[: args.reference_questions]
        began = clock()
        solve_all(plain, part)
        ended = clock()
        theirs, theirs_busy = ((after - before) / len(part) for before, after in zip(began, ended, strict=True))
        same, steps = agreement(generator, discriminator, options, plain)
        distinct = sum(len({tuple(row) for row in seen[2]}) for seen in plain.seen)
        result |= {
            "reference_tokens_a_question": sum(len(row) for seen in plain.seen for row in seen[2]) / len(part),
            "reference_questions_per_second": round(1 / theirs, 3),
            "ratio": round(theirs / (ours / args.questions), 2),
            "ratio_of_busy_time": round(theirs_busy / (ours_busy / args.questions), 2),
            "share_distinct": round(distinct / (len(plain.seen) * args.candidates), 3),
            "same_choices": f"{same} of {steps}",
        }
    if args.memory:
        result["peak_megabytes"] = {questions: peak_memory(args, questions) for questions in (64, 256)}
    if args.ours_only:
        result["peak_megabytes"] = peak(args.device)
    print(json.dumps(result))


def agreement(generator, discriminator, options, plain) -> tuple[int, int]:
    """How many of the reference's steps ours decides alike, all of them judged in one call."""
    import torch

    from retrace.decoding.candidates import Candidates
    from retrace.decoding.guided import GuidedDecoder, Path, choose_steps
    from retrace.decoding.selection import language_model_scores

    guided = GuidedDecoder(generator, discriminator, options, 0)
    pad, longest = generator.decoder.pad_id, max(len(row) for seen in plain.seen for row in seen[2])
    tokens = torch.tensor([[row + [pad] * (longest - len(row)) for row in seen[2]] for seen in plain.seen])
    gains = [[row + [-torch.inf] * (longest - len(row)) for row in seen[3]] for seen in plain.seen]
    logprobs = torch.tensor(gains, dtype=torch.float64)
    lengths = torch.tensor([[len(row) for row in seen[2]] for seen in plain.seen])
    found = Candidates(tokens, lengths, logprobs.sum(-1), language_model_scores(logprobs, lengths))
    paths = [Path(index, 0, [0], tokens=seen[1]) for index, seen in enumerate(plain.seen)]
    choices, *_ = choose_steps(guided.judge, paths, [seen[0] for seen in plain.seen], found, [options.beta], options)
    return sum(choice == [seen[4]] for choice, seen in zip(choices, plain.seen, strict=True)), len(plain.seen)


def peak(device: str) -> float:
    """Peak memory of this process (or of its GPU) in megabytes."""
    if device != "cpu":
        import torch

        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3, 1)


def peak_memory(args: argparse.Namespace, questions: int) -> float:
    """The same for a fresh process that decodes so many questions, in batches of 16 questions."""
    words = [sys.executable, __file__, "--ours-only", "--questions", str(questions), "--batch-size"]
    words += [str(16 * args.candidates), "--size", args.size, "--dtype", args.dtype, "--device", args.device]
    out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return json.loads(out)["peak_megabytes"]


def machine(device: str) -> str:
    """The processor's name, or the GPU's."""
    if device != "cpu":
        import torch

        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
