"""What a model card measures: which checkpoint answers, and with which decoders."""

import pytest

from retrace.errors import UserError
from retrace.workflow.cards import measured
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from unit.evaluation_data import CONFIG

SETTINGS = Settings({"preset": "smoke"}, CONFIG)
GREEDY = {"greedy": "with", "greedy_no_calculator": "without"}
GRACE = {"grace": "with", "grace_no_calculator": "without"}


@pytest.mark.parametrize(
    ("task", "model", "checkpoint", "answers", "split", "decoders"),
    [
        ("arithmetic", "tiny_t5", "sft", "sft", "test", GREEDY),
        ("arithmetic", "tiny_t5", "base", "base", "test", GREEDY),
        ("arithmetic", "tiny_t5", "dpo_st_round1", "dpo_st_round1", "test", GREEDY),
        ("arithmetic", "tiny_t5", "learn_to_reason_round0", "base", "test", GREEDY),
        ("arithmetic", "tiny_t5", "base_discriminator", "base", "test", GRACE),
        ("gsm8k", "flan_t5_large", "sft_discriminator", "sft", "test", GRACE),
        ("arithmetic", "tiny_t5", "base_verifier", "base", "test", {"verifier": "with"}),
        ("mult_2x2", "tiny_gpt2", "icot", "icot", "test", {"implicit": "none"}),
        ("gsm8k", "gpt2", "explicit_cot", "explicit_cot", "test", {"greedy": "none"}),
        ("gsm8k", "gpt2", "no_cot", "no_cot", "test", {"greedy": "none"}),
        ("gsm8k", "phi35_mini", "latro", "latro", "test", {"greedy": "none"}),  # a chat model
        ("coin_flip", "tiny_t5", "sft", "sft", "test", {"greedy": "none"}),
    ],
)
def test_both_ways_are_measured_where_there_are_two(task, model, checkpoint, answers, split, decoders) -> None:
    found = measured(SETTINGS, task, model, checkpoint)
    assert (found.checkpoint, found.split, found.decoders) == (answers, split, decoders)
    Targets(SETTINGS).check(f"results/{task}/{model}/seed0/{checkpoint}/model_card.md")


@pytest.mark.parametrize(
    ("task", "model", "checkpoint", "said"),
    [
        ("mult_2x2", "tiny_gpt2", "icot_student", "icot_student is a part of icot.*icot/model_card.md is the one"),
        ("gsm8k", "flan_t5_large", "base", "the weights of the model flan_t5_large.*base_greedy_acc.json"),
        ("gsm8k", "llama_7b", "learn_to_reason_round0", "the weights of the model llama_7b"),
        ("arithmetic", "tiny_t5", "stf", "checkpoint 'stf' is unknown"),
        ("arithmetic", "tiny_t5", "icot", "needs a decoder-only model"),
    ],
)
def test_a_card_that_cannot_be_measured_is_explained(task, model, checkpoint, said) -> None:
    target = f"results/{task}/{model}/seed0/{checkpoint}/model_card.md"
    with pytest.raises(UserError, match=said) as refused:
        Targets(SETTINGS).check(target)
    assert str(refused.value).startswith(f"{target}: ")
