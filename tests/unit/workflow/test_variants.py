"""Variants: what is made from a checkpoint, decoder or method by a few other options has names of its own."""

import re
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.workflow.sections_behind import sections_behind
from retrace.workflow.settings import Settings
from retrace.workflow.targets import Targets

CONFIG = Path(__file__).parents[3] / "config"


def settings(own: Path, preset: str = "paper", **files: str) -> Settings:
    """The shipped YAMLs and these: `method_mine="..."` is config/methods/mine.yaml, without its name."""
    for file, text in files.items():
        kind, _, name = file.partition("_")
        folder = own / f"{kind}s"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.yaml").write_text(f"name: {name}\n{text}\n")
    return Settings({"preset": preset}, CONFIG, own)


def test_a_decoder_with_other_options(tmp_path: Path) -> None:
    known = settings(tmp_path, decoder_wide="extends: grace\nset: {grace.candidates: 40}")
    values = known.for_target("gsm8k", "flan_t5_large", "sft", "wide")
    assert values.grace.candidates == 40
    assert known.for_target("gsm8k", "flan_t5_large", "sft", "grace").grace.candidates == 20
    assert known.checkpoint("gsm8k", "flan_t5_large", "sft_wide") == "sft"
    assert known.method("sft_wide_no_calculator").decoder == "wide_no_calculator"
    assert known.method("wide").checkpoint == "generator", "a decoder alone is a method"


def test_a_checkpoint_with_other_options(tmp_path: Path) -> None:
    known = settings(tmp_path, checkpoint_short="extends: sft\nset: {sft.epochs: 1}")
    assert known.for_target("gsm8k", "flan_t5_large", "short").sft.epochs == 1
    assert known.for_target("gsm8k", "flan_t5_large", "sft").sft.epochs != 1
    assert known.checkpoint("gsm8k", "flan_t5_large", "short_greedy") == "short"
    assert known.checkpoints.variants("sft") == ["sft", "short"]
    assert known.shipped_checkpoint("short") == "sft"
    assert known.checkpoints["short"].title == "Fine-tuning on worked solutions (short)"


def test_a_variant_of_rounds_has_its_own_steps_and_controls(tmp_path: Path) -> None:
    known = settings(tmp_path, checkpoint_ten="extends: dpo_st\nset: {dpo_st.pair_samples.samples: 10}")
    checkpoints = known.checkpoints
    assert {"ten_dpo", "ten_sft_continued", "ten_sft_extra"} <= set(checkpoints)
    assert (checkpoints.step_of("ten"), checkpoints.main_loop("ten_dpo")) == ("ten_dpo", "ten")
    assert checkpoints["ten_dpo"].made_from == ["ten"]
    assert known.for_target("gsm8k", "flan_t5_large", "ten_dpo_round2").dpo_st.pair_samples.samples == 10
    assert known.checkpoint("gsm8k", "flan_t5_large", "ten_round2") == "ten_round2"
    assert known.standing("gsm8k", "flan_t5_large", "ten_round0") == "dpo_st_round0", (
        "the warm-up does not depend on it"
    )
    assert checkpoints.root("ten_round2") == "dpo_st"


def test_a_variant_with_another_start_has_its_own_round_0(tmp_path: Path) -> None:
    known = settings(
        tmp_path,
        checkpoint_longer="extends: dpo_st\nset: {dpo_st.sft.epochs: 9}",
        checkpoint_plain="extends: st\nset: {dpo_st.sft.epochs: 9}",
    )
    assert known.standing("gsm8k", "flan_t5_large", "longer_round0") == "longer_round0"
    assert known.standing("gsm8k", "flan_t5_large", "plain_round0") == "plain_round0"


def test_the_number_of_rounds_of_a_variant(tmp_path: Path) -> None:
    known = settings(
        tmp_path,
        checkpoint_five="extends: learn_to_reason\nset: {rounds.learn_to_reason: 5}",
        method_five="title: Five\ncheckpoint: five_last\ndecoder: greedy\npaper: learn_to_reason",
    )
    assert known.checkpoint("gsm8k", "gptj_6b", "five") == "five_round5"
    assert known.checkpoint("gsm8k", "gptj_6b", "learn_to_reason") == "learn_to_reason_round3"


def test_a_method_brings_what_it_sets(tmp_path: Path) -> None:
    known = settings(
        tmp_path,
        method_unaligned="extends: grace\nset: {align.skip_alignment: true, grace.candidates: 5}",
        method_ten="extends: dpo_st\nset: {dpo_st.label_samples.samples: 10}",
    )
    method = known.method("unaligned")
    assert (method.checkpoint, method.decoder, method.paper_names) == ("generator", "unaligned", [])
    decoder = known.decoder("unaligned")
    assert (decoder.guide, decoder.set) == ("unaligned_discriminator", {"grace.candidates": 5})
    named = known.checkpoints.parse("sft_unaligned_discriminator")
    assert (named.generator, named.kind.set) == ("sft", {"align.skip_alignment": True})
    assert known.checkpoints.own_trajectories("unaligned_discriminator") == "discriminator", "the samples are the same"
    values = known.for_target("gsm8k", "flan_t5_large", "sft", "unaligned")
    assert (values.align.skip_alignment, values.grace.candidates) == (True, 5)
    assert known.checkpoint("gsm8k", "flan_t5_large", "ten") == "ten_round3"
    assert known.for_target("gsm8k", "flan_t5_large", "ten_round3").dpo_st.label_samples.samples == 10


def test_a_variant_that_samples_otherwise_has_trajectories_of_its_own(tmp_path: Path) -> None:
    known = settings(tmp_path, method_hot="extends: grace\nset: {sample.temperature: 1.5}")
    assert known.checkpoints.own_trajectories("hot_discriminator") == "hot_discriminator"


def test_what_a_variant_rests_on_is_what_the_original_does(tmp_path: Path) -> None:
    known = settings(tmp_path, method_unaligned="extends: grace\nset: {align.skip_alignment: true}")
    sections = ["sft", "sample", "align", "pair", "discriminator", "grace"]
    assert sections_behind(known, "gsm8k", "flan_t5_large", "sft", "unaligned") == sections


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"checkpoint_mine": "extends: sft\nset: {grace.beta: 1}"},
            r"checkpoints/mine.yaml: set: grace.beta is not an option of what this checkpoint makes itself \(sft\)",
        ),
        (
            {"decoder_mine": "extends: grace\nset: {greedy.calculator: false}"},
            r"decoders/mine.yaml: set: greedy.calculator is not an option of this decoder \(grace\)",
        ),
        (
            {"method_mine": "extends: grace\nset: {sft.epochs: 3}"},
            r"methods/mine.yaml: set: sft.epochs is not an option of the checkpoint or decoder"
            r".*name it \(`checkpoint: sft`\)",
        ),
        (
            {"checkpoint_mine": "extends: sft\nset: {sft.epoch: 1}"},
            r"set: 'sft.epoch' is not an option .*did you mean 'epochs'",
        ),
        ({"decoder_mine": "extends: grace\nset: {grace.bata: 1}"}, r"set: 'grace.bata' is not an option .*mean 'beta'"),
        (
            {"checkpoint_mine": "extends: sft\nsystem: grce"},
            r"mine.yaml: system: 'grce' is not a system; did you mean 'grace'",
        ),
        (
            {"checkpoint_mine": "extends: sft\nsections: [sftt]"},
            r"sections: 'sftt' is not an option .*did you mean 'sft'",
        ),
        ({"checkpoint_mine": "extends: sft\nform: dpo_st.from"}, r"form: 'dpo_st.from' is not an option .*mean 'form'"),
        (
            {"method_mine": "title: a\ncheckpoint: sft\ndecoder: greedy\npaper: grce"},
            r"mine.yaml: paper: 'grce' is not a system; did you mean 'grace'",
        ),
        ({"checkpoint_mine": "extends: sfd"}, r"mine.yaml: extends: checkpoint 'sfd' is unknown; did you mean 'sft'"),
        ({"checkpoint_mine": "extends: mine"}, r"mine.yaml: extends: checkpoints extend each other in a circle"),
        ({"checkpoint_mine": "title: none"}, r"mine.yaml: needs `system`, or `extends`"),
        ({"checkpoint_sft": "extends: base"}, r"sft.yaml: .*config/checkpoints/sft.yaml also has that name"),
        ({"checkpoint_mine_round2": "extends: sft"}, r"names ending in _last or _roundN are reserved for rounds"),
        ({"checkpoint_mine_verifier": "extends: sft"}, r"names that end in _verifier are reserved for its networks"),
        (
            {"checkpoint_mine": "extends: sft\nstarts_from: bose"},
            r"mine.yaml: starts_from: there is no checkpoint 'bose'",
        ),
        ({"checkpoint_mine": "extends: base"}, r"mine.yaml: extends: base has no options of its own, and no variants"),
        ({"checkpoint_generator": "extends: sft"}, r"generator means the model's own choice of a checkpoint"),
        ({"decoder_model": "extends: greedy"}, r"model.yaml: model is a folder of every checkpoint"),
        ({"decoder_x_no_calculator": "extends: greedy"}, r"names that end in _no_calculator are those of decoders"),
        (
            {"method_x_no_calculator": "extends: greedy\nset: {greedy.max_new_tokens: 9}"},
            r"names that end in _no_calculator are those of decoders",
        ),
        ({"method_dpo_st_round2": "extends: greedy"}, r"dpo_st_round2 is dpo_st_round2 decoded with greedy; give it"),
        ({"method_latro_beam": "extends: greedy"}, r"latro_beam is latro decoded with beam; give it another name"),
    ],
)
def test_what_is_faulty_stops_only_what_needs_it(tmp_path: Path, files: dict[str, str], message: str) -> None:
    known = settings(tmp_path, **files)
    kind, _, name = next(iter(files)).partition("_")
    with pytest.raises(UserError, match=message):
        known.checkpoint("gsm8k", "flan_t5_large", f"{name}_greedy" if kind == "checkpoint" else name)
    assert re.search(message, known.faults()[0])
    assert known.checkpoint("gsm8k", "flan_t5_large", "base_beam") == "base"


def test_a_wrong_value_names_the_file(tmp_path: Path) -> None:
    known = settings(tmp_path, decoder_wide="extends: grace\nset: {grace.candidates: none}")
    with pytest.raises(UserError, match=r"with `set` of .*decoders/wide.yaml: grace.candidates: .*got 'none'"):
        known.checkpoint("gsm8k", "flan_t5_large", "sft_wide")


def test_a_wrong_value_of_a_method_names_the_file_once(tmp_path: Path) -> None:
    options = "{grace.candidates: none, discriminator.epochs: 3}"
    known = settings(tmp_path, method_wide=f"extends: grace\nset: {options}")
    with pytest.raises(UserError, match=r"^[^,]*, with `set` of [^,]*methods/wide.yaml: grace.candidates: "):
        known.checkpoint("gsm8k", "flan_t5_large", "wide")


def test_a_name_that_may_be_read_in_two_ways(tmp_path: Path) -> None:
    known = settings(tmp_path, checkpoint_sft_long="extends: sft", decoder_long_greedy="extends: greedy")
    with pytest.raises(UserError, match="may mean long_greedy from sft or greedy from sft_long; rename"):
        known.method("sft_long_greedy")
    assert known.method("sft_long_beam").checkpoint == "sft_long"


def test_a_folder_of_ones_own_that_is_not_there() -> None:
    with pytest.raises(UserError, match="own: 3: no such folder"):
        Settings({"own": 3}, CONFIG)
    with pytest.raises(UserError, match="own: /nowhere: no such folder; name one with tasks/, models/"):
        Settings({"own": "/nowhere"}, CONFIG)


def test_parts_of_a_preset(tmp_path: Path) -> None:
    assert Settings({"preset": "smoke"}, CONFIG).values.rft.samples.samples == 2
    assert Settings({"preset": "smoke"}, CONFIG).values.best_of_n.samples == 3
    (tmp_path / "presets" / "mine").mkdir(parents=True)
    (tmp_path / "presets" / "mine.yaml").write_text("extends: tiny\ngreedy: {max_new_tokens: 5}\n")
    (tmp_path / "presets" / "mine" / "more.yaml").write_text("greedy: {max_new_tokens: 7}\n")
    with pytest.raises(
        UserError, match=r"presets/mine/more.yaml: .*mine.yaml says greedy too; leave it in one of them"
    ):
        Settings({"preset": "mine"}, CONFIG, tmp_path)


def test_a_part_of_a_preset_brings_overrides_models_and_seeds_of_its_system(tmp_path: Path) -> None:
    (tmp_path / "presets" / "mine").mkdir(parents=True)
    override = "overrides: [{{when: {{task: {}}}, set: {{greedy.max_new_tokens: {}}}}}]\n"
    whole = "extends: tiny\nheadline_models: {latro: tiny_gpt2}\n" + override.format("gsm8k", 7)
    (tmp_path / "presets" / "mine.yaml").write_text(whole)
    part = "headline_models: {rft: small_gpt2}\nseeds: {rft: [3, 4]}\n" + override.format("svamp", 8)
    (tmp_path / "presets" / "mine" / "rft.yaml").write_text(part)
    known = Settings({"preset": "mine"}, CONFIG, tmp_path)
    assert [known.for_target(task, "tiny_gpt2").greedy.max_new_tokens for task in ("gsm8k", "svamp")] == [7, 8]
    assert known.headline_model("arithmetic", "rft") == "small_gpt2"
    assert known.headline_model("arithmetic", "latro") == "tiny_gpt2"
    assert known.seeds("arithmetic", "tiny_gpt2", "rft") == [3, 4]
    (tmp_path / "presets" / "mine" / "rft.yaml").write_text("headline_models: {latro: small_gpt2}\n")
    with pytest.raises(UserError, match=r"mine/rft.yaml: .*mine.yaml says headline_models.latro too; leave it in one"):
        Settings({"preset": "mine"}, CONFIG, tmp_path)


def test_shipped_variants_are_the_papers_own_settings_and_a_users_are_not(tmp_path: Path) -> None:
    shipped = Settings({"preset": "paper"}, CONFIG)
    assert shipped.shipped_decoder("grace_naive") == "grace_naive"
    assert shipped.shipped_checkpoint("dpo_st_draws10_round3") == "dpo_st_draws10_round3"
    (tmp_path / "methods").mkdir()
    text = "name: mine\nextends: grace\nset: {align.skip_alignment: true}\n"
    (tmp_path / "methods/mine.yaml").write_text(text)
    own = Settings({"preset": "paper", "own": str(tmp_path)}, CONFIG)
    assert own.shipped_decoder("mine") == "grace"


def test_a_method_on_the_development_questions() -> None:
    settings = Settings({"preset": "paper"}, CONFIG)
    found = settings.method("dpo_st_round1_no_calculator_on_dev")
    assert (found.split, found.checkpoint, found.decoder) == ("dev", "dpo_st_round1", "greedy_no_calculator")
    assert settings.method("dpo_st_round1_no_calculator").split == "test"
    # The system's own division of the questions.
    assert settings.scored_split("gsm8k", "flan_t5_large", "dpo_st_on_dev") == "dpo_st_dev"
    assert settings.scored_split("gsm8k", "flan_t5_large", "grace_on_dev") == "dev"
    assert settings.scored_split("gsm8k", "flan_t5_large", "grace") == "test"
    with pytest.raises(UserError, match=r"method 'grase' is unknown.*each may end in _no_calculator, _on_dev or both"):
        settings.method("grase_on_dev")


def test_development_results_are_kept_apart() -> None:
    targets = Targets(Settings({"preset": "paper"}, CONFIG))
    folder = "results/gsm8k/flan_t5_large"
    targets.check(f"{folder}/compare/grace_on_dev_vs_greedy_on_dev.json")
    with pytest.raises(UserError, match=r"other questions \(grace_on_dev on dev, greedy on test\)"):
        targets.check(f"{folder}/compare/grace_on_dev_vs_greedy.json")
    with pytest.raises(UserError, match="transfer is scored on the test split"):
        targets.check("results/svamp/flan_t5_base/transfer/gsm8k/dpo_st_on_dev_acc.json")


def test_figures_over_all_loops_leave_out_those_of_methods() -> None:
    files = Settings({"preset": "paper"}, CONFIG).checkpoints.files
    loops = [name for name in files if name.startswith("learn_to_reason") and name in files.shipped]
    assert "learn_to_reason_random" in loops
    assert "learn_to_reason_ratio25" in files.implied
    assert not any("ratio" in name for name in loops)
