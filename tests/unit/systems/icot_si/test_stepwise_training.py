"""Stepwise internalization: what a training minimises, what it forgets, restarts, and the program."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

import decode
import train_icot_si
from retrace.errors import UserError
from retrace.machine.storage import read_jsonl, write_jsonl
from retrace.planning.jobs import Job
from retrace.planning.work import work_of
from retrace.prompting.layouts import layout_of
from retrace.schemas import Prediction
from retrace.systems.icot_si import train as stepwise
from retrace.systems.icot_si.options import StepwiseTraining
from retrace.systems.icot_si.removal import Shortened
from retrace.training.separated import Training
from retrace.training.separated_rows import text_batch
from unit.implicit_world import CONFIG, base, examples, rows_of, save_base
from unit.planned_jobs import sizes_of
from unit.stopping import Stop, StopAt

TOKENS = 8  # of the steps of 2 x 2 digits


class World:
    def __init__(self, folder: Path) -> None:
        self.rows = rows_of(folder, examples(40))
        self.dev = rows_of(folder, examples(12, "dev"), name="dev")

    def train(self, state: Path, callbacks=(), **changes):
        """(model, curve): 5 steps an epoch, a token a step."""
        values = {"batch_size": 8, "device_batch_size": 8, "max_steps": 12, "evaluations": 4, "learning_rate": 3e-3}
        options = StepwiseTraining(**values | {"remove_per_epoch": 5} | changes)
        model = base()
        given = Training(self.rows, self.dev, 0, options, 0, state, callbacks)
        torch.manual_seed(7)
        return model, stepwise.train_stepwise(model, given, options)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("rows"))


def test_a_killed_training_ends_with_the_same_weights(world, tmp_path, capsys) -> None:
    """Stopped while tokens are removed, after the second save; with dropout and accumulation."""
    changes = {"dropout": 0.1, "device_batch_size": 4}
    whole, curve = world.train(tmp_path / "one", **changes)
    with pytest.raises(Stop):
        world.train(tmp_path / "two", callbacks=[StopAt(7)], **changes)
    again, resumed = world.train(tmp_path / "two", **changes)
    assert "resuming at" in capsys.readouterr().err
    assert curve == resumed
    for (name, one), two in zip(whole.named_parameters(), again.named_parameters(), strict=True):
        assert torch.equal(one, two[1]), name


def test_the_curve_tells_how_many_tokens_are_removed(world, tmp_path) -> None:
    _, curve = world.train(tmp_path)
    measured = [row for row in curve if "dev_loss" in row]
    assert [row["dev_removed_tokens"] for row in measured] == [2, 5, 8, 8]
    last = measured[-1]
    assert last["dev_accuracy_with_steps_left"] == last["dev_accuracy"], "no step is left"


def test_the_first_loss_is_that_of_all_steps_and_the_last_that_of_none(world, tmp_path) -> None:
    """A learning rate that moves nothing: the losses are those of the model at the start."""
    changes = {"learning_rate": 1e-12, "batch_size": 40, "device_batch_size": 40, "smoothing_lambda": 0}
    _, curve = world.train(tmp_path, **changes, remove_per_epoch=1)
    losses = [row["loss"] for row in curve if "loss" in row]
    model = base()
    for step, layout in ((0, "explicit_cot"), (11, "no_cot")):
        batch = text_batch(world.rows, list(range(40)), layout, 0)
        logits = model(batch["input_ids"]).logits.flatten(0, 1)
        expected = torch.nn.functional.cross_entropy(logits, batch["labels"].flatten())
        assert losses[step] == pytest.approx(expected.item(), rel=1e-4)


def test_a_batch_has_what_is_left_of_each_row(world) -> None:
    options = StepwiseTraining()
    batch = stepwise.shortened_batch(world.rows, [Shortened(0, 3), Shortened(1, TOKENS)], options, 0)
    row, first, second = world.rows.row(0).astype(int), int(world.rows.first[0]), int(world.rows.second[0])
    left = [*row[: first + 1], *row[first + 4 :]]
    assert batch["input_ids"][0].tolist() == left[:-1]
    assert batch["labels"][0].tolist() == [-100] * first + left[first + 1 :]
    assert second - first - 1 == TOKENS
    assert batch["labels"][1].ne(-100).sum() == 6, "marker, four digits, end"


@pytest.mark.parametrize("sharded", [False, True])
def test_forgetting_is_beginning_anew(sharded: bool, monkeypatch) -> None:
    monkeypatch.setattr(stepwise.parallel, "is_sharded", lambda: sharded)

    def steps(forgetting: bool) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.ones(3))
        optimizer = torch.optim.AdamW([weight], lr=0.1)
        for turn in range(4):
            if turn == 2:
                if forgetting:
                    held = optimizer.state[weight]["exp_avg"]
                    stepwise.forget(optimizer)
                    assert (optimizer.state[weight].get("exp_avg") is held) == sharded
                else:
                    optimizer = torch.optim.AdamW([weight], lr=0.1)
            optimizer.zero_grad()
            (weight * torch.tensor([1.0, -2.0, 0.1 * turn])).sum().backward()
            optimizer.step()
        return weight.detach()

    assert torch.equal(steps(True), steps(False))


def test_plain_numbers_among_divided_moments_are_set_back(monkeypatch) -> None:
    """As DeepSpeed's AdamW on the CPU counts its steps."""
    monkeypatch.setattr(stepwise.parallel, "is_sharded", lambda: True)
    optimizer = SimpleNamespace(state={"weight": {"step": 3, "exp_avg": torch.ones(2)}})
    stepwise.forget(optimizer)
    assert optimizer.state["weight"]["step"] == 0
    assert optimizer.state["weight"]["exp_avg"].tolist() == [0, 0]


def test_resetting_the_optimizer_is_an_option(world, tmp_path) -> None:
    resetting, _ = world.train(tmp_path / "one", keep_best="loss")
    going_on, _ = world.train(tmp_path / "two", keep_best="loss", reset_optimizer=False)
    assert any(
        not torch.equal(one, two) for one, two in zip(resetting.parameters(), going_on.parameters(), strict=True)
    )


def test_patience_begins_when_no_token_is_left(world, tmp_path, monkeypatch) -> None:
    worse = iter(range(99))
    monkeypatch.setattr(
        stepwise.RemainingEvaluation, "__call__", lambda self, model: {"loss": 1.0, "score": -float(next(worse))}
    )
    changes = {"max_steps": 20, "evaluations": 20, "patience": 2}
    _, curve = world.train(tmp_path, **changes)
    # All 8 tokens are gone with the ninth step; two evaluations later the training stops.
    assert [row["step"] for row in curve if "dev_loss" in row][-1] == 11


def test_the_model_learns(world, tmp_path) -> None:
    _, curve = world.train(tmp_path, max_steps=60, evaluations=2, learning_rate=1e-2)
    accuracy = [row["dev_token_accuracy"] for row in curve if "dev_token_accuracy" in row]
    assert accuracy[-1] > 0.3, "marker and end at least"


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("icot_si")
    for split, count in (("train", 24), ("dev", 6), ("test", 6)):
        write_jsonl(folder / f"{split}.jsonl", examples(count, split))
    sizes = {"width": 16, "layers": 2, "heads": 2, "feedforward": 32, "positions": 64}
    (folder / "tiny.yaml").write_text(
        yaml.safe_dump({"name": "tiny", "title": "T", "family": "decoder_only", "scratch": sizes})
    )
    save_base(folder / "base")
    return folder


def train(folder: Path, *more: str) -> None:
    words = [word for split in ("train", "dev") for word in (f"--{split}", str(folder / f"{split}.jsonl"))]
    words += ["--task-file", str(CONFIG / "tasks" / "mult_2x2.yaml"), "--model-file", str(folder / "tiny.yaml")]
    words += ["--model", str(folder / "base"), "--seed", "0", "--state", str(folder / "state")]
    sizes = ["--max-steps", "4", "--evaluations", "1", "--batch-size", "8", "--device-batch-size", "8"]
    train_icot_si.main([*words, *sizes, "--output", str(folder / "icot_si"), *more])


def test_the_program_makes_a_model_that_answers_at_once(project) -> None:
    train(project, "--remove-all-beyond", "1")
    made = project / "icot_si"
    assert layout_of(made) == "no_cot"
    assert "measured without a calculator" in (made / "README.md").read_text(encoding="utf-8")
    assert not (project / "state").exists()
    words = ["--model", str(made), "--model-file", str(project / "tiny.yaml"), "--seed", "0"]
    words += ["--task-file", str(CONFIG / "tasks" / "mult_2x2.yaml"), "--data", str(project / "test.jsonl")]
    decode.main(["greedy", *words, "--output", str(project / "out.jsonl"), "--max-new-tokens", "12"])
    assert len(read_jsonl(project / "out.jsonl", Prediction)) == 6


def test_the_program_refuses_a_removal_that_does_not_end(project) -> None:
    with pytest.raises(UserError, match=r"ends at step 4 with 3 of 8 step tokens removed"):
        train(project)


def test_an_estimate_counts_the_steps_that_are_left(tmp_path) -> None:
    """6 epochs of 100 steps: 2 with all steps, 4 in which 8 tokens go one after the other."""
    sizes = sizes_of([], tmp_path)
    wildcards = {"task": "mult_2x2", "model": "tiny_gpt2", "seed": "0", "checkpoint": "icot_si"}
    rows = sizes.text("mult_2x2", "train").rows
    given = {"epochs": "6", "batch-size": str(rows / 100), "explicit-epochs": "2", "remove-per-epoch": "2"}
    work = work_of(Job("train_icot_si", wildcards, given | {"evaluations": "1"}), sizes)
    question, answer, steps = 6, 6, 9  # tokens with their separators
    assert work.steps == 600
    assert work.tokens == pytest.approx(6 * rows * (question + answer + steps * (2 + 4 / 2) / 6), rel=0.1)
