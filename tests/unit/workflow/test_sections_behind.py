"""Which sections of the configuration a result rests on."""

from pathlib import Path

import pytest

from retrace.workflow.sections_behind import sections_behind
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
PAPER = Settings({"preset": "paper"}, CONFIG)
TINY = Settings({"preset": "tiny"}, CONFIG)
GUIDANCE = ["sample", "align", "pair", "discriminator"]
LEARNING = ["exam", "teacher", "feedback", "learn_to_reason", "rounds"]


@pytest.mark.parametrize(
    ("settings", "task", "model", "method", "sections"),
    [
        (TINY, "arithmetic", "tiny_t5", "greedy", ["base", "greedy"]),
        (PAPER, "gsm8k", "flan_t5_large", "verifier", ["sft", "sample", "verifier", "self_consistency"]),
        (TINY, "arithmetic", "tiny_t5", "learn_to_reason_round2", ["base", *LEARNING, "greedy"]),
        (TINY, "gsm8k", "tiny_t5", "learn_to_reason_random_round1", ["base", "sft", *LEARNING, "greedy"]),
        (PAPER, "gsm8k", "gptj_6b", "learn_to_reason_round0", ["learn_to_reason", "greedy"]),
        (TINY, "arithmetic", "tiny_t5", "grace", ["base", *GUIDANCE, "sweep", "grace"]),
        (PAPER, "gsm8k", "flan_t5_large", "grace", ["sft", *GUIDANCE, "grace"]),
        (PAPER, "gsm8k", "flan_t5_large", "stepwise", ["sft", "stepwise"]),
        (PAPER, "gsm8k", "flan_t5_large", "best_of_n", ["sft", "best_of_n"]),
        (PAPER, "gsm8k", "flan_t5_large", "dpo_st", ["dpo_st", "greedy"]),
        (PAPER, "gsm8k", "flan_t5_large", "dpo_round1_samples", ["dpo_st"]),
        (PAPER, "gsm8k", "phi35_mini", "base_maj", ["maj"]),
        (PAPER, "gsm8k", "phi35_mini", "latro_maj", ["latro", "maj"]),
        (PAPER, "gsm8k", "phi35_mini", "latro", ["latro", "maj", "greedy"]),
        (TINY, "gsm8k", "tiny_gpt2", "latro_sft_maj", ["base", "sft", "latro_sft", "maj"]),
        (PAPER, "gsm8k", "gpt2", "no_cot", ["icot_data", "no_cot", "greedy"]),
        (
            PAPER,
            "gsm8k",
            "gpt2",
            "icot",
            ["icot_data", "explicit_cot", "icot_states", "icot_student", "icot_emulator", "icot", "implicit"],
        ),
    ],
)
def test_sections_behind_a_result(settings: Settings, task: str, model: str, method: str, sections: list[str]) -> None:
    asked = settings.method(method)
    checkpoint = settings.checkpoint(task, model, method)
    assert sections_behind(settings, task, model, checkpoint, asked.decoder, asked.votes) == sections


def test_a_released_network_has_nothing_behind_it() -> None:
    released = {"released_student": "student", "released_emulator": "emulator"}
    settings = Settings({"preset": "paper", "icot": released}, CONFIG)
    assert sections_behind(settings, "gsm8k", "gpt2", "icot", "implicit") == ["icot_data", "icot", "implicit"]
