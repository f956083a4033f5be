"""How much faster, and in how much less memory, a step of LaTRO is than one with a pass for each likelihood.

    python tests/benchmarks/benchmark_latro.py                            # tiny GPT-2, 16 questions x 8 rationales
    python tests/benchmarks/benchmark_latro.py --vocabulary 32000 --memory
    python tests/benchmarks/benchmark_latro.py --size phi35_mini --device cuda --dtype bfloat16 \\
        --questions 3 --rationales 16 --batch 4 --prompt 120 --rationale 300 --answer 8 --generate --memory
    python tests/benchmarks/benchmark_latro.py --size llama_1b --device cuda --dtype bfloat16 \\
        --questions 3 --rationales 16 --batch 16 --prompt 120 --rationale 300 --answer 8 --generate --memory

Generation is left out, except with --generate, which measures it alone: rationales a second by Retrace's decoder. Weights
and tokens are random; lengths vary as sampled rationales do. The reference (reference_latro.py) makes the same gradients,
which `largest_difference` shows. `--memory`: what a step adds to the memory before it, each in a process of its own.
"""

import argparse
import json
import platform
import random
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parent))

PAD, END = 0, 1
KL, SFT = 0.05, 0.1


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--rationales", type=int, default=8)
    parser.add_argument("--batch", type=int, default=32, help="rows a pass, in both")
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--prompt", type=int, default=48, help="tokens, on average")
    parser.add_argument("--rationale", type=int, default=32, help="tokens, on average")
    parser.add_argument("--answer", type=int, default=3, help="tokens, on average")
    parser.add_argument("--size", choices=["tiny", "phi35_mini", "llama_1b"], default="tiny")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="of the computation")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="also measure peak memory")
    parser.add_argument("--generate", action="store_true", help="also measure generation")
    parser.add_argument("--only", choices=["ours", "reference"], help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)

    import torch

    torch.set_num_threads(args.threads)
    policy, reference = make_model(args, seed=0), make_model(args, seed=1)
    rows = make_rows(args)
    if args.only:
        before = memory(args.device)
        run(args.only, args, policy, reference, rows)
        print(json.dumps({"megabytes": round(peak(args.device) - before, 1)}))
        return
    result = {
        "benchmark": "latro",
        "machine": machine(args.device),
        "threads": args.threads,
        "model": f"{args.size}, vocabulary {policy.config.vocab_size}, random weights, {args.dtype}",
        "questions": args.questions,
        "rationales": args.rationales,
        "rows_a_pass": args.batch,
        "tokens": sum(len(row.prompt) + len(row.ids) + len(row.answer) for row in rows),
    }
    if args.generate:
        result["rationales_per_second"] = generation(args, policy)
    gradients = []
    for kind in ("ours", "reference"):
        run(kind, args, policy, reference, rows)  # warm up
        gradients.append(torch.cat([weight.grad.flatten().float().cpu() for weight in policy.parameters()]))
    result["largest_difference"] = (
        f"{((gradients[0] - gradients[1]).abs().max() / gradients[1].abs().max()).item():.1e}"
    )
    clocks = {"ours": [], "reference": []}
    for _ in range(args.repeats):
        for kind, times in clocks.items():
            began = clock(args.device)
            run(kind, args, policy, reference, rows)
            times.append([after - start for start, after in zip(began, clock(args.device), strict=True)])
    best = {kind: [min(column) for column in zip(*times, strict=True)] for kind, times in clocks.items()}
    result |= {
        "seconds_a_step": round(best["ours"][0], 3),
        "reference_seconds_a_step": round(best["reference"][0], 3),
        "ratio": round(best["reference"][0] / best["ours"][0], 2),
        "ratio_of_busy_time": round(best["reference"][1] / best["ours"][1], 2),
    }
    if args.memory:
        result["megabytes"], result["reference_megabytes"] = (added_memory(kind) for kind in ("ours", "reference"))
        result["share_of_memory"] = round(result["megabytes"] / result["reference_megabytes"], 2)
    print(json.dumps(result))


def run(kind, args, policy, reference, rows) -> None:
    """One optimiser step's gradients, by our way or by the reference's."""
    import contextlib

    import torch

    policy.zero_grad()
    half = args.dtype == "bfloat16"
    with torch.autocast(args.device, dtype=torch.bfloat16) if half else contextlib.nullcontext():
        if kind == "ours":
            our_step(policy, reference, rows, args.rationales, args.batch)
        else:
            from reference_latro import step

            step(policy, reference, rows, args.rationales, args.batch, KL, SFT, PAD)


def our_step(policy, reference, rows, k: int, batch: int) -> None:
    """As `retrace.systems.latro.trainer.LatroTrainer` does it: rows by length, whole groups in one pass where they fit."""
    import torch

    from retrace.systems.latro import rationales as pieces

    device = next(policy.parameters()).device

    def likelihoods(model, part, answers=True):
        return pieces.likelihoods(model, pieces.pack(part, PAD, answers=answers).to(device))

    def length(part) -> int:
        return max(len(row.prompt) + len(row.ids) + len(row.answer) for row in part)

    unit = k if batch % k == 0 else 1
    units = sorted((rows[start : start + unit] for start in range(0, len(rows), unit)), key=length)
    ordered = [row for part in units for row in part]
    parts = [ordered[start : start + batch] for start in range(0, len(ordered), batch)]
    known = {}
    if unit == 1:
        with torch.no_grad():
            found = [(*likelihoods(policy, part), likelihoods(reference, part, answers=False)[0]) for part in parts]
            own, answers, theirs = (torch.cat(column) for column in zip(*found, strict=True))
            places = {id(row): place for place, row in enumerate(ordered)}
            index = torch.tensor([places[id(row)] for row in rows], device=device)
            values = pieces.advantages_of(answers[index], (own - theirs)[index], KL, k)
            known = {id(row): value for row, value in zip(rows, values, strict=True)}
    for part in parts:
        own, answers = likelihoods(policy, part)
        if known:
            advantages = torch.stack([known[id(row)] for row in part])
        else:
            with torch.no_grad():
                theirs = likelihoods(reference, part, answers=False)[0]
            advantages = pieces.advantages_of(answers.detach(), own.detach() - theirs, KL, k)
        (pieces.latro_loss(own, answers, advantages, SFT) / len(parts)).backward()


def make_model(args, seed: int):
    """A model with random weights that also scores chosen tokens."""
    import torch
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, Phi3Config

    from retrace.systems.latro.token_logprobs import add_scorer

    ends = {"bos_token_id": END, "eos_token_id": END, "pad_token_id": PAD}
    if args.size == "tiny":
        config = GPT2Config(
            vocab_size=args.vocabulary, n_embd=128, n_layer=4, n_head=4, n_inner=512, n_positions=512, **ends
        )
    elif args.size == "phi35_mini":
        config = Phi3Config(
            vocab_size=32064, hidden_size=3072, intermediate_size=8192, num_hidden_layers=32, num_attention_heads=32,
            max_position_embeddings=4096, **ends,
        )  # fmt: skip
    else:
        config = LlamaConfig(
            vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, num_attention_heads=32,
            num_key_value_heads=8, head_dim=64, tie_word_embeddings=True, max_position_embeddings=4096, **ends,
        )  # fmt: skip
    torch.manual_seed(seed)
    with torch.device(args.device):
        model = AutoModelForCausalLM.from_config(config)
    if args.size != "tiny":
        model.gradient_checkpointing_enable()
        model.train()
    add_scorer(model)
    return model if model.training and args.size != "tiny" else model.eval()


def make_rows(args):
    """Questions with their rationales: lengths between half and one and a half times the average."""
    from retrace.systems.latro.rationales import Rationale

    draw = random.Random(0)

    def tokens(average: int) -> list[int]:
        count = max(1, round(average * draw.uniform(0.5, 1.5)))
        return [draw.randrange(2, args.vocabulary if args.size == "tiny" else 32000) for _ in range(count)]

    rows = []
    for _ in range(args.questions):
        prompt, answer = tokens(args.prompt), tokens(args.answer)
        for _ in range(args.rationales):
            ids = tokens(args.rationale)
            rows.append(Rationale(prompt, ids, answer, [True] * len(ids), True))
    return rows


def generation(args, policy) -> float:
    """Rationales a second, each as long as the average, all sampled together."""
    import torch

    from retrace.decoding.engine import Decoder
    from retrace.decoding.random_streams import row_keys
    from retrace.decoding.sampling import _decode

    class Tokens:
        """What the decoder asks of a tokenizer; ids are drawn, not read."""

        eos_token_id, pad_token_id, model_max_length = END, PAD, 1 << 30

    decoder = Decoder(policy, Tokens(), "decoder_only", end_ids=[-1])
    prompts = [row.prompt for row in make_rows(args)[:: args.rationales]]
    keys = row_keys(
        0, [str(number) for number in range(len(prompts) * args.rationales)], [0] * (len(prompts) * args.rationales)
    )
    half = args.dtype == "bfloat16"
    with torch.autocast(args.device, dtype=torch.bfloat16, enabled=half), torch.no_grad():
        began = clock(args.device)
        state = decoder.prefill(prompts).repeat(args.rationales)
        _decode(decoder, state, keys.to(decoder.device), 1.0, 0, 1.0, args.rationale, None, None)
        seconds = clock(args.device)[0] - began[0]
    if args.size != "tiny":
        policy.train()
    return round(len(prompts) * args.rationales / seconds, 2)


def clock(device: str) -> tuple[float, float]:
    if device != "cpu":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def memory(device: str) -> float:
    """Memory in use now, in megabytes."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 1e6
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def peak(device: str) -> float:
    """The most that was in use, in megabytes."""
    if device != "cpu":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def added_memory(kind: str) -> float:
    """Megabytes that a step adds, in a fresh process with the same arguments."""
    words = [word for word in sys.argv[1:] if word not in ("--memory", "--generate")]
    out = subprocess.run([sys.executable, __file__, *words, "--only", kind], capture_output=True, text=True, check=True)
    return json.loads(out.stdout)["megabytes"]


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
