"""What the launcher costs and what several processes gain.

    python tests/benchmarks/benchmark_launch.py overhead
    python tests/benchmarks/benchmark_launch.py train --size flan_t5_large --precision bfloat16 --gpus 4 --strategy ddp

overhead: processor time to start an empty script by the launcher, over that of starting it directly.
train: optimiser steps a second of several processes over those of one, with the same batch; random weights and tokens.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIZES = {  # width, feed-forward, layers, heads, width of a head, vocabulary
    "tiny": (64, 128, 3, 4, 16, 400),
    "flan_t5_large": (1024, 2816, 24, 16, 64, 32128),
}
STEPS, SKIPPED = 20, 5  # the first ones are slower


def overhead(repeats: int = 10) -> dict[str, float]:
    """Processor seconds of an empty script, directly and by the launcher; the least of some repeats."""

    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(
            f"import sys\nsys.path.insert(0, {str(SCRIPTS)!r})\nfrom retrace import cli\ncli.run(print)\n"
        )
        direct = min(seconds(str(script)) for _ in range(repeats))
        launched = min(seconds(str(SCRIPTS / "launch.py"), str(script)) for _ in range(repeats))
    return {"direct_s": round(direct, 3), "launched_s": round(launched, 3), "added_s": round(launched - direct, 3)}


def train(args: argparse.Namespace) -> dict[str, float | int | str]:
    """Steps a second with one process, with several, and their ratio."""

    def run(gpus: int, processes: int) -> dict[str, float]:
        options = [f"--gpus={gpus}", f"--processes={processes}", f"--strategy={args.strategy}"]
        worker = [__file__, "worker", "--size", args.size, "--precision", args.precision]
        worker += ["--batch-size", str(args.batch_size), "--device-batch-size", str(args.device_batch_size)]
        with tempfile.TemporaryDirectory() as state:
            command = [sys.executable, str(SCRIPTS / "launch.py"), *options, *worker, "--state", state]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(done.stdout.splitlines()[-1])

    alone = run(min(args.gpus, 1), 0)
    many = run(args.gpus, 0 if args.gpus else args.processes)
    count = args.gpus or args.processes
    return {
        "size": args.size,
        "strategy": args.strategy,
        "processes": count,
        "seconds_a_step_alone": alone["seconds"],
        "seconds_a_step": many["seconds"],
        "ratio": round(alone["seconds"] / many["seconds"], 2),
        "peak_gb_alone": alone["peak_gb"],
        "peak_gb": many["peak_gb"],
    }


def worker(args: argparse.Namespace) -> None:
    """One process of a training; the first prints what it measured."""
    sys.path.insert(0, str(SCRIPTS))
    import numpy as np
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, TrainerCallback

    from retrace.training import sft
    from retrace.training.data import Row, collate_generator
    from retrace.training.options import SftTraining
    from retrace.training.trainer import is_first_process, train

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if state.global_step == SKIPPED:
                self.start = time.perf_counter()
            if state.global_step == STEPS:
                self.seconds = (time.perf_counter() - self.start) / (STEPS - SKIPPED)

    width, feedforward, layers, heads, head, vocabulary = SIZES[args.size]
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=vocabulary,
            d_model=width,
            d_ff=feedforward,
            num_layers=layers,
            num_heads=heads,
            d_kv=head,
            feed_forward_proj="gated-gelu",
            decoder_start_token_id=0,
        )
    )
    tokens = np.random.default_rng(0).integers(3, vocabulary, (256, 256)).tolist()
    rows = [Row(row[:128], row[128:], [False] * 128) for row in tokens]
    options = SftTraining(
        batch_size=args.batch_size,
        device_batch_size=args.device_batch_size,
        max_steps=STEPS,
        precision=args.precision,
    )
    clock = Clock()
    train(
        model,
        rows,
        [row.length for row in rows],
        lambda part: collate_generator(part, 0, 0),
        sft.token_loss,
        sft.token_count,
        None,
        options,
        0,
        args.state,
        callbacks=[clock],
    )
    if is_first_process():
        peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": round(clock.seconds, 4), "peak_gb": round(peak / 1e9, 2)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["overhead", "train", "worker"])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--gpus", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="without GPUs (default 2)")
    parser.add_argument("--strategy", choices=["ddp", "fsdp", "zero2", "zero3"], default="ddp")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--device-batch-size", type=int, default=8)
    parser.add_argument("--state", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.what == "overhead":
        print(json.dumps(overhead()))
    elif args.what == "train":
        print(json.dumps(train(args)))
    else:
        worker(args)


if __name__ == "__main__":
    main()
