"""Cost of batch-invariant inference on a CPU, in processor time of one run. Prints one JSON line.

    OMP_NUM_THREADS=1 python tests/benchmarks/benchmark_exact.py decoding [--prompt-tokens 540] [--layers 30]
    OMP_NUM_THREADS=1 python tests/benchmarks/benchmark_exact.py judge

decoding: greedy answers of a Llama-like model with random weights; ratio: with the option `exact: always` over `never`.
judge: scores of a step discriminator of T5-small's sizes; ratio: exact rows over rows that depend on each other;
float64_ratio: the whole network in float64 over exact rows.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]


def processor_seconds(actions, rounds):
    """Median processor time of each action; they take turns, so that a busy machine slows all of them."""
    spent = {name: [] for name in actions}
    for _ in range(rounds):
        for name, action in actions.items():
            began = time.process_time()
            action()
            spent[name].append(time.process_time() - began)
    return {name: median(times) for name, times in spent.items()}


def decoding(options):
    """Actions that decode 16 questions of a Llama-like model with and without exact rows."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig

    from retrace.decoding.engine import Decoder
    from retrace.decoding.sampling import generate
    from unit.model_zoo import llama_tokenizer

    tokenizer = llama_tokenizer()
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.unk_token, "left"
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64,
        num_key_value_heads=max(1, options.width // 192),
        intermediate_size=round(options.width / 24) * 64,
        tie_word_embeddings=True,
    )
    questions = [f"Tom has {a} boxes of {b} pens. How many pens? A:" for a in range(2, 6) for b in range(3, 7)]
    sentence = "Ann has 3 pens. "
    fill = sentence * (options.prompt_tokens // len(tokenizer(sentence, add_special_tokens=False)["input_ids"]))

    def action(exact):
        torch.manual_seed(0)
        decoder = Decoder(AutoModelForCausalLM.from_config(config), tokenizer, "decoder_only", exact=exact)
        texts = [fill + question for question in questions]
        return lambda: list(generate(decoder, texts, questions, max_new_tokens=32, batch_size=16))

    return {exact: action(exact) for exact in ("always", "never")}


def judge(options):
    """Actions that score 32 rows with a network of T5-small's sizes: exact, in float64, and neither."""
    import torch

    from retrace.models.discriminator import StepDiscriminator
    from retrace.models.encoder_head import scratch_encoder
    from retrace.models.exact import make_rows_independent
    from unit.tiny_models import arithmetic_task, problems, tiny_generator

    examples = problems(32)
    _, tokenizer = tiny_generator(arithmetic_task(), examples)
    contexts = [f"Q: {one.question} {one.question} A: {' '.join(one.steps)}" for one in examples]
    steps = [f"{one.steps[-1]} |" for one in examples]

    def action(kind):
        torch.manual_seed(0)
        network = StepDiscriminator(scratch_encoder(tokenizer, 512, 6, 8, 2048, 0.0, seed=1), tokenizer).eval()
        if kind == "float64":
            network.double()
        if kind != "never":
            make_rows_independent(network)

        @torch.inference_mode()
        def score():
            return network.score_contexts(contexts, steps, 32)

        return score

    return {kind: action(kind) for kind in ("always", "never", "float64")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["decoding", "judge"])
    parser.add_argument("--prompt-tokens", type=int, default=0, help="tokens in front of each question")
    parser.add_argument("--layers", type=int, default=30)
    parser.add_argument("--width", type=int, default=576)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    spent = processor_seconds((decoding if options.what == "decoding" else judge)(options), options.rounds)
    found = {"what": options.what, "ratio": round(spent["always"] / spent["never"], 2)}
    if "float64" in spent:
        found["float64_ratio"] = round(spent["float64"] / spent["always"], 2)
    print(json.dumps(found | {"seconds": {name: round(value, 2) for name, value in spent.items()}}))


if __name__ == "__main__":
    main()
