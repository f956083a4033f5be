"""Names of checkpoints and methods, for any number of rounds; the text form and the splits that go with them."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.workflow.names import Checkpoints, base_decoder
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
CHECKPOINTS = Checkpoints([CONFIG])


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings({"preset": "paper"}, CONFIG)


@pytest.mark.parametrize(
    ("name", "shown", "number", "system"),
    [
        ("base", "base", None, "grace"),
        ("sft", "sft", None, "grace"),
        ("dpo_st_round0", "dpo_st_roundN", 0, "dpo_st"),
        ("dpo_st_round12", "dpo_st_roundN", 12, "dpo_st"),
        ("st_round3", "st_roundN", 3, "dpo_st"),
        ("dpo_round1", "dpo_roundN", 1, "dpo_st"),
        ("sft_continued_round2", "sft_continued_roundN", 2, "dpo_st"),
        ("sft_extra_round2", "sft_extra_roundN", 2, "dpo_st"),
    ],
)
def test_names_of_checkpoints(name, shown, number, system):
    named = CHECKPOINTS.parse(name)
    assert (named.kind.shown, named.round, CHECKPOINTS.system_of(name)) == (shown, number, system)


@pytest.mark.parametrize(
    "name", ["dpo_st_round", "dpo_st_round01", "dpo_round0", "sft_extra_round0", "st_roundx", "sftx"]
)
def test_names_of_no_checkpoint(name):
    assert CHECKPOINTS.parse(name) is None
    assert CHECKPOINTS.round_of(name) is None


def test_both_self_trainings_begin_with_one_warm_up(settings):
    assert settings.standing("gsm8k", "flan_t5_large", "st_round0") == "dpo_st_round0"
    assert settings.standing("gsm8k", "flan_t5_large", "st_round1") == "st_round1"


@pytest.mark.parametrize(
    ("method", "checkpoint", "decoder"),
    [
        ("dpo_st", "dpo_st_round3", "greedy"),
        ("st", "st_round3", "greedy"),
        ("sft", "dpo_st_round0", "greedy"),
        ("sft_greedy", "sft", "greedy"),
        ("dpo_st_round2", "dpo_st_round2", "greedy"),
        ("st_round0", "dpo_st_round0", "greedy"),
        ("dpo_round2", "dpo_round2", "greedy"),
        ("sft_continued_round1", "sft_continued_round1", "greedy"),
        ("dpo_st_round3_grace", "dpo_st_round3", "grace"),
        ("dpo_round1_self_consistency", "dpo_round1", "self_consistency"),
        ("dpo_st_round1_samples", "dpo_st_round1", "samples"),
        ("dpo_st_no_calculator", "dpo_st_round3", "greedy_no_calculator"),
        ("sft_no_calculator", "dpo_st_round0", "greedy_no_calculator"),
        ("st_round2_no_calculator", "st_round2", "greedy_no_calculator"),
        ("dpo_st_round2_beam_no_calculator", "dpo_st_round2", "beam_no_calculator"),
        ("grace_no_calculator", "sft", "grace_no_calculator"),
    ],
)
def test_methods(settings, method, checkpoint, decoder):
    assert settings.checkpoint("gsm8k", "flan_t5_large", method) == checkpoint
    assert settings.method(method).decoder == decoder
    assert decoder in settings.decoders
    assert base_decoder(decoder) == decoder.removesuffix("_no_calculator")


def test_the_number_of_rounds_is_configuration():
    two = Settings({"preset": "paper", "dpo_st": {"rounds": 2}}, CONFIG)
    assert two.checkpoint("gsm8k", "flan_t5_large", "dpo_st") == "dpo_st_round2"
    assert two.checkpoint("gsm8k", "flan_t5_large", "dpo_st_no_calculator") == "dpo_st_round2"
    with pytest.raises(UserError, match=r"has 2 rounds here \(dpo_st.rounds\); for more, set dpo_st.rounds"):
        two.checkpoint("gsm8k", "flan_t5_large", "dpo_st_round3")


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("dpo_st_round", "method 'dpo_st_round' is unknown; did you mean .*'dpo_st"),
        (
            "dpo_sr_round2_greedy",
            "did you mean 'dpo_st_round2_greedy' or .* Methods are the names in config/methods and",
        ),
        ("verifier_no_calculator", "the verifier ranks samples"),
        ("nothing_no_calculator", "method 'nothing_no_calculator' is unknown"),
    ],
)
def test_unknown_methods(settings, method, message):
    with pytest.raises(UserError, match=message):
        settings.method(method)


def test_rounds_are_called_as_in_the_paper(settings):
    assert settings.method("dpo_st_round2").paper_names == ["DPO-ST, iteration 2"]
    assert settings.method("st_round1").paper_names == ["Self-Training, iteration 1"]
    assert settings.method("dpo_round1").paper_names == []
    assert settings.method("dpo_st_round2_no_calculator").paper_names == [], "the paper's numbers are with it"


def test_the_text_form_and_the_splits_follow_the_checkpoint(settings):
    for checkpoint in ("dpo_st_round0", "st_round2", "dpo_round1", "sft_extra_round1"):
        assert settings.form("gsm8k", "flan_t5_large", checkpoint) == "dpo_st"
        assert settings.split("gsm8k", "flan_t5_large", checkpoint, "train") == "dpo_st_train"
        assert settings.split("gsm8k", "flan_t5_large", checkpoint, "test") == "test", "the same test set"
        assert settings.split("svamp", "flan_t5_large", checkpoint, "test") == "test"
    assert settings.form("gsm8k", "flan_t5_large", "sft") == "steps"
    assert settings.split("gsm8k", "flan_t5_large", "sft", "train") == "train"
    assert settings.transfer_split("svamp") == "transfer_test"
    assert settings.transfer_split("asdiv") == "test"
    own = Settings({"preset": "paper", "dpo_st": {"form": "steps", "splits": "task"}}, CONFIG)
    assert own.form("gsm8k", "flan_t5_large", "dpo_st_round1") == "steps"
    assert own.split("gsm8k", "flan_t5_large", "dpo_st_round1", "dev") == "dev"


def test_learn_to_reason_has_the_authors_form_where_it_exists(settings):
    """Its student before the first round, too, which stands under a name of its own then."""
    for task in ("gsm8k", "multiarith_kojima", "svamp", "commonsense_qa", "strategy_qa"):
        assert settings.form(task, "gptj_6b", "learn_to_reason_round2") == "learn_to_reason"
        assert settings.checkpoint(task, "gptj_6b", "learn_to_reason_round0") == "learn_to_reason_round0"
        assert settings.previous_round(task, "gptj_6b", "learn_to_reason_random", 1) == "learn_to_reason_round0"
        assert settings.weights_of(task, "gptj_6b", "learn_to_reason_round0") == "base"
    assert settings.previous_round("gsm8k", "gptj_6b", "learn_to_reason_random", 2) == "learn_to_reason_random_round1"
    assert settings.form("gsm8k", "gptj_6b", "base") == "steps"
    assert settings.form("mathqa", "gptj_6b", "learn_to_reason_round1") == "steps"
    assert settings.checkpoint("gsm8k", "flan_t5_large", "learn_to_reason_round0") == "sft"
    small = Settings({"preset": "tiny"}, CONFIG)
    assert small.form("gsm8k", "gptj_6b", "learn_to_reason_round1") == "steps"
    assert small.checkpoint("gsm8k", "gptj_6b", "learn_to_reason_round0") == "base"


@pytest.mark.parametrize(
    ("task", "model", "reason"),
    [
        ("gsm8k", "flan_t5_large", "is for decoder-only models"),
        ("gsm8k", "tiny_gpt2", "is for pretrained models"),
        (
            "mathqa",
            "gptj_6b",
            "is for tasks of family lettered_choice, word_problems, yes_no, but mathqa is of programs",
        ),
        ("asdiv", "gptj_6b", r"config/tasks/asdiv\.yaml names no worked examples"),
    ],
)
def test_learn_to_reason_is_refused_where_the_authors_form_does_not_exist(task: str, model: str, reason: str):
    settings = Settings({"learn_to_reason": {"form": "learn_to_reason"}, "preset": "tiny"}, CONFIG)
    with pytest.raises(
        UserError, match=f"method .learn_to_reason. of {model} on {task}: .*{reason}.*; set learn_to_reason"
    ):
        settings.checkpoint(task, model, "learn_to_reason")


def test_paper_values_of_learn_to_reason(settings):
    """As the authors' README, args.py, ds_stage3_config.json and utils.py have them."""
    tasks = {"gsm8k": 256, "svamp_kojima": 192, "multiarith": 192, "commonsense_qa": 96, "strategy_qa": 128}
    for task, tokens in tasks.items():
        values = settings.for_target(task, "gptj_6b")
        options = values.learn_to_reason
        assert (options.form, options.keep, options.validation_is_test) == ("learn_to_reason", "accuracy", False)
        assert options.answer_tokens == values.greedy.max_new_tokens == tokens
        assert (options.epochs, options.evaluations, options.max_grad_norm) == (10, 10, 0)


def test_paper_values_of_table_5(settings):
    def values(model):
        options = settings.for_target("gsm8k", model).dpo_st
        return (
            (options.sft.learning_rate, options.sft.batch_size, options.sft.epochs, options.sft.warmup_ratio),
            (options.dpo.learning_rate, options.dpo.batch_size, options.dpo.max_steps, options.dpo.beta),
            (options.pair_samples.samples, options.label_samples.samples, options.pair_samples.temperature),
        )

    assert values("flan_t5_large") == ((3e-4, 96, 8, 0.1), (7e-7, 96, 150, 0.1), (5, 3, 0.7))
    assert values("llama_2_7b") == ((2e-5, 128, 2, 0.03), (3e-7, 128, 100, 0.1), (5, 10, 0.7))
