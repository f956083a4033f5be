"""Ratios of implicit chain of thought, each against a simple reference in the same run; prints one line of JSON.

    OMP_NUM_THREADS=1 python tests/benchmarks/benchmark_icot.py states --digits 4
    OMP_NUM_THREADS=1 python tests/benchmarks/benchmark_icot.py decoding

states: training from cached teacher states against computing them in every step, for the emulator and the student,
examples a second (the same batches, optimiser steps included). decoding: implicit answers to 64 questions in one batch
against one by one, and the latency of explicit, implicit and no chain of thought at batch size 1. Networks have random
weights and the sizes of tiny_gpt2; the answers' lengths are those of the task. Times are processor seconds on the CPU.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
CONFIG = Path(__file__).parents[2] / "config"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["states", "decoding"])
    parser.add_argument("--digits", type=int, default=4)
    parser.add_argument("--model", default="tiny_gpt2", help="sizes of this from-scratch model of config/models")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps of each measurement")
    parser.add_argument("--repeats", type=int, default=3, help="rounds; the median counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)

    import torch

    torch.set_num_threads(args.threads)
    world = World(args)
    found = world.states() if args.what == "states" else world.decoding()
    machine = torch.cuda.get_device_name() if args.device != "cpu" else f"{platform.machine()} CPU"
    about = {"benchmark": f"icot_{args.what}", "machine": machine, "threads": args.threads}
    print(json.dumps({**about, "model": args.model, "digits": args.digits, **found}))


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


class World:
    """Networks and data of one size."""

    def __init__(self, args: argparse.Namespace) -> None:
        import torch

        from retrace.machine.storage import write_jsonl
        from retrace.models.layers import without_dropout
        from retrace.models.options import load_model_config
        from retrace.models.scratch import build_model, build_word_tokenizer
        from retrace.systems.icot.networks import Coupled, Emulator, Student
        from retrace.tasks.load import load_task
        from retrace.tasks.multiplication_pairs import generate
        from retrace.training.separated_rows import read_rows

        self.args = args
        self.clock = time.process_time if args.device == "cpu" else time.perf_counter
        task = load_task(f"mult_{args.digits}x{args.digits}", CONFIG)
        self.tokenizer = build_word_tokenizer(task.words or (), "decoder_only")
        scratch = load_model_config(CONFIG / "models" / f"{args.model}.yaml").scratch
        self.examples = list(generate("train", 2048, 1, args.digits))
        with tempfile.TemporaryDirectory() as folder:
            write_jsonl(Path(folder) / "rows.jsonl", self.examples)
            self.rows = read_rows(Path(folder) / "rows.jsonl", task, self.tokenizer, 512)

        def fresh(seed: int) -> torch.nn.Module:
            model = build_model(scratch, "decoder_only", self.tokenizer, seed)
            without_dropout(model)
            return model.to(args.device)

        self.fresh, self.task = fresh, task
        self.coupled = Coupled(Emulator(fresh(1)), Student(fresh(2))).to(args.device)

    def seconds(self, work: Callable[[], object]) -> float:
        """Processor time (wall time on a GPU) of one call."""
        import torch

        began = self.clock()
        work()
        if self.args.device != "cpu":
            torch.cuda.synchronize()
        return self.clock() - began

    def medians(self, works: dict[str, Callable[[], object]]) -> dict[str, float]:
        """The median time of each, measured in turn, after one call that does not count."""
        import statistics

        for work in works.values():
            work()
        times = {name: [] for name in works}
        for _ in range(self.args.repeats):
            for name, work in works.items():
                times[name].append(self.seconds(work))
        return {name: statistics.median(values) for name, values in times.items()}

    def states(self) -> dict[str, float]:
        """Examples a second from the cache over those with the teacher in every step."""
        import torch

        from retrace.systems.icot.options import TeacherStates
        from retrace.systems.icot.states import CachedStates, ComputedStates, write_states
        from retrace.systems.icot.train import states_loss
        from retrace.training.separated_rows import question_batch, text_batch

        args, teacher, options = self.args, self.fresh(0), TeacherStates()
        device = torch.device(args.device)
        pad = self.tokenizer.pad_token_id
        holder = tempfile.TemporaryDirectory()
        write_states(Path(holder.name) / "states", teacher, "x", self.rows, options, pad)
        layers, width = self.coupled.student.layers, self.coupled.student.width
        sources = {
            "cached": CachedStates(Path(holder.name) / "states", "x", self.rows, options, layers, width),
            "computed": ComputedStates(teacher, self.rows, options, pad),
        }

        def training(stage: str, source) -> Callable[[], None]:  # type: ignore[no-untyped-def]
            model = self.coupled.emulator if stage == "emulator" else self.coupled.student
            optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], fused=True)

            def run() -> None:
                for step in range(args.steps):
                    first = step * args.batch_size % (len(self.rows) - args.batch_size)
                    numbers = range(first, first + args.batch_size)
                    batch = {**question_batch(self.rows, numbers, pad), **source.batch(numbers)}
                    if stage == "student":
                        batch |= text_batch(self.rows, numbers, "no_cot", pad)
                    batch = {name: value.to(device) for name, value in batch.items()}
                    states = source(batch, device)
                    if stage == "emulator":
                        loss = states_loss(model(batch["question_ids"], batch["positions"]), states) / len(numbers)
                    else:
                        logits = model(batch["input_ids"], batch["positions"], states)
                        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten())
                    loss.backward()
                    optimizer.step()
                    optimizer.zero_grad()

            return run

        found: dict[str, float] = {}
        for stage in ("emulator", "student"):
            times = self.medians({name: training(stage, source) for name, source in sources.items()})
            for name, value in times.items():
                found[f"{stage}_{name}_per_second"] = args.steps * args.batch_size / value
            found[f"{stage}_ratio"] = times["computed"] / times["cached"]
        holder.cleanup()
        return rounded(found)

    def decoding(self) -> dict[str, float]:
        """One batch of 64 over one by one; and explicit over implicit at batch size 1."""
        from retrace.decoding.engine import Decoder
        from retrace.decoding.sampling import generate
        from retrace.prompting.separated import prompt_text
        from retrace.systems.icot.decoding import ImplicitDecoder

        questions = 64
        end = self.tokenizer.eos_token
        prompts = [prompt_text(example.question, end) for example in self.examples[:questions]]
        keys = [example.id for example in self.examples[:questions]]
        row = self.rows.row(0)
        lengths = {
            "no_cot": len(row) - int(self.rows.second[0]) - 1,
            "explicit_cot": len(row) - int(self.rows.first[0]) - 1,
        }
        lengths["implicit"] = lengths["no_cot"]
        decoders = {
            "no_cot": Decoder(self.fresh(3), self.tokenizer, "decoder_only", separated=True),
            "explicit_cot": Decoder(self.fresh(4), self.tokenizer, "decoder_only", separated=True),
            "implicit": ImplicitDecoder(self.coupled, self.tokenizer),
        }
        for decoder in decoders.values():
            decoder.end_ids = (-1,)  # random weights: every answer is as long as the task's

        def answering(way: str, batch_size: int) -> Callable[[], None]:
            def run() -> None:
                options = {"max_new_tokens": lengths[way], "batch_size": batch_size}
                written = [one.samples[0].tokens for one in generate(decoders[way], prompts, keys, **options)]
                assert written == questions * [lengths[way]]

            return run

        sizes = {**{f"{way}_1": (way, 1) for way in decoders}, "implicit_64": ("implicit", questions)}
        times = self.medians({name: answering(*args) for name, args in sizes.items()})
        return rounded(
            {
                **{f"{name}_ms_per_question": 1000 * value / questions for name, value in times.items()},
                "batch_of_64_over_one_by_one": times["implicit_1"] / times["implicit_64"],
                "explicit_over_implicit": times["explicit_cot_1"] / times["implicit_1"],
                "implicit_over_no_cot": times["implicit_1"] / times["no_cot_1"],
            }
        )


if __name__ == "__main__":
    main()
