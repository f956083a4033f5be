"""Trainings of implicit chain of thought: what they minimise, restarts, what is kept, and that each one learns."""

import shutil
from copy import copy
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.models.options import ModelConfig, ScratchModel
from retrace.models.scratch import build_model
from retrace.systems.icot import train as implicit
from retrace.systems.icot.controls import as_large_as_both, parameters_of_both
from retrace.systems.icot.networks import Coupled, Emulator, Student
from retrace.systems.icot.options import TeacherStates
from retrace.systems.icot.states import ComputedStates
from retrace.training import separated
from retrace.training.options import SeparatedTraining
from retrace.training.separated_rows import question_batch, text_batch
from suites import first_daily
from unit.implicit_world import LAYERS, WIDTH, base, coupled, examples, rows_of, tokenizer
from unit.stopping import Stop, StopAt


def options(**changes) -> SeparatedTraining:
    values = {
        "batch_size": 8,
        "device_batch_size": 8,
        "max_steps": 9,
        "evaluations": 3,
        "learning_rate": 3e-3,
        "dropout": 0.1,
    }
    return SeparatedTraining(**values | changes)


class World:
    """Rows, a teacher's states, and one training of each kind from the same start every time."""

    def __init__(self, folder) -> None:
        self.rows = rows_of(folder, examples(40))
        self.dev = rows_of(folder, examples(12, "dev"), name="dev")
        of = partial(ComputedStates, base(seed=9), options=TeacherStates(), pad_id=0)
        self.states, self.dev_states = of(rows=self.rows), of(rows=self.dev)

    def changed(self, what: str, folder) -> "World":
        """The same but for one thing that the trainings of student and emulator read."""
        other = copy(self)
        if what == "dev rows":
            other.dev = rows_of(folder, examples(11, "dev"), name="dev")
        teacher = base(seed=10 if what == "teacher" else 9)
        given = TeacherStates(subset="bottom_row" if what == "subset" else "diagonal")
        of = partial(ComputedStates, teacher, options=given, pad_id=0)
        other.states, other.dev_states = of(rows=other.rows), of(rows=other.dev)
        return other

    def train(self, kind: str, state, callbacks=(), **changes):
        """(trained module, curve)."""
        torch.manual_seed(7)
        given = separated.Training(self.rows, self.dev, 0, options(**changes), 0, state, callbacks)
        if kind in ("no_cot", "explicit_cot"):
            model = base()
            return model, separated.train_text(model, given, kind)
        if kind == "icot":
            model = coupled()
            return model, implicit.train_coupled(model, given)
        model = Student(base()) if kind == "student" else Emulator(base())
        train = implicit.train_student if kind == "student" else implicit.train_emulator
        return model, train(model, given, self.states, self.dev_states)


KINDS = ["no_cot", "explicit_cot", "student", "emulator", "icot"]


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("rows"))


@pytest.mark.parametrize("kind", first_daily(KINDS))
def test_a_killed_training_ends_with_the_same_weights(world, tmp_path, kind: str, capsys) -> None:
    """With dropout and accumulation; stopped in the second epoch, after the second save."""
    changes = {"device_batch_size": 4}
    whole, _ = world.train(kind, tmp_path / "one", **changes)
    with pytest.raises(Stop):
        world.train(kind, tmp_path / "two", callbacks=[StopAt(7)], **changes)
    again, curve = world.train(kind, tmp_path / "two", **changes)
    assert "resuming at" in capsys.readouterr().err
    for (name, one), two in zip(whole.named_parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two), name
    assert [row["step"] for row in curve if "dev_loss" in row] == [3, 6, 9]


def test_checkpoints_of_all_evaluations_need_their_room(world, tmp_path, monkeypatch) -> None:
    short = {"max_steps": 1, "evaluations": 40}
    size = 4 * sum(weight.numel() for weight in coupled().parameters())
    disk = SimpleNamespace(total=99 * size, used=0, free=(9 + 39) * size)  # three saved states, each with two moments
    monkeypatch.setattr(shutil, "disk_usage", lambda path: disk)
    world.train("icot", tmp_path / "best", **short)
    with pytest.raises(UserError, match=r"need up to .* too little space .*, or set keep_each to false"):
        world.train("icot", tmp_path / "each", keep_each=True, **short)
    # What a killed run has kept needs no room again.
    (tmp_path / "each" / "each" / "step1").mkdir(parents=True)
    (tmp_path / "each" / "each" / "step1" / "model.safetensors").write_bytes(bytes(size))
    world.train("icot", tmp_path / "each", keep_each=True, **short)


@pytest.mark.parametrize(
    ("what", "kind"),
    first_daily(
        [
            *[("teacher", "student"), ("subset", "emulator"), ("dev rows", "student")],
            *[("teacher", "emulator"), ("subset", "student"), ("dev rows", "emulator")],
        ],
        count=3,
    ),
)
def test_a_killed_training_does_not_go_on_with_other_states(world, tmp_path, kind: str, what: str, capsys) -> None:
    with pytest.raises(Stop):
        world.train(kind, tmp_path / "state", callbacks=[StopAt(7)])
    other = world.changed(what, tmp_path)
    again, curve = other.train(kind, tmp_path / "state")
    assert "state is from different options or data; training starts over" in capsys.readouterr().err
    anew, expected = other.train(kind, tmp_path / "anew")
    assert curve == expected
    assert all(torch.equal(one, two) for one, two in zip(again.parameters(), anew.parameters(), strict=True))


@pytest.mark.slow
def test_no_killed_training_goes_on_with_other_development_rows(world, tmp_path, capsys) -> None:
    other = world.changed("dev rows", tmp_path)
    for kind in ("no_cot", "icot"):
        with pytest.raises(Stop):
            world.train(kind, tmp_path / kind, callbacks=[StopAt(3)], max_steps=4, evaluations=2)
        other.train(kind, tmp_path / kind, max_steps=4, evaluations=2)
        assert f"{kind} is from different options or data" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_each_training_learns(world, tmp_path, kind: str) -> None:
    _, curve = world.train(kind, tmp_path, max_steps=40, evaluations=2, dropout=0.0, learning_rate=1e-2)
    losses = [row["loss"] for row in curve if "loss" in row]
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


def test_the_loss_is_the_mean_over_the_answers_tokens(world, tmp_path) -> None:
    """Of the first step: cross-entropy of what stands behind the question."""
    _, curve = world.train(
        "no_cot", tmp_path, max_steps=2, evaluations=1, dropout=0.0, batch_size=40, device_batch_size=40
    )
    batch = text_batch(world.rows, list(range(40)), "no_cot", 0)
    found = separated.answer_counts(base()(batch["input_ids"]).logits, batch["labels"])
    assert found.tokens == 40 * 6  # marker, four digits, end
    assert curve[0]["loss"] == pytest.approx((found.loss / found.tokens).item(), rel=1e-4)


def test_the_emulators_loss_is_a_mean_over_rows(world, tmp_path) -> None:
    torch.manual_seed(7)
    emulator = Emulator(base())
    batch = question_batch(world.rows, list(range(40)), 0)
    targets = world.states(world.states.batch(list(range(40))))
    expected = (emulator(batch["question_ids"], batch["positions"]) - targets).square().sum().item() / 2 / 40
    _, curve = world.train(
        "emulator", tmp_path, max_steps=2, evaluations=1, dropout=0.0, batch_size=40, device_batch_size=40
    )
    assert curve[0]["loss"] == pytest.approx(expected, rel=1e-4)


def test_counts_by_hand() -> None:
    logits = torch.full((2, 3, 4), -10.0)
    for row, place, token in ((0, 0, 1), (0, 1, 2), (0, 2, 3), (1, 0, 1), (1, 1, 3), (1, 2, 0)):
        logits[row, place, token] = 10.0
    labels = torch.tensor([[-100, 2, 3], [1, 2, -100]])
    found = separated.answer_counts(logits, labels)
    assert (int(found.tokens), int(found.right_tokens), int(found.right_rows), found.rows) == (4, 3, 1, 2)
    assert found.loss.item() == pytest.approx(20.0, abs=1e-3)  # one wrong token, 20 below the winner


def test_metrics_do_not_depend_on_the_batches(world) -> None:
    collate = partial(text_batch, world.dev, layout="no_cot", pad_id=0)
    model = base()
    found = [
        separated.AnswerEvaluation(separated.text_logits, list(range(12)), collate, size)(model) for size in (1, 5, 12)
    ]
    for one in found[1:]:
        assert one == pytest.approx(found[0], rel=1e-5)
    assert found[0]["score"] == pytest.approx(found[0]["accuracy"] + found[0]["token_accuracy"] / 1000)


@pytest.mark.parametrize(("keep", "step"), [("accuracy", 3), ("loss", 6)])
def test_which_checkpoint_is_kept(world, tmp_path, monkeypatch, keep: str, step: int) -> None:
    seen = []
    figures = iter([(2.0, 0.5), (1.0, 0.2), (3.0, 0.4)])  # loss, share of right answers

    def evaluated(self, model):
        seen.append({name: weight.detach().clone() for name, weight in model.named_parameters()})
        loss, accuracy = next(figures)
        return {"loss": loss, "accuracy": accuracy, "token_accuracy": 0.0, "score": accuracy}

    monkeypatch.setattr(separated.AnswerEvaluation, "__call__", evaluated)
    model, _ = world.train("no_cot", tmp_path, keep_best=keep)
    kept = seen[step // 3 - 1]
    assert all(torch.equal(weight, kept[name]) for name, weight in model.named_parameters())


LOSSES = [3.0, 2.0, 2.5, 2.0, 1.0, 0.5]


def by_turn(self, model) -> dict[str, float]:
    """Figures that depend on how often the folder of the test was measured, killed or not."""
    self.turn = getattr(self, "turn", 0) + 1
    loss = LOSSES[self.turn - 1]
    return {"loss": loss, "accuracy": -loss, "token_accuracy": 0.0, "score": -loss}


@pytest.mark.parametrize("kind", ["no_cot", "emulator"])
@pytest.mark.parametrize(
    ("patience", "steps"), [(1, [2, 4, 6]), (2, [2, 4, 6, 8]), (3, [2, 4, 6, 8, 10, 12]), (-1, [2, 4, 6, 8, 10, 12])]
)
def test_a_training_stops_where_nothing_gets_better(world, tmp_path, monkeypatch, kind, patience, steps) -> None:
    monkeypatch.setattr(separated.AnswerEvaluation, "__call__", by_turn)
    monkeypatch.setattr(implicit.StatesEvaluation, "__call__", by_turn)
    seen = Weights()
    model, curve = world.train(kind, tmp_path, [seen], max_steps=12, evaluations=6, patience=patience)
    assert [row["step"] for row in curve if "dev_loss" in row] == steps
    best = steps[min(range(len(steps)), key=LOSSES.__getitem__)]
    assert all(torch.equal(weight, seen.at[best][name]) for name, weight in model.named_parameters())


class Weights(TrainerCallback):
    """Keeps the weights of each evaluation."""

    def __init__(self) -> None:
        self.at: dict[int, dict[str, torch.Tensor]] = {}

    def on_evaluate(self, args, state, control, model=None, **kwargs) -> None:
        self.at[state.global_step] = {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_a_training_that_stopped_early_takes_no_further_step_when_started_again(world, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(separated.AnswerEvaluation, "__call__", by_turn)
    given = {"max_steps": 12, "evaluations": 6, "patience": 1}
    model, curve = world.train("no_cot", tmp_path, **given)
    again, same = world.train("no_cot", tmp_path, **given)
    assert same == curve
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))


def test_no_patience_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="patience is 0: no training could go on"):
        options(patience=0)


def test_a_fixed_emulator_stays_as_it_is(world, tmp_path) -> None:
    free = coupled()
    before = {name: weight.detach().clone() for name, weight in free.named_parameters()}
    model = Coupled(free.emulator, free.student, fixed_emulator=True)
    implicit.train_coupled(model, separated.Training(world.rows, world.dev, 0, options(max_steps=3), 0, tmp_path))
    for name, weight in model.named_parameters():
        moved = not torch.equal(weight, before[name])
        assert moved == name.startswith("student."), name


def test_dropout_is_off_unless_asked_for(world, tmp_path) -> None:
    for share, state in ((0.0, "off"), (0.3, "on")):
        model, _ = world.train("icot", tmp_path / state, max_steps=1, evaluations=1, dropout=share)
        found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
        assert found == {share}


# ---------------------------------------------------------------- controls


def scratch(**changes) -> ModelConfig:
    sizes = ScratchModel(width=WIDTH, layers=LAYERS, heads=2, feedforward=4 * WIDTH, positions=64)
    return ModelConfig(name="tiny", title="T", family="decoder_only", **{"scratch": sizes, **changes})


def test_the_deep_control_is_as_deep_and_large_as_both() -> None:
    config = scratch()
    small = build_model(config.scratch, "decoder_only", tokenizer(), 0)
    deep = as_large_as_both(small, config, tokenizer(), 0)
    both = sum(weight.numel() for weight in Coupled(Emulator(small), Student(small)).parameters())
    both += small.num_parameters()  # the two models of the parts are one here
    assert parameters_of_both(small) == both
    assert deep.config.num_hidden_layers == 2 * LAYERS
    assert deep.config.hidden_size == WIDTH
    assert both <= deep.num_parameters() < 1.15 * both


def test_there_is_no_deep_control_of_a_pretrained_model() -> None:
    with pytest.raises(UserError, match="tiny: the control of the same depth and size is a fresh model"):
        as_large_as_both(base(), scratch(scratch=None, hub="a/b"), tokenizer(), 0)
