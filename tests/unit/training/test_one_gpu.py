"""The preset `one_gpu`: what its trainings hold on the device, counted on models of the real shapes without any weights."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Phi3Config

from retrace.decoding.batch_size import cache_bytes_per_token, rows_in
from retrace.machine.launch import strategy_for
from retrace.models.load import dtype_of
from retrace.training.adapters import adapter_options
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
DEVICE = 80e9
LEFT_FREE = 4e9  # CUDA's own, and the activations of a pass of four checkpointed rows
SHAPES = {
    "phi35_mini": Phi3Config(
        vocab_size=32064,
        hidden_size=3072,
        intermediate_size=8192,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
    ),
    "mistral_7b": MistralConfig(
        vocab_size=32768,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
    "llama31_8b": LlamaConfig(
        vocab_size=128256,
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_latro_with_adapters_fits_on_one_gpu_and_leaves_room_to_sample(name: str) -> None:
    from peft import get_peft_model

    settings = Settings({"preset": "one_gpu"}, CONFIG)
    options, launch = settings.for_target("gsm8k", name).latro, settings.for_target("gsm8k", name).launch
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(SHAPES[name], dtype=dtype_of(settings.model(name).dtype))
        count = model.num_parameters()
        assert count == pytest.approx(settings.model(name).parameters, rel=0.02)
        adapted = get_peft_model(model, adapter_options(options, "decoder_only"))
    trained = sum(weight.numel() for weight in adapted.parameters() if weight.requires_grad)
    held = sum(weight.numel() * weight.element_size() for weight in adapted.parameters())
    # Weights, which are adapters' in float32; gradients and two moments of the adapters; no reference.
    assert held == pytest.approx(2 * count + 4 * trained, rel=1e-6)
    held += 12 * trained
    free = int(DEVICE - LEFT_FREE - held)
    rows = rows_in(free, model, options.max_length + options.max_rationale_tokens, options.generation_batch_size)
    assert rows >= 16
    assert cache_bytes_per_token(model) == (393_216 if name == "phi35_mini" else 131_072)
    # All weights by AdamW in float32, and the reference, leave no room for as many rationales, or do not fit at all.
    whole = int(DEVICE - LEFT_FREE - (16 + 2) * count)
    assert whole < 0 or rows_in(whole, model, 1000, 256) < 16
    # All weights with the optimizer in the machine's memory: weights, gradients and reference in bfloat16.
    offloaded = int(DEVICE - LEFT_FREE - (2 + 2 + 2) * count)
    assert rows_in(offloaded, model, 1000, 256) >= 16
    assert (launch.of("latro").gpus, launch.of("latro").strategy) == (1, "ddp")
    assert launch.of("latro_sft").gpus == 1


def test_every_training_that_takes_eight_in_the_papers_takes_one_here() -> None:
    one, papers = (Settings({"preset": preset}, CONFIG) for preset in ("one_gpu", "paper"))
    found = set()
    for model in papers.models:
        theirs, ours = (settings.for_target("gsm8k", model).launch for settings in (papers, one))
        for training in theirs.trainings:
            if theirs.of(training).gpus > 1:
                found.add((model, training))
                assert ours.of(training).gpus == 1, (model, training)
                # DeepSpeed only where it offloads
                assert strategy_for(ours.of(training).strategy, 1) in ("ddp", "zero2_offload")
    assert {("phi35_mini", "latro"), ("gptj_6b", "learn_to_reason"), ("llama_2_7b", "dpo_st_dpo")} <= found


def test_a_single_gpu_for_a_training_of_the_papers_needs_no_deepspeed() -> None:
    """`--config 'launch={"trainings": {"latro": {"gpus": 1}}}'` leaves the preset's zero3 in place."""
    settings = Settings({"launch": {"trainings": {"latro": {"gpus": 1}}}}, CONFIG)
    placed = settings.for_target("gsm8k", "phi35_mini").launch.of("latro")
    assert (placed.gpus, placed.strategy) == (1, "zero3")
    assert strategy_for(placed.strategy, placed.gpus * placed.nodes) == "ddp"
