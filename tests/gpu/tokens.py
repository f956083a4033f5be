"""Whether decoding writes the tokens of `generate`, and a GPU those of a CPU."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from gpu.measure import clean
from gpu.world import FAMILIES, World
from retrace.decoding.engine import Decoder
from retrace.decoding.sampling import generate

# How far below the most probable one a token's logit may lie, as a share of the logits' standard deviation: rounding.
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.15}
NEW_TOKENS = 24


def decoded(model: PreTrainedModel, tokenizer: Any, family: str, prompts: Sequence[str]) -> list[list[int]]:
    """Greedy tokens by Retrace's decoder, a list a prompt."""
    found = generate(
        Decoder(model, tokenizer, family), prompts, [str(n) for n in range(len(prompts))], max_new_tokens=NEW_TOKENS
    )
    rows = {answer.index: list(answer.samples[0].ids) for answer in found}
    return [rows[number] for number in range(len(prompts))]


@torch.no_grad()
def generated(model: PreTrainedModel, tokenizer: Any, prompts: Sequence[str]) -> list[list[int]]:
    """The same by `generate`, one prompt at a time."""
    rows = []
    for prompt in prompts:
        inputs = torch.tensor([tokenizer(prompt)["input_ids"]], device=model.device)
        ids = model.generate(
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )
        begin = 1 if model.config.is_encoder_decoder else inputs.shape[1]
        rows.append(ids[0, begin:].tolist())
    return rows


@torch.no_grad()
def gap(model: PreTrainedModel, tokenizer: Any, prompt: str, ids: Sequence[int]) -> float:
    """How far the tokens are from the most probable ones at most, in standard deviations of the logits."""
    asked = tokenizer(prompt)["input_ids"]
    said = torch.tensor([list(ids)], device=model.device)
    if model.config.is_encoder_decoder:
        start = torch.full((1, 1), model.config.decoder_start_token_id, device=model.device)
        given = {
            "input_ids": torch.tensor([asked], device=model.device),
            "decoder_input_ids": torch.cat([start, said], 1),
        }
        logits = model(**given).logits[0, :-1]
    else:
        whole = torch.cat([torch.tensor([asked], device=model.device), said], 1)
        logits = model(input_ids=whole).logits[0, len(asked) - 1 : -1]
    logits = logits.float()
    chosen = logits.gather(-1, said[0][:, None])[:, 0]
    return float(((logits.max(-1).values - chosen) / logits.std(-1)).max())


def equal_share(ours: Sequence[Sequence[int]], theirs: Sequence[Sequence[int]]) -> float:
    """Share of the tokens before the first that differs."""
    same = total = 0
    for one, other in zip(ours, theirs, strict=True):
        length = max(len(one), len(other))
        first = next((n for n in range(length) if list(one[n : n + 1]) != list(other[n : n + 1])), length)
        same, total = same + first, total + length
    return round(same / total, 4)


def compare(world: World, name: str) -> dict[str, float]:
    """Figures of one architecture. Raises AssertionError where a token is none that rounding explains."""
    found: dict[str, float] = {}
    torch.set_float32_matmul_precision("highest")  # trainings of other sections may have lowered it
    family = FAMILIES[name]
    prompts = [world.task.prompt(example.question, family=family) for example in world.short[:6]]
    for dtype in (torch.float32, torch.bfloat16):
        clean()
        model, tokenizer = world.build(name, dtype, world.device)
        ours, theirs = decoded(model, tokenizer, family, prompts), generated(model, tokenizer, prompts)
        kind = str(dtype).removeprefix("torch.")
        found[f"{kind}_as_generate"] = equal_share(ours, theirs)
        farthest = max(gap(model, tokenizer, prompt, ids) for prompt, ids in zip(prompts, ours, strict=True))
        found[f"{kind}_gap"] = round(farthest, 5)
        assert farthest <= ROUNDING[dtype], f"{name} in {kind}: a token is {farthest:.3f} deviations below the best"
        if dtype == torch.float32:
            assert ours == theirs, f"{name} in float32: other tokens than generate's ({found[f'{kind}_as_generate']})"
        if dtype == torch.float32 and world.device != "cpu":
            found["cpu_as_gpu"] = equal_share(decoded(model.cpu(), tokenizer, family, prompts[:2]), ours[:2])
            assert found["cpu_as_gpu"] == 1, f"{name}: the CPU writes other tokens than the GPU ({found['cpu_as_gpu']})"
        del model
    return found
