"""Training steps of Learn-to-Reason: the question read once for three rationales, against three full passes, in one run.

    python tests/benchmarks/benchmark_reflection.py --family decoder_only --prompt 60 --rationale 30

The reference reads question and rationale anew for the sample, the positive and the negative, as the authors' code does.
Both take whole optimiser steps on the same batches, from the same weights; the losses agree. Times are processor seconds
of this process, so that other work on the machine counts for little. Prints one JSON line.
"""

import argparse
import copy
import json
import platform
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))

PAD, START, END = 0, 0, 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=("decoder_only", "encoder_decoder"), default="decoder_only")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--prompt", type=int, default=60, help="mean tokens of a question")
    parser.add_argument("--rationale", type=int, default=30, help="mean tokens of a rationale")
    parser.add_argument("--rounds", type=int, default=7, help="the median of so many is given")
    parser.add_argument("--steps", type=int, default=5, help="optimiser steps a round")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

    from retrace.systems.learn_to_reason.contrastive import (
        ReflectionRow,
        collate_reflection,
        last_state,
        reflection_counts,
        reflection_sums,
        share_questions,
        triplet_losses,
    )
    from retrace.training.data import Row

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.family == "decoder_only":
        sizes = {"n_positions": 1024, "n_embd": args.width, "n_layer": args.layers, "n_head": 4}
        model = GPT2LMHeadModel(
            GPT2Config(
                vocab_size=args.vocabulary,
                resid_pdrop=0,
                embd_pdrop=0,
                attn_pdrop=0,
                bos_token_id=END,
                eos_token_id=END,
                **sizes,
            )
        )
    else:
        sizes = {"d_model": args.width, "d_kv": args.width // 4, "d_ff": 2 * args.width, "num_heads": 4}
        layers = {"num_layers": args.layers, "num_decoder_layers": args.layers, "dropout_rate": 0.0}
        model = T5ForConditionalGeneration(T5Config(vocab_size=args.vocabulary, **sizes, **layers))

    def words(mean: int) -> list[int]:
        count = int(torch.randint(mean * 3 // 4, mean * 5 // 4 + 1, ()))
        return torch.randint(2, args.vocabulary, (count,)).tolist()

    def row() -> ReflectionRow:
        target = [*words(args.rationale), END]
        return ReflectionRow(
            Row(words(args.prompt), target, [False] * len(target)),
            [*words(args.rationale), END],
            [*words(args.rationale), END],
        )

    rows = sorted((row() for _ in range(args.batch * args.steps)), key=lambda one: one.length)
    batches = [rows[start : start + args.batch] for start in range(0, len(rows), args.batch)]
    start = START if args.family == "encoder_decoder" else None

    def once(network: torch.nn.Module, part: list[ReflectionRow]) -> torch.Tensor:
        batch = collate_reflection(part, PAD, 0.1, start)
        return (reflection_sums(network, batch, False, 1.0) / reflection_counts(batch)).sum()

    def separately(network: torch.nn.Module, part: list[ReflectionRow]) -> torch.Tensor:
        losses, states = [], []
        for side in ("sample", "positive", "negative"):
            targets = [one.sample.target if side == "sample" else getattr(one, side) for one in part]
            plain = [
                ReflectionRow(Row(one.sample.ids, target, [False] * len(target)), [], [])
                for one, target in zip(part, targets, strict=True)
            ]
            batch = collate_reflection(plain, PAD, 0.1, start)
            hidden, mask, loss = pass_over(network, batch)
            states.append(last_state(hidden, mask))
            losses.append(loss)
        return losses[0] + triplet_losses(*states, 1.0).mean()

    def pass_over(network: torch.nn.Module, batch: dict) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """One plain forward pass, with logits of everything."""
        from retrace.systems.learn_to_reason.contrastive import weighted_loss

        if args.family == "encoder_decoder":
            names = ("input_ids", "attention_mask", "decoder_input_ids")
            out = network(**{name: batch[name] for name in names}, output_hidden_states=True, use_cache=False)
            hidden, mask = out.decoder_hidden_states[-1], batch["decoder_mask"]
        else:
            # Question and rationale without a gap between them, as one row is usually put.
            part = batch["part"]
            order = torch.argsort((part == 4).int(), dim=1, stable=True)
            ids, real = batch["input_ids"].gather(1, order), part.gather(1, order) < 4
            out = network(input_ids=ids, attention_mask=real.long(), output_hidden_states=True, use_cache=False)
            hidden, mask = out.hidden_states[-1], real
            batch = {name: batch[name].gather(1, order) for name in ("labels", "weights")}
        return (
            hidden,
            mask,
            weighted_loss(out.logits, batch["labels"], batch["weights"]) / batch["labels"].ne(-100).sum(),
        )

    def run(way) -> tuple[float, list[float]]:
        network = copy.deepcopy(model).train()
        share_questions(network)
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
        losses = []
        began = time.process_time()
        for part in batches:
            loss = way(network, part)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()
            losses.append(loss.item())
        return time.process_time() - began, losses

    run(once)
    run(separately)
    pairs = [(run(once), run(separately)) for _ in range(args.rounds)]
    ours, theirs = pairs[0][0][1], pairs[0][1][1]
    assert all(abs(one - other) < 1e-3 * abs(other) for one, other in zip(ours, theirs, strict=True)), (ours, theirs)
    print(
        json.dumps(
            {
                "benchmark": "reflection",
                "family": args.family,
                "ratio": round(statistics.median(other / one for (one, _), (other, _) in pairs), 3),
                "wanted_at_least": 1.5,
                "steps_per_second": round(args.steps / statistics.median(one for (one, _), _ in pairs), 2),
                "reference_steps_per_second": round(
                    args.steps / statistics.median(other for _, (other, _) in pairs), 2
                ),
                "prompt": args.prompt,
                "rationale": args.rationale,
                "batch": args.batch,
                "threads": args.threads,
                "device": platform.processor() or platform.machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
