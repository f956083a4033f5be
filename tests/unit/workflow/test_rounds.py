"""Names of rounds."""

import pytest

from retrace.workflow.names import Checkpoints
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG

CHECKPOINTS = Checkpoints([CONFIG])


def settings(preset: str = "tiny", **user) -> Settings:
    return Settings({"preset": preset, **user}, CONFIG)


@pytest.mark.parametrize(
    ("name", "system", "number"),
    [
        ("sft", "grace", None),
        ("learn_to_reason_round0", "learn_to_reason", 0),
        ("learn_to_reason_round12", "learn_to_reason", 12),
        ("learn_to_reason_no_feedback_round1", "learn_to_reason", 1),
        ("learn_to_reason_single_round1", "learn_to_reason", 1),
    ],
)
def test_names_of_checkpoints(name: str, system: str, number: int | None) -> None:
    assert (CHECKPOINTS.system_of(name), CHECKPOINTS.round_of(name)) == (system, number)


@pytest.mark.parametrize(
    "name",
    ["learn_to_reason", "learn_to_reason_round01", "learn_to_reason_round", "x"],
)
def test_names_of_none(name: str) -> None:
    assert CHECKPOINTS.parse(name) is None
    assert CHECKPOINTS.round_of(name) is None


def test_round_zero_is_the_generator() -> None:
    assert settings().standing("gsm8k", "tiny_t5", "learn_to_reason_random_round0") == "sft"
    assert settings().standing("gsm8k", "tiny_t5", "learn_to_reason_round1") == "learn_to_reason_round1"
    assert settings().checkpoint("arithmetic", "tiny_t5", "learn_to_reason_round0") == "base"
    assert settings().checkpoint("gsm8k", "tiny_t5", "learn_to_reason_round0") == "sft"


def test_methods_mean_the_last_round_by_configuration() -> None:
    for rounds in (1, 4):
        chosen = settings(rounds={"learn_to_reason": rounds})
        last = {name: chosen.checkpoint("arithmetic", "tiny_t5", name) for name in ("learn_to_reason", "single_round")}
        assert last == {
            "learn_to_reason": f"learn_to_reason_round{rounds}",
            "single_round": "learn_to_reason_single_round1",
        }
    method = settings().method("learn_to_reason_no_reflection_round2_self_consistency")
    assert (method.checkpoint, method.decoder) == ("learn_to_reason_no_reflection_round2", "self_consistency")
    assert settings().method("learn_to_reason_round2").paper == "learn_to_reason"


def test_the_papers_student_is_the_headline() -> None:
    assert settings("paper").headline_model("gsm8k", "learn_to_reason") == "gptj_6b"
    assert settings("paper").headline_model("multiarith", "random_questions") == "gptj_6b"
    assert settings("paper").headline_model("multiarith", "greedy") == "llama_7b"
    assert settings("paper").headline_model("gsm8k") == "flan_t5_large"
    assert settings().headline_model("gsm8k", "learn_to_reason") == "tiny_t5"
