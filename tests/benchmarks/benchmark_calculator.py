"""What the calculator costs: generation with it against plain generation, and against reading every row again.

    python tests/benchmarks/benchmark_calculator.py --batches 8 16 32 64 96 --notation bracket --family decoder_only

All runs decode the same prescribed tokens, about a third of them inside computations as in GSM8K's solutions, so that
they do equal work; the calculator's own forced tokens agree with the prescribed ones. The reference puts the text of
every row together again at each step and looks for an open computation in it, as the official codes do. A freshly
initialised tiny model on the CPU, where the calculator's share is largest (or, with --width, --layers and --device,
anything larger). Prints one JSON line a batch size. Seconds are those of the processor where that is what computes, so
that other jobs on the machine count less.
"""

import argparse
import json
import platform
import re
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

QUESTION = "Tom has 3 boxes with 4 apples each and buys 7 more; he then gives half of them to Ann. How many are left"


def solution(row: int) -> str:
    """A worked solution with numbers of its own, so that no result is known from another row."""
    boxes, more = 3 + row % 90, 8 + row // 9
    bought, total = 4 * boxes, 4 * boxes + more
    return (
        f"Tom has {boxes}*4=<<{boxes}*4={bought}>>{bought} apples in his boxes | With the new ones he has "
        f"{bought}+{more}=<<{bought}+{more}={total}>>{total} apples | He gives away half of them, so "
        f"{2 * total}/4=<<{2 * total}/4={total // 2}>>{total // 2} apples are left | #### {total // 2} "
    )


class Rereading:
    """The reference: nothing is remembered, every row is read from its start at each step."""

    def __init__(self, calculator, tokenizer) -> None:
        self.calculator, self.tokenizer = calculator, tokenizer
        opening, end = re.escape(calculator.opening), re.escape(calculator.end)
        self.open = re.compile(rf"{opening}((?:(?!{opening}|{end}).)*)=((?:(?!{end}).)*)$")
        self.rows: list[list[int]] = []

    def start(self, rows: int) -> "Rereading":
        self.rows = [[] for _ in range(rows)]
        return self

    def forced(self, state, new):
        import torch

        forced = []
        for row, token in zip(self.rows, new.tolist(), strict=True):
            row.append(token)
            forced.append(self._next(row))
        return torch.tensor(forced, device=new.device)

    def _next(self, row: list[int]) -> int:
        from retrace.text.arithmetic import evaluate, format_number

        found = self.open.search(self.tokenizer.decode(row))
        value = evaluate(found.group(1)) if found else None
        if value is None:
            return -1
        result, written = format_number(value), found.group(2)
        head = "" if written else self.calculator.gap
        rest = head + result + self.calculator.closing
        if written and rest.startswith(written.strip()):
            rest = rest[len(written.strip()) :]
        elif written:
            rest = self.calculator.closing
        ids = self.tokenizer(f"={rest}", add_special_tokens=False)["input_ids"]
        return ids[1] if len(ids) > 1 else -1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[64])
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=7, help="the median of so many is given")
    parser.add_argument("--notation", choices=("angle", "bracket"), default="angle")
    parser.add_argument("--family", choices=("encoder_decoder", "decoder_only"), default="encoder_decoder")
    parser.add_argument("--sampling", action="store_true", help="draw tokens instead of taking the likeliest")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()

    import torch

    torch.set_num_threads(args.threads)
    for batch in args.batches:
        print(json.dumps(measure(args, batch)), flush=True)


def measure(args: argparse.Namespace, batch: int) -> dict:
    import torch

    from retrace.decoding.engine import Decoder
    from retrace.decoding.random_streams import row_keys, uniform
    from retrace.decoding.sampling import draw
    from retrace.models.options import ScratchModel
    from retrace.models.scratch import build_model, build_tokenizer
    from retrace.systems.dpo_st.form import one_line
    from retrace.text.arithmetic import evaluate
    from retrace.text.calculator import Calculator

    texts = [solution(row) for row in range(batch)]
    if args.notation == "bracket":
        texts = [one_line(text.replace(" | ", "\n").strip()) + " " for text in texts]
    tokenizer = build_tokenizer([QUESTION, *texts], "|", 400, "whole", args.family)
    scratch = ScratchModel(width=args.width, layers=args.layers, heads=4, feedforward=2 * args.width)
    model = build_model(scratch, args.family, tokenizer, seed=0).to(args.device)
    decoder = Decoder(model, tokenizer, args.family)
    calculator = Calculator(tokenizer, args.notation, "]" if args.notation == "bracket" else None)
    # Rows stand at different places of their solutions, so that each step has some computations.
    solutions = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    script = torch.tensor(
        [[ids[(row + place) % len(ids)] for place in range(args.tokens)] for row, ids in enumerate(solutions)],
        device=args.device,
    )
    prompts = decoder.encode([QUESTION] * batch)
    keys = row_keys(0, [str(row) for row in range(batch)], [0] * batch, decoder.device)
    clock = time.process_time if args.device == "cpu" else time.perf_counter

    def run(constraint) -> tuple[float, int]:
        evaluate.cache_clear()
        began, count = clock(), 0
        state = decoder.prefill(prompts)
        followed = constraint.start(batch) if constraint else None
        forced = None
        for place in range(args.tokens):
            new = draw(state.logits, uniform(keys, place) if args.sampling else None, 0.7)
            if forced is not None:
                count += int((forced >= 0).sum())
                new = torch.where(forced >= 0, forced, new)
            new = torch.where(new >= 0, script[:, place], new)  # decided as always, then as prescribed
            if constraint:
                forced = constraint.forced(followed, new)
            decoder.step(state, new)
        if args.device != "cpu":
            torch.cuda.synchronize()
        return clock() - began, count

    reference = Rereading(calculator, tokenizer)
    for constraint in (None, calculator, reference):
        run(constraint)
    turns = [(run(None)[0], run(calculator), run(reference)) for _ in range(args.rounds)]
    return {
        "benchmark": "calculator",
        "ratio": round(statistics.median(helped / plain for plain, (helped, _), _ in turns), 4),
        "wanted_at_most": 1.10,
        "times_as_fast_as_rereading": round(statistics.median(slow / helped for _, (helped, _), (slow, _) in turns), 3),
        "cost_as_share_of_rereading": round(
            statistics.median((helped - plain) / (slow - plain) for plain, (helped, _), (slow, _) in turns), 4
        ),
        "plain_seconds": round(statistics.median(plain for plain, _, _ in turns), 4),
        "calculator_seconds": round(statistics.median(helped for _, (helped, _), _ in turns), 4),
        "rereading_seconds": round(statistics.median(slow for _, _, (slow, _) in turns), 4),
        "forced_tokens": [turns[0][1][1], turns[0][2][1]],
        "batch": batch,
        "tokens": args.tokens,
        "notation": args.notation,
        "family": args.family,
        "sampling": args.sampling,
        "threads": args.threads,
        "device": torch.cuda.get_device_name() if args.device != "cpu" else platform.processor() or platform.machine(),
    }


if __name__ == "__main__":
    main()
