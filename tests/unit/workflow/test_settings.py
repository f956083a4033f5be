"""Layers of the configuration, and errors that name the key and the valid ones."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.models.options import load_model_config
from retrace.workflow.layers import merged
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets
from retrace.yaml_files import closest, read_yaml
from suites import first_daily

CONFIG = Path(__file__).parents[3] / "config"
PRESETS = sorted(path.stem for path in (CONFIG / "presets").glob("*.yaml"))


@pytest.mark.parametrize("preset", first_daily(["paper", *(name for name in PRESETS if name != "paper")]))
def test_every_preset_holds_for_every_task_and_model(preset: str) -> None:
    settings = Settings({"preset": preset}, CONFIG)
    for task in settings.tasks:
        for model in settings.models:
            assert settings.for_target(task, model).preset == preset


def test_paper_values_of_table_3() -> None:
    settings = Settings({"preset": "paper"}, CONFIG)
    values = {
        (task, model): settings.for_target(task, model).grace
        for task, model in [("gsm8k", "flan_t5_large"), ("svamp", "flan_t5_large"), ("mathqa", "flan_t5_large"),
                            ("gsm8k", "llama_7b"), ("svamp", "llama_7b"), ("multiarith", "llama_7b")]
    }  # fmt: skip
    table = {key: (g.beta, g.candidates, g.max_steps, g.top_p, g.temperature) for key, g in values.items()}
    assert table == {
        ("gsm8k", "flan_t5_large"): (0.7, 20, 8, 0.95, 1.0),
        ("svamp", "flan_t5_large"): (0.8, 20, 6, 1.0, 0.8),
        ("mathqa", "flan_t5_large"): (0.7, 20, 15, 0.95, 1.0),
        ("gsm8k", "llama_7b"): (0.7, 10, 8, 0.95, 0.7),
        ("svamp", "llama_7b"): (0.5, 10, 8, 0.95, 0.5),
        ("multiarith", "llama_7b"): (0.8, 10, 8, 0.95, 0.5),
    }


def test_guided_solutions_of_the_paper_have_room_for_all_their_steps() -> None:
    """The authors' code limits steps and their tokens, and nothing else."""
    for preset in ("paper", "grace_readme"):
        settings = Settings({"preset": preset}, CONFIG)
        for task in ("gsm8k", "svamp", "multiarith", "mathqa", "coin_flip", "tso"):
            for model in ("flan_t5_large", "llama_7b"):
                values = settings.for_target(task, model)
                for decoder in (values.grace, values.grace_self_consistency, values.stepwise):
                    assert decoder.max_new_tokens >= decoder.max_steps * decoder.max_step_tokens, (preset, task, model)


def test_a_frozen_model_is_shown_other_examples_in_each_pass() -> None:
    settings = Settings({"preset": "paper"}, CONFIG)
    llama, flan = (settings.for_target("svamp", model).sample for model in ("llama_7b", "flan_t5_large"))
    assert (llama.demonstrations_per_pass, llama.samples_per_pass) == (6, 1)
    assert (llama.temperature, llama.top_k) == (0.7, 50)  # p. 6-7: k = 50 for both models
    assert (flan.demonstrations_per_pass, flan.temperature, flan.top_k) == (0, 1.3, 50)
    assert llama.max_passes == flan.max_passes == -1


def test_what_the_user_says_wins_over_the_presets_overrides() -> None:
    assert Settings({"grace": {"beta": 0.3}}, CONFIG).for_target("svamp", "flan_t5_large").grace.beta == 0.3
    override = [{"when": {"task": ["svamp"]}, "set": {"grace.beta": 0.4}}]
    settings = Settings({"grace": {"beta": 0.3}, "overrides": override}, CONFIG)
    assert settings.for_target("svamp", "flan_t5_large").grace.beta == 0.4
    assert settings.for_target("gsm8k", "flan_t5_large").grace.beta == 0.3


def test_readme_preset_differs_from_the_paper_where_the_code_does() -> None:
    grace = Settings({"preset": "grace_readme"}, CONFIG).for_target("svamp", "flan_t5_large")
    assert (grace.grace.beta, grace.grace.max_steps, grace.align.max_cost, grace.discriminator.epochs) == (
        0.1,
        6,
        3.0,
        5,
    )


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"preset": "papper"}, "preset 'papper' is unknown; did you mean 'paper'"),
        ({"seds": [1]}, "unknown key 'seds'; did you mean 'seeds'"),
        ({"grace": {"bta": 0.3}}, "unknown key 'grace.bta'; did you mean 'beta'"),
        ({"grace": {"top_p": 1.5}}, "grace.top_p: .*less than or equal to 1.*1.5"),
        ({"seeds": []}, "seeds.default: "),
        ({"seeds": 3}, r"seeds: give a list, \[0, 1, 2\], or a list for each system.* \(got 3\)"),
        ({"seeds": {"lattro": [0]}}, "unknown key 'seeds.lattro'; did you mean 'latro'"),
        ({"seeds": [10**20]}, "seeds.default.0: .*less than or equal to 4294967295.*100000000000000000000"),
        ({"seeds": [-1]}, "seeds.default.0: .*greater than or equal to 0"),
        (
            {"icot_states": {"delta": "dynamics"}},
            r"icot_states\.delta: should be `dynamic` or a whole number from 0 on \(got 'dynamics'\)",
        ),
        ({"icot_states": {"delta": -1}}, r"should be `dynamic` or a whole number from 0 on \(got -1\)"),
        ({"icot": {"released_student": "a"}}, "released_student is set and released_emulator is not; give both"),
        ({"icot": {"released_student": "", "released_emulator": "b"}}, "released_student is empty; name a folder"),
        (
            {"align": {"embedder": "rosco"}},
            r"align.embedder 'rosco' is unknown; did you mean 'roscoe'\? valid: .*minilm, mpnet, .*simcse; or openai:MODEL",
        ),
        (
            {"align": {"embedder": "openai"}},
            "'openai': name the model, openai:text-embedding-ada-002 .* mpnet or minilm",
        ),
        (
            {"overrides": [{"when": {"task": "gsm8k"}, "set": {"align.embedder": "mpnt"}}]},
            "configuration of gsm8k with flan_t5_large: align.embedder 'mpnt' is unknown; did you mean 'mpnet'",
        ),
        (
            {"discriminator": {"released": "grace_discrim_gsm9k"}},
            "released .* is unknown; did you mean 'grace_discrim_gsm",
        ),
        (
            {"discriminator": {"released": "gpt2"}},
            "discriminator.released 'gpt2' is unknown; .*valid: grace_discrim_coin",
        ),
        ({"pair": {"entailment_model": "mnli"}}, "pair.entailment_model 'mnli' is unknown; .*roberta_large_mnli"),
        ({"overrides": [{"when": {"task": "gsmk"}, "set": {"grace.beta": 0}}]}, "when.task: 'gsmk' .*mean 'gsm8k'"),
        ({"overrides": [{"when": {"model": ["gpt2", "gpt3"]}, "set": {}}]}, "when.model: 'gpt3' is unknown; did you"),
        (
            {"overrides": [{"when": {"tsk": "gsm8k"}, "set": {}}]},
            "overrides.0: unknown key 'when.tsk'; did you mean 'task'",
        ),
        ({"launch": {"trainings": {"gpus": {"gpu": 1}}}}, "'launch.trainings.gpus.gpu'; did you mean 'gpus'"),
        ({"seeds": [0, 1, 0]}, "seeds.default: .*each seed counts once"),
        ({"grace": {"beta": 1.2}}, "grace.beta: .*less than or equal to 1.*1.2"),
        ({"grace": {"beta": float("nan")}}, "grace.beta.*nan"),
        ({"sweep": {"betas": [0.5, -0.1]}}, "sweep.betas.1: .*greater than or equal to 0"),
        ({"sft": {"batch_size": 20}}, "sft.batch_size 20 is no multiple of .*size 8; set device_batch_size to 5"),
        ({"dpo_st": {"dpo": {"batch_size": 100}}}, "dpo_st.dpo.batch_size 100 is no multiple of .*12; set .* to 10"),
        (
            {"discriminator": {"backbone": "flan_t5_lage"}},
            "backbone 'flan_t5_lage' is unknown; did you mean 'flan_t5_la",
        ),
        (
            {"verifier": {"backbone": "scrach"}},
            "verifier.backbone 'scrach' is unknown; did you mean 'scratch'.* roscoe",
        ),
        ({"discriminator": {"backbone": "minilmm"}}, "discriminator.backbone 'minilmm' is .* did you mean 'minilm'"),
        (
            {"discriminator": {"width": 64, "backbone": "generator"}},
            "discriminator.width 64 is for backbone scratch, and the backbone is generator; set it to -1",
        ),
        (
            {"verifier": {"lora_rank": 4, "backbone": "scratch"}},
            "verifier.lora_rank 4: adapters leave the random weights of backbone scratch as they are; set it to 0",
        ),
        (
            {"discriminator": {"pooling": "cls", "backbone": "mistral_7b"}},
            r"pooling cls: the first position of mistral_7b \(decoder-only\) sees no step; use last, mean or max",
        ),
    ],
)
def test_a_wrong_value_names_key_and_mend(user: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(user, CONFIG).for_target("gsm8k", "flan_t5_large")


@pytest.mark.parametrize("embedder", ["roscoe", "simcse", "mpnet", "minilm", "openai:any", "nobody/model"])
def test_embedders_that_may_be_named(embedder: str) -> None:
    assert Settings({"align": {"embedder": embedder}}, CONFIG).values.align.embedder == embedder


def test_all_values_of_an_option_are_found_in_the_presets_and_in_what_the_user_says() -> None:
    override = {"when": {"task": "gsm8k"}, "set": {"align.embedder": "mpnet"}}
    assert Settings({"overrides": [override]}, CONFIG).named("align.embedder") == {"roscoe", "mpnet"}
    assert Settings({}, CONFIG).named("discriminator.released") == set()


def test_a_fault_between_keys_is_said_without_the_whole_configuration() -> None:
    with pytest.raises(UserError) as refused:
        Settings({"launch": {"trainings": {"stf": {"gpus": 2}}}}, CONFIG)
    assert str(refused.value).startswith(
        "configuration: launch.trainings: 'stf' is no training; valid: base, dpo_st_sft, "
    )
    assert "got" not in str(refused.value)


def test_a_batch_that_one_process_cannot_share_out_is_left_to_several() -> None:
    several = {"sft": {"batch_size": 48, "device_batch_size": 32}, "launch": {"trainings": {"sft": {"gpus": 3}}}}
    assert Settings(several, CONFIG).values.sft.batch_size == 48
    assert Settings({"sft": {"batch_size": 4, "device_batch_size": 8}}, CONFIG).values.sft.batch_size == 4


@pytest.mark.parametrize("backbone", ["scratch", "generator", "minilm", "roscoe", "google/flan-t5-base"])
def test_a_backbone_is_a_name_or_a_place(backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (backbone, str(tmp_path)):
        assert Settings({"discriminator": {"backbone": name}}, CONFIG).values.discriminator.backbone == name
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Settings({"verifier": {"backbone": "mine"}}, CONFIG).values.verifier.backbone == "mine"


@pytest.mark.parametrize(("kind", "name"), [("task", "gms8k"), ("model", "flan_t5_lagre"), ("method", "grase")])
def test_a_wrong_name_gets_the_valid_ones(kind: str, name: str) -> None:
    with pytest.raises(UserError, match=f"{kind} '{name}' is unknown; did you mean"):
        getattr(Settings({}, CONFIG), kind)(name)


def test_for_an_unknown_model_only_those_are_named_that_write_solutions() -> None:
    with pytest.raises(UserError, match=r"model 'rosco' is unknown; .*valid: .*flan_t5_base, .*tiny_t5") as refused:
        Settings({}, CONFIG).generator_model("rosco")
    assert "roscoe" not in str(refused.value)


def test_any_checkpoint_goes_with_any_decoder() -> None:
    method = Settings({}, CONFIG).method("sft_grace_self_consistency")
    assert (method.checkpoint, method.decoder) == ("sft", "grace_self_consistency")


def test_a_scratch_model_is_frozen_where_the_task_brings_a_corpus() -> None:
    settings = Settings({"preset": "tiny"}, CONFIG)
    assert settings.checkpoint("arithmetic", "tiny_t5", "grace") == "base"
    assert settings.checkpoint("gsm8k", "tiny_t5", "grace") == "sft"
    assert settings.checkpoint("arithmetic", "tiny_t5", "sft_grace") == "sft"
    assert settings.checkpoint("gsm8k", "llama_7b", "grace") == "base"


def test_merged_goes_into_mappings_and_replaces_lists() -> None:
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merged(base, {"a": {"c": [3]}}) == {"a": {"b": 1, "c": [3]}, "d": 1}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


def test_closest_lists_all_names() -> None:
    assert closest("x", ["b", "a"]) == "valid: a, b"


def test_yaml_errors_name_the_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: 1\nb: [1\n")
    with pytest.raises(UserError, match=r"x.yaml:\d: not YAML"):
        read_yaml(path)


def test_a_model_comes_from_one_place(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: m\ntitle: M\nfamily: decoder_only\n")
    with pytest.raises(UserError, match="exactly one of"):
        load_model_config(path)
    path.write_text("name: other\ntitle: M\nfamily: decoder_only\nhub: a/b\n")
    with pytest.raises(UserError, match="its name is 'other'; make it 'm'"):
        load_model_config(path)


def test_the_schema_is_fresh() -> None:
    import make_schema

    assert make_schema.SCHEMA.read_text(encoding="utf-8") == make_schema.schema_text()


def test_what_is_learned_as_plain_text_is_refused_for_models_with_a_chat_template() -> None:
    settings = Settings({"dpo_st": {"form": "steps"}}, CONFIG)
    with pytest.raises(UserError, match=r"method 'dpo_st' of phi35_mini on gsm8k: dpo_st\.form steps is plain text"):
        settings.checkpoint("gsm8k", "phi35_mini", "dpo_st")
    assert Settings({}, CONFIG).checkpoint("gsm8k", "phi35_mini", "dpo_st") == "dpo_st_round3"
    with pytest.raises(UserError, match="a teacher's rationales are learned as plain text"):
        settings.checkpoint("gsm8k", "phi35_mini", "learn_to_reason")


def test_a_papers_methods_may_have_a_headline_model_of_their_own_on_a_task() -> None:
    tiny = Settings({"preset": "tiny"}, CONFIG)
    assert tiny.headline_model("running_sum", "icot") == "sum_gpt2"
    assert tiny.headline_model("mult_2x2", "icot") == "tiny_gpt2"
    assert tiny.headline_model("running_sum", "sft_greedy") == "tiny_t5"
    named = {"icot/running_sum": "small_gpt2", "running_sum": "tiny_gpt2"}
    known = Settings({"preset": "tiny", "headline_models": named}, CONFIG)
    assert known.headline_model("running_sum", "icot_undistilled") == "small_gpt2"
    assert known.headline_model("running_sum", "sft_greedy") == "tiny_gpt2"
    table = Targets(known).results_of_table("icot_table1")
    assert table[0] == "results/running_sum/small_gpt2/no_cot_acc.json"
    assert table[-1] == "results/mult_3x3/tiny_gpt2/icot_acc.json"
