"""Seeds belong to a system: the papers' numbers of runs, and what a user says instead."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
FIVE = [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("method", "model", "seeds"),
    [
        ("grace", "flan_t5_large", FIVE),
        ("self_consistency", "flan_t5_large", FIVE),
        ("sft_greedy", "flan_t5_large", FIVE),
        ("grace", "llama_7b", [0, 1, 2]),
        ("dpo_st", "flan_t5_large", [0]),
        ("dpo_st", "llama_7b", [0]),  # the three runs are GRACE's
        ("sft", "flan_t5_large", [0]),  # the warm-up of DPO-ST
        ("dpo_st_round2", "flan_t5_large", [0]),
        ("dpo_st_round2_grace", "flan_t5_large", [0]),
        ("latro", "phi35_mini", [0]),
        ("base_maj", "phi35_mini", [0]),  # the frozen model, in LaTRO's table
        ("icot", "gpt2", [0]),
        ("learn_to_reason", "gptj_6b", [0]),
        ("learn_to_reason_round0", "gptj_6b", [0]),
    ],
)
def test_the_paper_preset_runs_as_often_as_each_paper(method: str, model: str, seeds: list[int]) -> None:
    assert Settings({"preset": "paper"}, CONFIG).seeds_of("gsm8k", model, method) == seeds


@pytest.mark.parametrize(
    ("user", "grace", "llama", "latro"),
    [
        ({"seeds": [7, 8]}, [7, 8], [7, 8], [7, 8]),  # a list holds for all systems, tasks and models
        ({"seeds": {"latro": [7, 8]}}, FIVE, [0, 1, 2], [7, 8]),
        ({"seeds": {"default": [7]}}, FIVE, [0, 1, 2], [7]),
        ({"seeds": {"grace": [7]}}, [7], [7], [0]),
        ({"seeds": [7], "overrides": [{"when": {"model": "llama_7b"}, "set": {"seeds": [9]}}]}, [7], [9], [7]),
        ({"seeds": [7], "overrides": [{"when": {"model": "phi35_mini"}, "set": {"seeds.latro": [9]}}]}, [7], [7], [9]),
        ({"overrides": [{"when": {"model": "llama_7b"}, "set": {"seeds": [9]}}]}, FIVE, [9], [0]),
    ],
)
def test_what_a_user_says_wins(user: dict, grace: list[int], llama: list[int], latro: list[int]) -> None:
    settings = Settings({"preset": "paper", **user}, CONFIG)
    assert settings.seeds_of("gsm8k", "flan_t5_large", "grace") == grace
    assert settings.seeds_of("gsm8k", "llama_7b", "grace") == llama
    assert settings.seeds_of("gsm8k", "phi35_mini", "latro") == latro


def test_methods_of_two_systems_are_compared_on_the_seeds_of_both() -> None:
    settings = Settings({"seeds": {"grace": [0, 1, 2], "dpo_st": [2, 1, 5]}}, CONFIG)
    assert settings.seeds_of("gsm8k", "flan_t5_large", "grace", "greedy") == [0, 1, 2]
    assert settings.seeds_of("gsm8k", "flan_t5_large", "grace", "dpo_st") == [1, 2]
    apart = Settings({"seeds": {"grace": [0, 1], "dpo_st": [2]}}, CONFIG)
    with pytest.raises(UserError, match=r"grace and dpo_st have no seed in common .*\[0, 1\]; \[2\]"):
        apart.seeds_of("gsm8k", "flan_t5_large", "grace", "dpo_st")


@pytest.mark.parametrize("preset", ["tiny", "smoke", "small"])
def test_small_presets_run_once(preset: str) -> None:
    settings = Settings({"preset": preset}, CONFIG)
    for method in ("grace", "dpo_st", "latro", "icot", "learn_to_reason"):
        assert settings.seeds_of("arithmetic", "tiny_gpt2", method) == [0]
