"""A job runs again where what defines its task, split or model changed, and not where a title did."""

import pytest

from retrace.errors import UserError
from retrace.workflow import definitions
from retrace.workflow.default_targets import default_targets
from retrace.workflow.settings import Settings
from retrace.workflow.shards import ShardNumbers, limit_of
from unit.evaluation_data import CONFIG
from unit.workflow.test_needs import HUB

SETTINGS = Settings({"preset": "paper"}, CONFIG)
GSM8K = SETTINGS.task("gsm8k")


def test_a_digest_does_not_know_the_order_of_keys() -> None:
    assert definitions.digest({"a": 1, "b": [2]}) == definitions.digest({"b": [2], "a": 1})
    assert definitions.digest({"a": 1}) != definitions.digest({"a": 2})
    assert len(definitions.digest([])) == 12


def test_a_title_defines_nothing() -> None:
    assert definitions.of_task(GSM8K.model_copy(update={"title": "Other", "splits": {}})) == definitions.of_task(GSM8K)
    assert definitions.of_task(GSM8K.model_copy(update={"delimiter": " ; "})) != definitions.of_task(GSM8K)
    model = SETTINGS.model("flan_t5_large")
    assert definitions.of_model(model.model_copy(update={"parameters": 1})) == definitions.of_model(model)
    assert definitions.of_model(model.model_copy(update={"revision": "0" * 40})) != definitions.of_model(model)


def test_a_split_is_defined_by_its_source() -> None:
    assert definitions.of_split(GSM8K, "train") != definitions.of_split(GSM8K, "test")
    with pytest.raises(UserError, match="task gsm8k has no split trian; it has train"):
        definitions.of_split(GSM8K, "trian")


def test_what_is_generated_avoids_the_questions_of_files_beside_it() -> None:
    task = SETTINGS.task("mult_4x4")
    fewer = task.model_copy(update={"splits": {"train": task.splits["train"]}})
    assert definitions.of_split(fewer, "train") != definitions.of_split(task, "train")
    fewer = task.model_copy(update={"splits": {"test": task.splits["test"]}})
    assert definitions.of_split(fewer, "test") == definitions.of_split(task, "test")


def test_snakemake_alone_makes_the_table_or_what_small_models_can() -> None:
    papers = default_targets(SETTINGS)
    assert papers[-2:] == ["results/tables/grace_table1.html", "results/report.html"]
    assert "results/svamp/llama_7b/grace_self_consistency_acc.json" in papers
    assert len(papers) == 32
    targets = default_targets(Settings({"preset": "smoke"}, CONFIG))
    assert "results/arithmetic/tiny_t5/compare/grace_vs_greedy.json" in targets
    assert targets[-2:] == ["results/configuration.yaml", "results/report.html"]


def test_a_preset_names_the_tasks_that_snakemake_alone_compares_methods_on() -> None:
    laptop = {"preset": "laptop"}
    targets = default_targets(Settings(laptop, CONFIG))
    folder = "results/multiarith/smollm2_135m_q4_1"
    for name in ("verifier_acc.json", "compare/grace_vs_greedy.json", "grace_beta_sweep.svg"):
        assert f"{folder}/{name}" in targets
    assert f"{folder}/seed0/sft_discriminator/report.json" in targets
    more = default_targets(Settings({**laptop, "default_tasks": ["svamp", "multiarith"], "seeds": [0, 1, 2]}, CONFIG))
    assert set(targets) < set(more)
    assert "results/svamp/smollm2_135m_q4_1/seed2/sft_discriminator/report.json" in more
    assert len(set(more)) == len(more)
    assert default_targets(Settings({"preset": "paper", "default_tasks": ["gsm8k"]}, CONFIG)) != default_targets(
        SETTINGS
    )


def test_the_laptop_preset_fits_a_laptop() -> None:
    """A step of its trainings reads at most 16 rows of 256 tokens at once: what 24 GB hold with this model."""
    for task in ("multiarith", "svamp"):
        values = Settings({"preset": "laptop"}, CONFIG).for_target(task, "smollm2_135m_q4_1")
        for name in ("sft", "latro_sft", "dpo_st_sft", "dpo_st_dpo", "latro"):
            training = values.trainings()[name]
            assert training.device_batch_size <= 16, name
            assert training.precision == "float32"
            assert training.learning_rate <= 1e-4, name  # the tiny preset's rates ruin a pretrained model
        assert values.sft.max_length == 256
        assert values.latro.lora_rank > 0
        assert values.dpo_st.labelled == 289
        assert (values.require_gpu, values.launch.gpus) == (False, 0)
        assert set(values.threads.model_dump().values()) == {1}


def test_what_a_split_is_followed_by_defines_it_too() -> None:
    task = SETTINGS.task("multiarith_and_svamp")
    alone = task.splits["train"].model_copy(update={"followed_by": []})
    assert "followed_by" not in alone.model_dump(mode="json")
    shorter = task.model_copy(update={"splits": {**task.splits, "train": alone}})
    assert definitions.of_split(shorter, "train") != definitions.of_split(task, "train")
    assert definitions.of_split(shorter, "train") == definitions.of_split(SETTINGS.task("multiarith"), "train")
    other = task.splits["further"].model_copy(update={"sha256": "0" * 64})
    changed = task.model_copy(update={"splits": {**task.splits, "further": other}})
    assert definitions.of_split(changed, "train") != definitions.of_split(task, "train")
    assert definitions.sources_beside(task, "train") == [task.splits["further"]]
    assert definitions.of_split(changed, "dev") == definitions.of_split(task, "dev")


def test_rows_of_a_split_are_limited_by_its_kind() -> None:
    smoke = Settings({"preset": "smoke"}, CONFIG)
    limits = smoke.for_target("arithmetic", "tiny_t5").limits
    assert limit_of(smoke, "arithmetic", "test") == limits.test
    assert limit_of(smoke, "arithmetic", "no_split") == -1


def decode_shards(**shards) -> int:
    settings = Settings({"preset": "paper", "shards": {"decode": 3, **shards}}, CONFIG)
    number = ShardNumbers(
        settings,
        CONFIG,
        step="decode",
        made_by="decode",
        names=["checkpoint", "decoder", "split"],
        argv=lambda wildcards: ["guided", "--candidates", "20", "--samples", "1", "--max-steps", "8"],
        inputs=lambda wildcards: ["results/data/gsm8k/test.jsonl"],
    )
    wildcards = type(HUB)(**vars(HUB), checkpoint="sft", decoder="grace", split="test")
    assert number(wildcards) == number(wildcards)
    return number(wildcards)


def test_a_step_is_split_as_the_configuration_says_or_more() -> None:
    assert decode_shards(longest_hours=0) == 3
    assert decode_shards(longest_hours=0.001) > 3
