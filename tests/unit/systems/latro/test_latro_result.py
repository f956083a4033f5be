"""What LaTRO adds to a result: maj@k from another decoder's samples, and how the checkpoint was chosen."""

import json
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.evaluation.result import peeked
from retrace.machine.storage import write_json, write_jsonl
from retrace.workflow.sections_behind import differences
from retrace.workflow.settings import Settings
from unit.evaluation.test_result import score
from unit.evaluation_data import CONFIG, examples, prediction, write_task


def report(folder: Path, chosen_on: str = "dev", stopped: str | None = None) -> Path:
    chosen = {"step": 40, "accuracy": 0.6, "reward": -1.0}
    document = {
        "chosen_on": chosen_on,
        "questions": 50,
        "chosen": chosen,
        "start": {"accuracy": 0.4},
        "stopped": stopped,
    }
    write_json(folder / "report.json", document)
    return folder / "report.json"


def votes(folder: Path) -> Path:
    (path,) = write_task(folder, [[True] * 4], "maj")
    write_jsonl(path, [prediction(row, [index < 2, index < 3, False]) for index, row in enumerate(examples(4))])
    return path


def test_a_greedy_result_shows_the_vote_of_another_decoders_samples(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, True, True, False]])
    found = score(tmp_path, [path], votes="maj", vote_predictions=[votes(tmp_path)])
    assert found["accuracy"]["value"] == 0.75
    assert (found["samples"], found["votes_from"]) == (1, "maj")
    # Wrong samples answer nothing: one right sample of three wins the vote.
    assert {point["k"]: point["value"] for point in found["maj_at_k"]}[3] == 0.75
    assert [row["path"] for row in found["provenance"]["files"]] == [str(path), str(votes(tmp_path))]


def test_votes_must_answer_the_same_questions(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, True]])
    other = votes(tmp_path / "other")
    with pytest.raises(UserError, match=r"is not in .*these predictions answer other data"):
        score(tmp_path, [path], votes="maj", vote_predictions=[other])


def test_the_choice_of_the_checkpoint_is_in_the_result(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, False]])
    found = score(tmp_path, [path], reports=[report(tmp_path, stopped="stopped at step 60: ...")])
    assert found["checkpoint_choice"] == [
        {
            "seed": 0,
            "chosen_on": "dev",
            "questions": 50,
            "step": 40,
            "accuracy": 0.6,
            "start_accuracy": 0.4,
            "stopped": "stopped at step 60: ...",
        }
    ]
    assert "very questions" not in found["made_from"]
    assert score(tmp_path, [path])["checkpoint_choice"] == []


def test_a_choice_on_the_measured_split_is_said_in_plain_words(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, False]])
    found = score(tmp_path, [path], reports=[report(tmp_path, "test")])
    assert found["made_from"].endswith("The checkpoint was chosen by its accuracy on these very questions")
    assert not peeked([], "test")


def test_a_choice_by_the_loss_or_accuracy_on_the_measured_split_is_said_for_the_system_that_made_it(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, False]])

    def said(checkpoint: str, on_test: bool, keep: str = "best", measure: str = "loss") -> bool:
        values = json.dumps({"learn_to_reason": {"validation_is_test": on_test, "keep": keep}})
        found = score(tmp_path, [path], checkpoint=checkpoint, configuration=values)
        return found["made_from"].endswith(f"The checkpoint was chosen by its {measure} on these very questions")

    assert said("learn_to_reason_round1", on_test=True)
    assert not said("learn_to_reason_round1", on_test=False)
    assert said("learn_to_reason_round1", on_test=True, keep="accuracy", measure="accuracy")
    assert not said("learn_to_reason_round1", on_test=True, keep="last")
    assert not said("learn_to_reason_round0", on_test=True)  # it was not trained
    assert not said("sft", on_test=True)


def test_faulty_reports_are_named(tmp_path) -> None:
    (path,) = write_task(tmp_path, [[True, False]])
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"chosen_on": "dev"}))
    with pytest.raises(UserError, match=r"bad\.json: not a report of a training"):
        score(tmp_path, [path], reports=[bad])
    with pytest.raises(UserError, match="names 2 files and --seeds 1 seeds"):
        score(tmp_path, [path], reports=[report(tmp_path), report(tmp_path)])


def test_methods_decoders_and_headline_models() -> None:
    paper, tiny = Settings({"preset": "paper"}, CONFIG), Settings({"preset": "tiny"}, CONFIG)
    assert paper.headline_model("gsm8k", "latro") == paper.headline_model("multiarith", "base_maj") == "phi35_mini"
    assert paper.headline_model("gsm8k", "grace") == "flan_t5_large"
    assert paper.headline_model("multiarith", "grace") == "llama_7b"
    assert tiny.headline_model("arithmetic", "latro_few_shot") == "tiny_gpt2"
    assert paper.checkpoint("gsm8k", "phi35_mini", "base") == "base"
    assert tiny.checkpoint("gsm8k", "tiny_gpt2", "base") == "sft"
    few = tiny.method("latro_sft_few_shot_maj")
    assert (few.checkpoint, few.decoder, few.paper) == ("latro_sft", "few_shot_maj", "latro")
    values = paper.for_target("arc_challenge", "phi35_mini")
    assert (values.latro.kl_coef, values.latro.epochs, values.latro_sft.targets) == (0.25, 12, "answers")
    baseline = {model: paper.for_target("arc_challenge", model).latro_sft for model in ("phi35_mini", "mistral_7b")}
    assert [(one.learning_rate, one.batch_size) for one in baseline.values()] == [(5e-7, 32), (1e-7, 256)]
    assert {one.texts for one in baseline.values()} == {"latro"}
    assert (values.maj.samples, values.maj.temperature, values.greedy.max_new_tokens) == (8, 1.0, 500)
    assert paper.for_target("gsm8k", "flan_t5_large").greedy.max_new_tokens == 300


def test_the_papers_devices_hold_for_its_models_only() -> None:
    paper = Settings({"preset": "paper"}, CONFIG)
    placed = paper.for_target("gsm8k", "phi35_mini").launch.of("latro")
    assert (placed.gpus, placed.strategy) == (8, "zero3")
    assert paper.for_target("gsm8k", "tiny_gpt2").launch.of("latro").gpus == -1
    fewer = Settings({"preset": "paper", "launch": {"trainings": {"latro": {"gpus": 1}}}}, CONFIG)
    placed = fewer.for_target("gsm8k", "phi35_mini").launch.of("latro")
    assert (placed.gpus, placed.strategy) == (1, "zero3")


def test_speed_only_options_make_no_difference_to_the_paper() -> None:
    """A result's configuration does not hold them; the paper's preset does."""
    theirs = Settings({"preset": "paper"}, CONFIG).for_target("gsm8k", "phi35_mini").model_dump(mode="json")
    ours = json.loads(json.dumps(theirs))
    for option in ("save_minutes", "generation_batch_size", "gradient_checkpointing"):
        del ours["latro"][option]
    assert differences(ours, theirs, ["latro"]) == []
    ours["latro"]["kl_coef"] = 0.5
    assert differences(ours, theirs, ["latro"]) == ["latro.kl_coef"]
    assert "latro.kl_coef" in differences({}, theirs, ["latro"])
