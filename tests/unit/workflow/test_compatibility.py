"""Which combinations of task, model and method work: the whole table, and what is said of one that does not."""

import json
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
SETTINGS = Settings({"preset": "paper"}, CONFIG)

GENERATORS = [name for name in SETTINGS.models if SETTINGS.model(name).family != "encoder"]
T5 = {"flan_t5_small", "flan_t5_base", "flan_t5_large", "tiny_t5"}
RELEASED = {f"flan_t5_large_{task}_released" for task in ("gsm8k", "mathqa", "svamp")}
CHAT = {"phi35_mini", "mistral_7b", "llama31_8b"}
FEW_SHOT = {"llama_7b", "gptj_6b"}
SCRATCH = {"tiny_t5", "tiny_gpt2", "small_gpt2", "sum_gpt2"}
PRETRAINED = set(GENERATORS) - SCRATCH
UNSOLVED = {"commonsense_qa", "arc_challenge"}  # final answers only
NOT_WORD_PROBLEMS = {
    *("aqua", "arc_challenge", "coin_flip", "commonsense_qa", "last_letters", "mathqa", "object_tracking"),
    *("strategy_qa", "tso"),
    *("mult_2x2", "mult_3x3", "mult_4x4", "mult_5x5"),
}
SAMPLES = (1, 5, 10, 20, 40)  # figure 4 of GRACE
SHORTER = " ".join(f"self_consistency_n{n}" for n in SAMPLES) + " self_consistency_t05 base_maj32 "
SHORTER += " ".join(f"base_l{length}" for length in (200, 300, 400, 500, 1000))
GUIDED = "grace_naive grace_pairwise grace_binary grace_flan_small grace_flan_base "
GUIDED += " ".join(f"grace_self_consistency_n{n}" for n in SAMPLES)
# (methods, tasks that cannot be, models that cannot be); asdiv, which has test questions only, is apart.
TABLE = [
    ("greedy beam self_consistency verifier base base_maj base_few_shot base_few_shot_maj", set(), set()),
    (SHORTER, set(), set()),
    (GUIDED, UNSOLVED, CHAT),
    ("stepwise", set(), CHAT),
    ("grace grace_self_consistency", UNSOLVED, CHAT),
    ("dpo_st dpo_st_draws5 dpo_st_draws10 st sft", NOT_WORD_PROBLEMS, set()),
    ("rft", UNSOLVED, CHAT),
    ("no_cot", set(), T5 | RELEASED),
    ("icot_undistilled", set(), T5 | RELEASED),
    ("explicit_cot icot icot_si no_cot_from_teacher", UNSOLVED, T5 | RELEASED),
    ("no_cot_deep", set(), PRETRAINED | {"tiny_t5"}),
    ("latro latro_maj latro_maj32 latro_short latro_sft latro_sft_maj", set(), T5 | RELEASED),
    (
        "learn_to_reason no_feedback no_reflection random_questions single_round "
        "learn_to_reason_ratio25 learn_to_reason_ratio75 learn_to_reason_ratio100",
        set(),
        CHAT,
    ),
]
# On asdiv nothing can be trained, and no worked examples can be shown.
ASDIV = {
    **dict.fromkeys(f"greedy beam self_consistency base base_maj {SHORTER}".split(), RELEASED | CHAT),
    "stepwise": RELEASED,
}


def works(settings: Settings, task: str, model: str, method: str) -> bool:
    try:
        settings.checkpoint(task, model, method)
    except UserError:
        return False
    return True


def test_the_table_is_about_every_method() -> None:
    assert sorted(name for names, *_ in TABLE for name in names.split()) == SETTINGS.methods
    assert {name for name in GENERATORS if SETTINGS.model(name).chat} == CHAT
    assert {name for name in GENERATORS if SETTINGS.model(name).scratch} == SCRATCH


@pytest.mark.parametrize(
    ("methods", "tasks", "models"),
    [
        pytest.param(*row, marks=pytest.mark.slow if row is TABLE[-1] else [], id=row[0].split()[0])  # of long chains
        for row in TABLE
    ],
)
def test_every_combination_of_the_configuration(methods: str, tasks: set[str], models: set[str]) -> None:
    for method in methods.split():
        for task in SETTINGS.tasks:
            found = {model for model in GENERATORS if works(SETTINGS, task, model, method)}
            if task == "asdiv":
                assert found == ASDIV.get(method, set()), (method, task)
            else:
                assert found == (set() if task in tasks else set(GENERATORS) - models), (method, task)


@pytest.mark.parametrize(
    ("combination", "said"),
    [
        (
            ("commonsense_qa", "flan_t5_large", "grace"),
            "'grace' of flan_t5_large on commonsense_qa: a discriminator is trained on wrong steps beside the references', "
            "and commonsense_qa has final answers only; valid tasks: addsub, aqua, arithmetic, arithmetic_tail, "
            "coin_flip, gsm8k, ",
        ),
        (
            ("gsm8k", "phi35_mini", "grace"),
            "phi35_mini answers in prose, through its chat template; valid models: flan_t5",
        ),
        (
            ("gsm8k", "flan_t5_large", "latro"),
            "it needs a decoder-only model, flan_t5_large is of family encoder_decoder",
        ),
        (("gsm8k", "flan_t5_large", "dpo_st_round999"), r"dpo_st \(DPO-ST\) has 3 rounds here .* set dpo_st.rounds"),
        (("gsm8k", "gptj_6b", "learn_to_reason_round4"), "has 3 rounds here .*; for more, set rounds.learn_to_reason"),
        (("gsm8k", "gptj_6b", "sft_continued_round7"), "sft_continued .* has 3 rounds here"),
        (("gsm8k", "flan_t5_large", "sft_extra_round1"), "dpo_st.labelled is -1, so all are used; set it to a number"),
        (
            ("arc_challenge", "flan_t5_large", "dpo_st"),
            "is for word problems, but arc_challenge is of family multiple_choice",
        ),
        (
            ("asdiv", "flan_t5_large", "greedy"),
            "asdiv has no split train, .* results/asdiv/flan_t5_large/transfer/TASK/gr",
        ),
        (
            ("asdiv", "llama_7b", "greedy"),
            "6 worked examples, and asdiv has neither .*; valid models: flan_t5_large_gsm8k",
        ),
        (("gsm8k", "gpt2", "icot_greedy"), "icot is decoded with implicit alone; use the method icot"),
        (("gsm8k", "gpt2", "sft_implicit"), "implicit decodes what icot couples, and sft is no such checkpoint"),
        (
            ("gsm8k", "gpt2", "explicit_cot_beam"),
            "an end token between steps and answer; valid methods: explicit_cot_best",
        ),
        (
            ("gsm8k", "gpt2", "no_cot_grace"),
            "no_cot writes texts with separators, .*valid methods: no_cot_beam, no_cot_best",
        ),
        (
            ("gsm8k", "gpt2", "no_cot_few_shot"),
            "no_cot was trained on texts without worked examples; valid methods: no_co",
        ),
        (("gsm8k", "llama_7b", "dpo_st_few_shot"), "unknown"),
        (("gsm8k", "llama_7b", "dpo_st_round1_few_shot"), "was trained on texts without worked examples"),
        (
            ("gsm8k", "gpt2", "no_cot_deep"),
            "a control for models from scratch; gpt2 comes pretrained; valid models: small_",
        ),
    ],
)
def test_a_combination_that_cannot_work_gets_one_that_does(combination: tuple[str, str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SETTINGS.checkpoint(*combination)


@pytest.mark.parametrize("task", ["asdiv", "mathqa", "coin_flip", "arithmetic"])
@pytest.mark.parametrize("form", ["learn_to_reason", "learn_to_reason_zero_shot"])
def test_learn_to_reasons_own_prompts_need_examples_of_the_answered_task(task: str, form: str) -> None:
    settings = Settings({"preset": "paper", "learn_to_reason": {"form": form}}, CONFIG)
    fits = form == "learn_to_reason_zero_shot" and settings.task(task).family == "word_problems"
    if fits:
        assert settings.checkpoint("gsm8k", "gptj_6b", "learn_to_reason", task)
    else:
        with pytest.raises(UserError, match=rf"under transfer/gsm8k: .*{task}.*set learn_to_reason.form to steps"):
            settings.checkpoint("gsm8k", "gptj_6b", "learn_to_reason", task)


@pytest.mark.parametrize(
    ("user", "combination", "said"),
    [
        (
            {"pair": {"step_judge": "entailment"}},
            ("gsm8k", "flan_t5_large", "grace"),
            "entailment is for symbolic tasks",
        ),
        (
            {"discriminator": {"backbone": "generator", "pooling": "cls"}},
            ("gsm8k", "llama_7b", "grace"),
            "discriminator.pooling cls reads the first position, which does not see the step",
        ),
        (
            {"verifier": {"backbone": "generator", "pooling": "cls"}},
            ("gsm8k", "llama_7b", "verifier"),
            "verifier.pooling cls reads the first position",
        ),
        (
            {"teacher": {"kind": "oracle"}},
            ("commonsense_qa", "gptj_6b", "learn_to_reason"),
            "oracle needs reference",
        ),
        (
            {"rounds": {"as_one": True}},
            ("gsm8k", "gptj_6b", "learn_to_reason"),
            "each of 3 rounds the training steps of all",
        ),
        (
            {"feedback": {"questions": "random"}},
            ("gsm8k", "gptj_6b", "learn_to_reason"),
            r"set it in a file of config/checkpoints with `made_from: \[learn_to_reason\]`",
        ),
    ],
)
def test_options_decide_too(user: dict, combination: tuple[str, str, str], said: str) -> None:
    assert SETTINGS.checkpoint(*combination)
    with pytest.raises(UserError, match=said):
        Settings(user, CONFIG).checkpoint(*combination)


def test_options_of_the_ablations_of_learn_to_reason_set_for_all() -> None:
    """What the ablation's own file says goes on as before; of the method itself it is refused (above)."""
    as_one, random = {"rounds": {"as_one": True}}, {"feedback": {"questions": "random"}}
    assert Settings(as_one, CONFIG).checkpoint("gsm8k", "gptj_6b", "single_round") == "learn_to_reason_single_round1"
    assert Settings(as_one, CONFIG).checkpoint("gsm8k", "gptj_6b", "learn_to_reason_round0")
    assert (
        Settings(random, CONFIG).checkpoint("gsm8k", "gptj_6b", "random_questions") == "learn_to_reason_random_round3"
    )


@pytest.mark.parametrize(
    ("user", "combination"),
    [
        ({"discriminator": {"released": "grace_discrim_gsm8k"}}, ("commonsense_qa", "flan_t5_large", "grace")),
        ({"grace": {"beta": 0}}, ("commonsense_qa", "flan_t5_large", "grace")),
        ({"dpo_st": {"form": "steps"}}, ("arc_challenge", "flan_t5_large", "dpo_st")),
        ({"dpo_st": {"rounds": 5}}, ("gsm8k", "flan_t5_large", "dpo_st_round5")),
        ({"icot": {"released_student": "a", "released_emulator": "b"}}, ("asdiv", "gpt2", "icot")),
        ({"dpo_st": {"labelled": 100}}, ("gsm8k", "flan_t5_large", "sft_extra_round1")),
    ],
)
def test_options_that_make_a_combination_work(user: dict, combination: tuple[str, str, str]) -> None:
    assert not works(SETTINGS, *combination)
    assert works(Settings(user, CONFIG), *combination)


@pytest.mark.parametrize("method", ["grace", "stepwise", "verifier"])
def test_what_is_trained_beside_the_questions_does_not_transfer(method: str) -> None:
    with pytest.raises(UserError, match=r"on svamp under transfer/gsm8k: .*; valid methods: sft_beam, sft_best_of_n, "):
        SETTINGS.checkpoint("gsm8k", "flan_t5_large", method, "svamp")
    assert SETTINGS.checkpoint("gsm8k", "flan_t5_large", "dpo_st", "asdiv") == "dpo_st_round3"
    with pytest.raises(
        UserError, match="is for word problems, but gsm8k is of family word_problems, mathqa of family prog"
    ):
        SETTINGS.checkpoint("gsm8k", "flan_t5_large", "dpo_st", "mathqa")


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A configuration with two models of the user's own, BART and mT5, in a working folder that has fetched a third."""
    networks = {
        "bart": {"model_type": "bart", "is_encoder_decoder": True, "architectures": ["BartForConditionalGeneration"]},
        "mt5": {"model_type": "mt5", "is_encoder_decoder": True, "relative_attention_num_buckets": 32},
    }
    config = tmp_path / "config"
    config.mkdir()
    for part in CONFIG.iterdir():
        if part.name != "models":
            (config / part.name).symlink_to(part)
    (config / "models").mkdir()
    for file in (CONFIG / "models").iterdir():
        (config / "models" / file.name).symlink_to(file)
    for name, network in networks.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps(network))
        (config / "models" / f"{name}.yaml").write_text(
            f"name: {name}\ntitle: Mine\nfamily: encoder_decoder\nfile: {tmp_path / name}\n"
        )
    (config / "models" / "fetched.yaml").write_text(
        "name: fetched\ntitle: B\nfamily: encoder_decoder\nhub: facebook/bart-base\n"
    )
    monkeypatch.chdir(tmp_path)
    return Settings({}, config)


def test_an_encoder_decoder_that_is_no_t5_is_refused_while_planning(own_models: Settings, tmp_path: Path) -> None:
    assert own_models.checkpoint("gsm8k", "mt5", "greedy") == "sft"
    with pytest.raises(UserError, match=r"bart/config.json: an encoder-decoder of type 'bart'; .* only T5 and similar"):
        own_models.checkpoint("gsm8k", "bart", "greedy")
    # A model of the Hub is not known before it is fetched, and then it is.
    assert own_models.checkpoint("gsm8k", "fetched", "greedy") == "sft"
    (tmp_path / "results/models/fetched").mkdir(parents=True)
    (tmp_path / "results/models/fetched/config.json").write_text((tmp_path / "bart/config.json").read_text())
    with pytest.raises(UserError, match=r"results/models/fetched/config\.json: an encoder-decoder of type 'bart'"):
        own_models.checkpoint("gsm8k", "fetched", "sft_beam")


OWN = "name: {name}\ntitle: Mine\nfamily: {family}\nfile: {folder}\n"


@pytest.mark.parametrize(
    ("network", "family", "said"),
    [
        (
            {"model_type": "llama"},
            "encoder_decoder",
            r"mine/config\.json: a model of family decoder_only \(llama\), but config/models/own\.yaml says 'family: enc",
        ),
        (
            {"model_type": "mamba"},
            "decoder_only",
            r"mine/config\.json: a model of type 'mamba', which is not a supported",
        ),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "awq"}},
            "decoder_only",
            r"its weights are quantized \(awq\)",
        ),
        ({"model_type": "odd", "auto_map": {"AutoModel": "a.B"}}, "decoder_only", "its own code .*never run here"),
    ],
)
def test_a_network_that_does_not_work_is_refused_while_planning(
    own_models: Settings, tmp_path: Path, network: dict, family: str, said: str
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/config.json").write_text(json.dumps(network))
    (tmp_path / "config/models/own.yaml").write_text(OWN.format(name="own", family=family, folder=tmp_path / "mine"))
    settings = Settings({}, tmp_path / "config")
    for method in ("greedy", "grace", "base_maj"):
        with pytest.raises(UserError, match=said):
            settings.checkpoint("gsm8k", "own", method)


def test_a_model_without_a_chat_template_is_refused_while_planning(own_models: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    (tmp_path / "config/models/own.yaml").write_text(
        OWN.format(name="own", family="decoder_only", folder=folder) + "chat: true\n"
    )

    def checkpoint(method: str = "base") -> str:
        return Settings({}, tmp_path / "config").checkpoint("gsm8k", "own", method)

    assert checkpoint() == "sft"  # nothing is known of its tokenizer
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>"}))
    with pytest.raises(
        UserError, match=r"mine/tokenizer_config\.json: the tokenizer has no chat template, and config/mod"
    ):
        checkpoint()
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert checkpoint() == "sft"
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ messages }}"}))
    assert checkpoint() == "sft"
    # A model that is asked through its template answers in prose.
    for method, why in (("grace", "answers in prose"), ("learn_to_reason", "learned as plain text"), ("rft", "chat")):
        with pytest.raises(UserError, match=why):
            checkpoint(method)
    for method in ("dpo_st", "latro", "sft"):
        assert checkpoint(method)


@pytest.mark.parametrize(
    ("lines", "checkpoint"), [("generator: base\ndemonstrations: 4", "base"), ("generator: sft", "sft")]
)
def test_a_model_from_a_package_is_used_frozen_or_fine_tuned(tmp_path: Path, lines: str, checkpoint: str) -> None:
    source = (CONFIG / "models/smollm2_135m_q4_1.yaml").read_text().replace("smollm2_135m_q4_1", "mine")
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine.yaml").write_text(f"{source}{lines}\n")
    settings = Settings({"preset": "paper", "own": str(tmp_path)}, CONFIG)
    for method in ("greedy", "grace", "verifier", "latro"):
        assert settings.checkpoint("multiarith", "mine", method) in (checkpoint, "latro")
    assert settings.checkpoint("multiarith", "mine", "dpo_st") == "dpo_st_round3"
    (tmp_path / "models/mine.yaml").write_text(f"{source}generator: base\nchat: true\n")
    chat = Settings({"preset": "paper", "own": str(tmp_path)}, CONFIG)
    assert chat.checkpoint("gsm8k", "mine", "latro") == "latro"
    with pytest.raises(UserError, match="mine answers in prose, through its chat template"):
        chat.checkpoint("gsm8k", "mine", "grace")
