"""The SFT step of a round, the warm-up and the two controls."""

import json

import pytest
import torch

import train_round
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.load import load_model
from retrace.prompting.layouts import has_masked_results
from retrace.schemas import PseudoLabel
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(40)
FORMED = TASK.in_form("dpo_st", "encoder_decoder")
LABELS = [
    PseudoLabel(
        example_id=example.id,
        question=example.question,
        solution=FORMED.solution_text(example),
        origin="gold" if number < 6 else "sampled",
    )
    for number, example in enumerate(EXAMPLES[:10])
]


@pytest.fixture
def run(tmp_path):
    """Runs the script; its report and the trained model."""
    save_model(*tiny_generator(TASK, EXAMPLES), tmp_path / "base")
    (tmp_path / "tiny.yaml").write_text("name: tiny\ntitle: Tiny\nfamily: encoder_decoder\nscratch: {}\n")
    (tmp_path / "arithmetic.yaml").write_text(TASK.config.model_dump_json())
    write_jsonl(tmp_path / "train.jsonl", EXAMPLES[:20])
    write_jsonl(tmp_path / "dev.jsonl", EXAMPLES[30:])
    write_jsonl(tmp_path / "labels.jsonl", LABELS)
    files = {"model": "base", "model-file": "tiny.yaml", "task-file": "arithmetic.yaml", "train": "train.jsonl"}
    files |= {"dev": "dev.jsonl", "state": "state", "output": "out", "report": "report.json"}
    words = [word for name, file in files.items() for word in (f"--{name}", str(tmp_path / file))]
    words += ["--form", "dpo_st", "--seed", "0", "--batch-size", "8", "--learning-rate", "3e-3", "--max-length", "128"]
    words += ["--evaluations", "2", "--device-batch-size", "8", "--epochs", "2"]

    def train(*more):
        train_round.main([*words, *(str(tmp_path / word) if str(word).endswith(".json") else word for word in more)])
        assert not (tmp_path / "state").exists()
        return json.loads((tmp_path / "report.json").read_text()), load_model(tmp_path / "out", "encoder_decoder")[0]

    return train


def test_the_warm_up_learns_from_the_references(run):
    report, _ = run()
    assert (report["references"], report["pseudo_labels"], report["steps"]) == (20, 0, 5)
    assert report["kept_step"] == 5, "the paper keeps the last weights"
    losses = list(report["dev_loss"].values())
    assert len(losses) == 2
    assert losses[-1] < losses[0]


def test_only_the_first_references_are_known(run):
    assert run("--labelled", "7")[0]["references"] == 7
    with pytest.raises(UserError, match=r"no reference solution to train on; raise dpo_st.labelled"):
        run("--labelled", "0")


def test_a_round_learns_from_references_and_pseudo_labels(run, tmp_path):
    report, model = run("--labels", str(tmp_path / "labels.jsonl"))
    assert (report["references"], report["pseudo_labels"], report["too_long"]) == (6, 4, 0)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| trained on | 6 reference solutions, 4 right solutions that were sampled |" in card
    other = run()[1]
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_the_best_step_is_kept_where_that_is_asked_for(run, tmp_path):
    options = ["--learning-rate", "0.3", "--evaluations", "5", "--max-steps", "10"]
    best, model = run("--keep", "best", *options)
    losses = {int(step): loss for step, loss in best["dev_loss"].items()}
    assert best["kept_step"] == min(losses, key=losses.__getitem__)
    last, other = run(*options)
    assert not has_masked_results(tmp_path / "out")
    run(*options, "--mask-calculator", "true", "--max-steps", "1", "--evaluations", "1")
    assert has_masked_results(tmp_path / "out")
    assert last["kept_step"] == 10
    same = all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert same == (best["kept_step"] == 10)


def test_controls_take_as_many_steps_or_references(run, tmp_path):
    (tmp_path / "one.json").write_text('{"steps": 3}')
    (tmp_path / "two.json").write_text('{"steps": 4, "pseudo_labels": 5}')
    assert run("--steps-of", "one.json", "two.json")[0]["steps"] == 7
    assert run("--labelled", "10", "--extra-of", "two.json")[0]["references"] == 15
    with pytest.raises(UserError, match="5 further references are wanted, 2 are there"):
        run("--labelled", "18", "--extra-of", "two.json")
    with pytest.raises(UserError, match="5 further references are wanted, 0 are there"):
        run("--extra-of", "two.json")
    with pytest.raises(UserError, match=r"one.json: has no number 'pseudo_labels'"):
        run("--labelled", "10", "--extra-of", "one.json")


def test_adapters_can_be_trained_instead(run, tmp_path):
    report, model = run("--lora-rank", "2", "--lora-alpha", "8")
    start = load_model(tmp_path / "base", "encoder_decoder")[0]
    changed = [
        name
        for (name, a), (_, b) in zip(model.named_parameters(), start.named_parameters(), strict=True)
        if not torch.equal(a, b)
    ]
    assert changed
    assert all(
        name.endswith((".q.weight", ".k.weight", ".v.weight", ".o.weight", "wi_0.weight", "wi_1.weight", "wo.weight"))
        for name in changed
    )
    assert report["steps"] == 5
