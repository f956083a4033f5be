"""What a wrong target is told: the valid names, or a target that works."""

import re
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.workflow.paper_tables import names
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets

CONFIG = Path(__file__).parents[3] / "config"
SETTINGS = Settings({"preset": "paper"}, CONFIG)
TARGETS = Targets(SETTINGS)
RULES = ["all", "data", "icot"]
T5 = "results/gsm8k/flan_t5_large"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("results/gms8k/grace_acc.json", "task 'gms8k' is unknown; did you mean 'gsm8k'\\? valid: "),
        ("results/gsm8k/grase_acc.json", "method 'grase' is unknown; did you mean 'grace' or"),
        ("results/gsm8k/flan_t5_lage/grace_acc.json", "'flan_t5_lage' is unknown; did you mean 'flan_t5_large'"),
        ("results/gsm8k/roscoe/grace_acc.json", "model 'roscoe' is an encoder and writes no solutions; valid: "),
        (f"{T5}/compare/grace_vs_gredy.json", "method 'gredy' is unknown; did you mean 'greedy'"),
        (f"{T5}/compare/grace_vs_latro.json", "method 'latro' .* needs a decoder-only model"),
        (
            "results/tables/grace_table9.html",
            "there is no table grace_table9; did you mean 'grace_table\\d'\\? valid: dpo_st_figure1, ",
        ),
        (
            "results/tables/grace_table1.pdf",
            "is made as grace_table1.csv, grace_table1.md, grace_table1.tex, grace_table1.html, grace_table1.json",
        ),
        ("results/figures/dpo_st_round.svg", "there is no figure dpo_st_round; valid: dpo_st_rounds, "),
        ("results/figures/latro_gsm8k_gpt3.svg", "model 'gpt3' is unknown; did you mean 'gpt2'"),
        ("results/figures/latro_gsm8k_flan_t5_large.svg", "needs a decoder-only model"),
        ("results/figures/learn_to_reason_asdiv.svg", "asdiv has no split train"),
        ("results/gsm8k/grace.json", "there is no such result; those of a task are results/gsm8k/ and METHOD_acc"),
        ("results/gsm8k/gpt2/compare/grace.json", "there is no such result"),
        ("results/gsm8k/gpt2/grace_beta_sweepp.json", "there is no such result"),
        ("results/gsm8k/phi35_mini/grace_beta_sweep.svg", "answers in prose"),
        (f"{T5}/icot_speed.json", "needs a decoder-only model"),
        ("results/arc_challenge/flan_t5_large/dpo_st_pass_at_k.json", "is for word problems"),
        ("results/gsm8k", "there is no such result; those of a task are results/gsm8k/ and "),
        ("results/", "a folder and no target"),
        ("results/data/gsm8k/trian.jsonl", "task gsm8k has results/data/gsm8k/train.jsonl, results/data/gsm8k/dev.js"),
        ("results/data/gsm9k/train.jsonl", "task 'gsm9k' is unknown; did you mean 'gsm8k'"),
        ("results/models/gpt3", "model 'gpt3' is unknown; did you mean 'gpt2'"),
        ("results/models/tiny_t5", "trained from scratch .* results/TASK/tiny_t5/seed0/base/model"),
        ("results/gsm8k/gpt2/seed0/base/model", "is fetched once for all tasks and seeds: results/models/gpt2"),
        ("results/gsm8k/gpt2/seed0/nonsense/greedy/test.jsonl", "checkpoint 'nonsense' is unknown; valid: base, "),
        ("results/gsm8k/gpt2/seed0/sft/gredy/test.jsonl", "decoder 'gredy' is unknown; did you mean 'greedy'"),
        ("results/gsm8k/gpt2/seed0/no_cot_deep/greedy/test.jsonl", "a control for models from scratch; gpt2 comes"),
        (f"{T5}/seed0/dpo_st_round999/model", "has 3 rounds here"),
        (f"{T5}/seed0/dpo_st_round999/round.json", "has 3 rounds here"),
        (f"{T5}/seed0/icot_student/model", "needs a decoder-only model"),
        ("results/commonsense_qa/flan_t5_large/seed0/sft_discriminator/model", "has final answers only"),
        (f"{T5}/seed12345678901234567890/sft/model", "seed12345678901234567890: seeds go from 0 to 4294967295"),
        (
            "results/gsm8k/gpt2/seed0/icot/greedy/test.jsonl",
            "icot is decoded with implicit alone; use the method icot",
        ),
        (f"{T5}/seed0/sft/greedy/tset.jsonl", "task gsm8k has no split 'tset'; did you mean 'test'"),
        (f"{T5}/seed007/sft/model", "seed007: write seed7"),
        ("results/svamp/flan_t5_large/transfer/gsm8k/grace_acc.json", "on svamp under transfer/gsm8k: .* sft_greedy"),
        ("results/svamp/flan_t5_large/transfer/gsm8k/seed0/sft/grace/test.jsonl", "on svamp under transfer/gsm8k"),
        ("results/mult_6x6/icot_acc.json", "task 'mult_6x6' is unknown; did you mean 'mult_"),
        ("results/mult_4x4/gpt2/compare/icot_vs_nocot.json", "method 'nocot' is unknown; did you mean 'no_cot'"),
        ("results/gsm8k/learn_to_reason_round01_acc.json", "method 'learn_to_reason_round01' is unknown"),
        ("results/gsm8k/learn_to_reason_single_round2_acc.json", "has 1 rounds here"),
        ("results/gsm8k/learn_to_raeson_acc.json", "did you mean 'learn_to_reason'"),
        ("results/gsm8k/phi35_mini/learn_to_reason_acc.json", "a teacher's rationales are learned as plain text"),
        ("results/figures/learn_to_reason_arithmetics.svg", "'arithmetics' is unknown; did you mean 'arithmetic'"),
        ("results/svamp/flan_t5_large/transfer/gsm8/dpo_st_acc.json", "task 'gsm8' is unknown; did you mean 'gsm8k'"),
    ],
)
def test_a_wrong_target_gets_the_valid_ones(target: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TARGETS.check(target)


@pytest.mark.parametrize(
    "target",
    [
        "results/configuration.yaml",
        "results/report.html",
        "results/gsm8k/grace_acc.json",
        f"{T5}/seed0/sft/model",
        f"{T5}/seed0/sft_discriminator/report.json",
        f"{T5}/seed0/sft/grace/test.jsonl",
        f"{T5}/seed4294967295/dpo_st_round3/round.json",
        "results/gsm8k/gptj_6b/seed0/learn_to_reason_round1/price.json",
        "results/gsm8k/tiny_gpt2/seed0/icot_student/model",
        "results/gsm8k/gptj_6b/seed0/base/exam/marks.jsonl",
        f"{T5}/seed0/sft/greedy/test.timing.jsonl",
        "results/gsm8k/gpt2/seed0/icot/model",
        "results/gsm8k/gpt2/seed0/icot/implicit/test.jsonl",
        "results/gsm8k/gpt2/seed0/explicit_cot/states",
        "results/mult_4x4/gpt2/icot_speed.json",
        "results/data/gsm8k/icot_train.jsonl",
        "results/models/roscoe",
        "results/asdiv/flan_t5_large/transfer/gsm8k/dpo_st_acc.json",
        *(f"results/tables/{table}.html" for table in names(SETTINGS)),
        "results/figures/learn_to_reason_gsm8k.svg",
        "results/figures/latro_gsm8k_phi35_mini.svg",
    ],
)
def test_what_can_be_made_is_let_through(target: str) -> None:
    TARGETS.check(target)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("gsm8k", "no target by itself; .* for instance results/gsm8k/grace_acc.json"),
        ("commonsense_qa", "for instance results/commonsense_qa/greedy_acc.json"),
        ("asdiv", "for instance results/asdiv/base_acc.json"),  # nothing can be trained on it
        ("grace", "for instance results/gsm8k/grace_acc.json"),
        ("icot_table1", "for instance results/tables/icot_table1.html"),
        ("no_cot_deep", "no target; targets are files"),
        ("dpo_st_round2", "for instance results/gsm8k/dpo_st_round2_acc.json"),
        ("phi35_mini", "for instance results/gsm8k/phi35_mini/greedy_acc.json"),
        ("dpo_st_rounds", "for instance results/figures/dpo_st_rounds.svg"),
        ("gsm8kk", "or one of all, data, icot; did you mean 'gsm8k'"),
        ("gsm8k/grace_acc.json", "write results/gsm8k/grace_acc.json"),
        ("tables/grace_table1.html", "write results/tables/grace_table1.html"),
        ("/home/me/run/results/gsm8k/grace_acc.json", "without it: write results/gsm8k/grace_acc.json"),
        ("/elsewhere/results/gsm8k/grace_acc.json", "named from the folder that the run is in .* write results/..."),
    ],
)
def test_a_word_that_is_no_path_below_results_is_explained(word: str, message: str) -> None:
    reason = TARGETS.explain_word(word, Path("/home/me/run"), RULES)
    assert reason is not None
    assert re.search(message, reason), reason


@pytest.mark.parametrize("word", ["all", "icot", "results/gsm8k/grace_acc.json", "logs/gsm8k/x.log"])
def test_rules_and_paths_are_no_words_to_explain(word: str) -> None:
    assert TARGETS.explain_word(word, Path("/home/me/run"), RULES) is None


def test_a_table_is_made_of_the_papers_models_or_of_the_small_one() -> None:
    assert "results/svamp/flan_t5_base/transfer/gsm8k/dpo_st_acc.json" in TARGETS.results_of_table("dpo_st_table2")
    tiny = Targets(Settings({"preset": "tiny"}, CONFIG)).results_of_table("icot_table1")
    ways = ("no_cot", "explicit_cot", "icot")
    assert set(tiny) == {
        f"results/{place}/{way}_acc.json"
        for place in ("running_sum/sum_gpt2", "mult_2x2/tiny_gpt2", "mult_3x3/tiny_gpt2")
        for way in ways
    }
    with pytest.raises(UserError, match="method 'latro' of flan_t5_large on gsm8k: it needs a decoder-only"):
        Targets(Settings({"headline_models": {"latro": "flan_t5_large"}}, CONFIG)).check("results/gsm8k/latro_acc.json")
