"""Direct preference optimisation: the loss by hand and by TRL, both trainers, restarts, adapters, bad input."""

import json
import math

import pytest
import torch
from datasets import Dataset
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer

import train_dpo
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.load import load_model
from retrace.prompting.layouts import has_masked_results, note_masked_results
from retrace.schemas import Preference
from retrace.systems.dpo_st import dpo
from retrace.systems.dpo_st.dpo_causal import OrderedDPOTrainer, checkpointing, tokens_of, train_dpo_causal
from retrace.systems.dpo_st.options import DpoTraining
from retrace.training import adapters
from retrace.training.likelihood import log_probabilities, sequence_log_probs
from retrace.training.restarts import Owner
from retrace.training.sft import disable_dropout
from suites import first_daily
from unit.model_folders import save_model
from unit.stopping import Stop, StopAt
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(40)
PAIRS = [
    Preference(
        example_id=example.id,
        split="train" if number < 32 else "dev",
        question=example.question,
        chosen=TASK.solution_text(example),
        rejected=TASK.solution_text(EXAMPLES[(number + 1) % 40]),
        similarity=0.5,
    )
    for number, example in enumerate(EXAMPLES)
]
FAMILIES = ["encoder_decoder", "decoder_only"]


def options(**changes) -> DpoTraining:
    values = {"learning_rate": 2e-3, "batch_size": 8, "device_batch_size": 8, "max_steps": 8, "evaluations": 4}
    return DpoTraining(**values | changes)


def setting(family: str, dropout: float = 0.0):
    model, tokenizer = tiny_generator(TASK, EXAMPLES, family, dropout)
    rows, pairs = dpo.preference_rows(PAIRS, TASK, tokenizer, family, 128)
    assert pairs == PAIRS
    return model, tokenizer, rows


def trained(family: str, state, callbacks=(), noisy: float = 0.0, **changes):
    """The model and the curve of either trainer."""
    model, tokenizer, rows = setting(family, noisy)
    rows = dpo.with_reference(rows, model, tokenizer.pad_token_id, 16, "float32")
    if family == "decoder_only":
        wanted = options(**changes)
        return train_dpo_causal(model, tokenizer, rows[:32], rows[32:], wanted, 0, state, callbacks)
    model = adapters.with_adapters(model, options(**changes), family, 0)
    curve = dpo.train_dpo(model, tokenizer, rows[:32], rows[32:], options(**changes), 0, state, callbacks)
    return model, curve


# ---------------------------------------------------------------- the loss


def test_the_loss_by_hand():
    losses = dpo.dpo_losses(
        torch.tensor([-5.0, -6.0, -3.0]),
        torch.tensor([-7.0, -6.0, -1.0]),
        torch.tensor([-6.0, -6.0, -4.0]),
        torch.tensor([-6.0, -6.0, -9.0]),
        beta=0.1,
    )
    # beta times the gains' difference: .1 * (1 + 1) = .2; 0; .1 * (1 - 8) = -.7
    expected = [math.log(1 + math.exp(-0.2)), math.log(2), math.log(1 + math.exp(0.7))]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)
    assert losses.tolist() == pytest.approx([0.598139, 0.693147, 1.103186], abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_sequence_log_probabilities_by_hand(family):
    """Token by token, without padding or batch."""
    model, tokenizer, rows = setting(family)
    model.eval()
    sides = [rows[0].chosen, rows[1].rejected, rows[2].chosen]
    batched = log_probabilities(model, tokenizer.pad_token_id, sides, 3)[0].tolist()
    for row, found in zip(sides, batched, strict=True):
        total = 0.0
        for place, token in enumerate(row.target):
            with torch.no_grad():
                if family == "encoder_decoder":
                    before = [model.config.decoder_start_token_id, *row.target[:place]]
                    out = model(input_ids=torch.tensor([row.ids]), decoder_input_ids=torch.tensor([before])).logits
                else:
                    out = model(input_ids=torch.tensor([[*row.ids, *row.target[:place]]])).logits
            total += out[0, -1].log_softmax(-1)[token].item()
        assert found == pytest.approx(total, abs=1e-3)


def test_the_loss_and_its_gradient_are_those_of_trl(tmp_path):
    """TRL's loss on the same model, pairs and reference log-probabilities."""
    model, tokenizer, rows = setting("decoder_only")
    rows = dpo.with_reference(rows, model, tokenizer.pad_token_id, 8, "float32")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    arguments = DPOConfig(
        str(tmp_path), beta=0.3, bf16=False, use_cpu=True, **checkpointing(False), max_length=None, report_to=[]
    )
    theirs = OrderedDPOTrainer(
        model=model,
        ref_model=tiny_generator(TASK, EXAMPLES, "decoder_only")[0],
        args=arguments,
        train_dataset=tokens_of(rows),
        processing_class=tokenizer,
        order=None,
        owner=Owner(tmp_path),
    )
    texts = Dataset.from_dict(
        {
            "prompt": [TASK.prompt(pair.question, family="decoder_only") for pair in PAIRS],
            "chosen": [f"{TASK.joint}{pair.chosen}" for pair in PAIRS],
            "rejected": [f"{TASK.joint}{pair.rejected}" for pair in PAIRS],
        }
    )
    by_trl = DPOTrainer._prepare_dataset(theirs, texts, tokenizer, arguments, "train")
    prepared = [theirs.train_dataset[index] for index in range(8)]
    for own, other in zip(prepared, by_trl, strict=False):
        assert all(own[name] == other[name] for name in ("prompt_ids", "chosen_ids", "rejected_ids"))
    for row, entry in zip(rows, prepared, strict=False):
        assert entry["prompt_ids"] == row.chosen.ids, "the same tokens"
        assert (entry["chosen_ids"], entry["rejected_ids"]) == (row.chosen.target, row.rejected.target)
        assert (entry["ref_chosen_logps"], entry["ref_rejected_logps"]) == row.reference
    theirs.precompute_ref_logps = True
    loss = theirs._compute_loss(model, theirs.data_collator(prepared), return_outputs=False)
    loss.backward()
    gradient = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])
    model.zero_grad()
    batch = dpo.collate_preferences(rows[:8], tokenizer.pad_token_id, None)
    ours = dpo.sum_dpo_loss(model, batch, 0.3) / dpo.count_preferences(batch)
    ours.backward()
    assert ours.item() == pytest.approx(loss.item(), abs=1e-5)
    assert abs(ours.item() - math.log(2)) > 1e-3, "the models differ, so that the values say something"
    own = torch.cat([weight.grad.flatten() for weight in model.parameters()])
    assert torch.allclose(own, gradient, atol=1e-5)


@pytest.mark.parametrize(("family", "rate"), list(zip(FAMILIES, (2e-3, 6e-3), strict=True)))
def test_training_prefers_what_was_chosen(tmp_path, family, rate):
    _, curve = trained(family, tmp_path / "state", max_steps=30, learning_rate=rate)
    losses = [row["loss"] for row in curve if "loss" in row]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4), "at first the model is its own reference"
    assert losses[-1] < 0.65
    measured = [row for row in curve if "dev_loss" in row]
    assert len(measured) == 4
    assert {"dev_loss", "dev_accuracy", "dev_margin"} == {key for key in measured[-1] if key.startswith("dev_")}
    assert measured[-1]["dev_accuracy"] >= measured[0]["dev_accuracy"] - 0.2


class Gradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step == 1:  # at the first step chosen and rejected pull alike in all pairs
            self.second = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])


@pytest.mark.parametrize("family", first_daily(FAMILIES))
def test_accumulation_changes_neither_loss_nor_gradient(tmp_path, family):
    found = []
    for parts in (8, 2):
        gradients = Gradients()
        _, curve = trained(family, tmp_path / str(parts), [gradients], device_batch_size=parts, max_steps=4)
        found.append(([row["loss"] for row in curve if "loss" in row], gradients.second))
    assert found[0][0] == pytest.approx(found[1][0], rel=2e-4)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-5)
    assert found[0][1].norm() > 1e-3


def test_a_batch_size_that_cannot_be_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    for family in FAMILIES:
        with pytest.raises(UserError, match="batch_size 8 cannot be divided among 3 processes"):
            trained(family, tmp_path, device_batch_size=2)


# ---------------------------------------------------------------- restarts


@pytest.mark.parametrize(
    ("family", "changes"),
    first_daily([(family, changes) for changes in ({}, {"lora_rank": 2}) for family in FAMILIES], count=2),
)
def test_stopped_training_goes_on_to_the_same_weights(tmp_path, family, changes, capsys):
    changes = {"device_batch_size": 4, "dropout": True, **changes}
    one, _ = trained(family, tmp_path / "one", noisy=0.2, **changes)
    with pytest.raises(Stop):
        trained(family, tmp_path / "two", [StopAt(5)], noisy=0.2, **changes)
    two, curve = trained(family, tmp_path / "two", noisy=0.2, **changes)
    assert "resuming at" in capsys.readouterr().err
    for (name, weight), (_, other) in zip(one.named_parameters(), two.named_parameters(), strict=True):
        assert torch.equal(weight, other), name
    assert [row["step"] for row in curve if "dev_loss" in row] == [2, 4, 6, 8]


# ---------------------------------------------------------------- dropout, adapters


def test_dropout_is_switched_off_everywhere():
    model, tokenizer, rows = setting("encoder_decoder", dropout=0.5)
    batch = dpo.collate_preferences(rows[:4], tokenizer.pad_token_id, 0)
    batch.pop("reference")
    model.train()
    with torch.no_grad():
        assert not torch.equal(sequence_log_probs(model, batch), sequence_log_probs(model, batch))
        disable_dropout(model)
        assert torch.equal(sequence_log_probs(model, batch), sequence_log_probs(model, batch))
    assert model.config.dropout_rate == 0.5


@pytest.mark.parametrize("family", first_daily(reversed(FAMILIES)))
def test_adapters_are_trained_alone_and_merged(tmp_path, family):
    start = {name: weight.clone() for name, weight in setting(family)[0].state_dict().items()}
    model, _ = trained(family, tmp_path / "state", lora_rank=2, lora_alpha=4)
    free = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert free
    assert all("lora_" in name for name in free)
    tokens = {"input_ids": torch.arange(9)[None]}
    if family == "encoder_decoder":
        tokens["decoder_input_ids"] = torch.arange(4)[None]
    model.eval()
    before = model(**tokens).logits
    whole = adapters.merged(model)
    assert torch.allclose(whole(**tokens).logits, before, atol=1e-4)
    changed = {name for name, weight in whole.state_dict().items() if not torch.equal(weight, start[name])}
    assert changed
    assert not any("embed" in name or "wte" in name or "norm" in name or "ln_" in name for name in changed)


def test_adapters_for_layers_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="lora_modules sideways: Target modules"):
        trained("encoder_decoder", tmp_path, lora_rank=2, lora_modules=["sideways"])


# ---------------------------------------------------------------- the script


def project(folder, family: str, pairs=PAIRS) -> list[str]:
    model, tokenizer, _ = setting(family)
    save_model(model, tokenizer, folder / "model")
    (folder / "tiny.yaml").write_text(f"name: tiny\ntitle: Tiny\nfamily: {family}\nscratch: {{}}\n")
    (folder / "arithmetic.yaml").write_text(TASK.config.model_dump_json())
    write_jsonl(folder / "pairs.jsonl", pairs)
    files = {"model": "model", "model-file": "tiny.yaml", "task-file": "arithmetic.yaml", "pairs": "pairs.jsonl"}
    files |= {"state": "state", "output": "trained", "report": "training.json"}
    words = [word for name, file in files.items() for word in (f"--{name}", str(folder / file))]
    return [*words, "--seed", "0", "--max-steps", "4", "--batch-size", "8", "--learning-rate", "1e-3"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_script(tmp_path, family):
    words = project(tmp_path, family)
    note_masked_results(tmp_path / "model")
    train_dpo.main([*words, "--evaluations", "2", "--max-length", "128"])
    assert has_masked_results(tmp_path / "trained")
    model, _ = load_model(tmp_path / "trained", family)
    start, _ = load_model(tmp_path / "model", family)
    assert any(not torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True))
    report = json.loads((tmp_path / "training.json").read_text())
    assert (report["pairs"], report["development_pairs"], report["steps"], report["too_long"]) == (32, 8, 4, 0)
    assert report["first_loss"] == pytest.approx(math.log(2), abs=1e-3)
    assert {"dev_loss", "dev_accuracy", "dev_margin"} <= set(report)
    assert not (tmp_path / "state").exists()
    assert (tmp_path / "trained" / "curves.jsonl").exists()
    card = (tmp_path / "trained" / "README.md").read_text()
    assert "| trained on | 32 pairs of a right and a wrong solution |" in card
    assert "has not learned to compute" in card


@pytest.mark.parametrize("family", first_daily(FAMILIES))
def test_without_pairs_the_model_stays_as_it_is(tmp_path, family, capsys):
    train_dpo.main(project(tmp_path, family, pairs=[]))
    assert "there are no pairs to learn from" in capsys.readouterr().out
    model, _ = load_model(tmp_path / "trained", family)
    start, _ = load_model(tmp_path / "model", family)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), start.parameters(), strict=True))
    report = json.loads((tmp_path / "training.json").read_text())
    assert (report["pairs"], report["steps"]) == (0, 0)


def test_a_reference_with_another_tokenizer_is_refused(tmp_path):
    words = project(tmp_path, "encoder_decoder")
    other = problems(200)[40:]
    save_model(*tiny_generator(arithmetic_task(delimiter=";"), other), tmp_path / "other")
    with pytest.raises(UserError, match=r"other: its tokenizer differs from that of .*model"):
        train_dpo.main([*words, "--reference", str(tmp_path / "other")])


@pytest.mark.parametrize("family", first_daily(reversed(FAMILIES)))
def test_another_reference_model_is_used(tmp_path, family):
    words = project(tmp_path, family)
    model, tokenizer, _ = setting(family)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    save_model(model, tokenizer, tmp_path / "reference")
    train_dpo.main([*words, "--reference", str(tmp_path / "reference")])
    report = json.loads((tmp_path / "training.json").read_text())
    assert abs(report["first_loss"] - math.log(2)) > 1e-3


def test_pairs_that_are_too_long_are_left_out_and_counted(tmp_path, capsys):
    long = PAIRS[0].model_copy(update={"chosen": PAIRS[0].chosen * 9})
    train_dpo.main([*project(tmp_path, "encoder_decoder", [long, *PAIRS]), "--max-length", "60"])
    assert json.loads((tmp_path / "training.json").read_text())["too_long"] == 1
    assert "1 of 41 pairs are longer than 60 tokens and were left out" in capsys.readouterr().err
