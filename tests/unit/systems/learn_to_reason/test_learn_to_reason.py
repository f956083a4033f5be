"""Lessons, visits and the training of a round of Learn-to-Reason."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.prompting.prompting import Prompting
from retrace.schemas import MarkedAnswer, TeacherRationale
from retrace.systems.learn_to_reason import lessons as ltr
from retrace.systems.learn_to_reason.contrastive import (
    collate_reflection,
    reflection_counts,
    reflection_sums,
    share_questions,
)
from retrace.systems.learn_to_reason.options import LearnToReasonTraining
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.data import Row
from retrace.training.parallel import accumulation_of
from suites import first_daily
from unit.stopping import Stop, StopAt
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(24)
FAMILIES = ["encoder_decoder", "decoder_only"]


def options(**changes) -> LearnToReasonTraining:
    values = {"batch_size": 8, "device_batch_size": 8, "max_steps": 12, "evaluations": 4, "learning_rate": 3e-3}
    return LearnToReasonTraining(**values | changes)


def rationale(example, text: str | None = None, **changes) -> TeacherRationale:
    values = {
        "example_id": example.id,
        "mistake": None,
        "accepted": True,
        "verdict": "accepted",
        "text": TASK.solution_text(example) if text is None else text,
        "responses": 1,
        "teacher": "oracle",
    }
    return TeacherRationale(**values | changes)


def mistake(example, text: str = "<<1+1=2>> | #### 2", correct: bool = False) -> MarkedAnswer:
    return MarkedAnswer(example_id=example.id, text=text, answer="2", correct=correct)


def lessons_of(choice: LearnToReasonTraining, count: int = 16) -> list[ltr.Lesson]:
    rationales = [(row.example_id, row.text) for row in map(rationale, EXAMPLES[:count])]
    rationales += [(example.id, f"Count: {example.steps[0]} so {example.final_answer}") for example in EXAMPLES[:4]]
    marks = [mistake(example) for example in EXAMPLES[: count // 2]]
    return ltr.make_lessons(TASK, EXAMPLES, rationales, marks, choice)


def setting(choice: LearnToReasonTraining, family: str = "encoder_decoder", dropout: float = 0.0):
    model, tokenizer = tiny_generator(TASK, EXAMPLES, family, dropout=dropout)
    lessons = lessons_of(choice)
    return model, tokenizer, ltr.encode_lessons(lessons, Prompting(TASK, family, tokenizer), choice, 512)


# ---------------------------------------------------------------- rationales into lessons


@pytest.mark.parametrize(
    "text",
    [
        "<<3+4=7>> | <<7*2=14>> | #### 14",
        "<<3+4=7>>\n<<7*2=14>>\nAnswer: 14",
        "<<3+4=7>>. <<7*2=14>>. Therefore, the answer is 14.",
        "<<3+4=7>>\n<<7*2=14>>",
    ],
)
def test_rationales_take_the_form_that_students_write(text: str) -> None:
    example = EXAMPLES[0].model_copy(update={"final_answer": "14"})
    form = ltr.in_task_form(TASK, text, example)
    assert TASK.grade_strict(form, "#### 14")
    assert TASK.split_steps(form)[0].startswith("<<3+4=7>>")


def test_a_rationale_on_one_line_is_cut_into_sentences() -> None:
    form = ltr.in_task_form(TASK, "Tom has 3 and 4, so 7. Twice that is 14.\nAnswer: 14", EXAMPLES[0])
    assert TASK.split_steps(form) == ["Tom has 3 and 4, so 7", "Twice that is 14"]


def test_lessons_hold_what_belongs_to_a_question() -> None:
    found = lessons_of(options())
    assert len(found) == 16
    assert [len(lesson.samples) for lesson in found[:5]] == [2, 2, 2, 2, 1]
    assert found[0].positives == found[0].samples
    assert [len(lesson.negatives) for lesson in found] == [1] * 8 + [0] * 8
    own = ltr.make_lessons(
        TASK,
        EXAMPLES,
        [(EXAMPLES[0].id, TASK.solution_text(EXAMPLES[0]))],
        [mistake(EXAMPLES[0], f"try {n}", correct=n > 5) for n in range(20)] + [mistake(EXAMPLES[0], "  ")],
        options(own_positives=True, max_positives=5),
    )[0]
    assert len(own.negatives) == 4
    assert own.positives == [*own.samples, "try 6", "try 7", "try 8", "try 9"]
    with pytest.raises(UserError, match="question 'nobody', which is not in the training data"):
        ltr.make_lessons(TASK, EXAMPLES, [("nobody", "text")], [], options())


def test_long_rationales_are_left_out_and_long_contrasts_cut(capsys) -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    lessons = lessons_of(options())
    whole = ltr.encode_lessons(lessons, Prompting(TASK, "encoder_decoder", tokenizer), options(contrast_length=3), 512)
    assert {len(ids) for lesson in whole for ids in [*lesson.positives, *lesson.negatives]} == {3}
    sizes = sorted(max(len(row.ids), len(row.target)) for lesson in whole for row in lesson.samples)
    some = ltr.encode_lessons(lessons, Prompting(TASK, "encoder_decoder", tokenizer), options(), sizes[-3])
    assert 0 < sum(len(lesson.samples) for lesson in some) < 20
    assert "rationales are longer than" in capsys.readouterr().err
    with pytest.raises(UserError, match="all 20 rationales are longer than 2 tokens"):
        ltr.encode_lessons(lessons, Prompting(TASK, "encoder_decoder", tokenizer), options(), 2)


# ---------------------------------------------------------------- visits


@given(
    counts=st.lists(st.integers(1, 6), min_size=4, max_size=40),
    batch=st.integers(1, 4),
    steps=st.integers(1, 130),
    seed=st.integers(0, 3),
)
def test_no_batch_ever_holds_a_question_twice(counts: list[int], batch: int, steps: int, seed: int) -> None:
    questions = [number for number, count in enumerate(counts) for _ in range(count)]
    lengths = [7 * number % 11 for number in range(len(questions))]
    order = ltr.visit_order(questions, lengths, batch, steps, seed)
    assert order.shape == (steps * batch,)
    for start in range(0, len(order), batch):
        held = [questions[sample] for sample in order[start : start + batch]]
        assert len(set(held)) == batch
    assert (order == ltr.visit_order(questions, lengths, batch, steps, seed)).all()


def test_rationales_are_visited_alike_and_like_lengths_together() -> None:
    questions = [number // 2 for number in range(400)]  # two rationales a question
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    order = ltr.visit_order(questions, lengths, 8, 150, seed=1)  # three epochs
    visits = np.bincount(order, minlength=400)
    assert visits.min() >= 2
    assert visits.max() <= 4
    assert np.ptp(lengths[order].reshape(-1, 8), axis=1).mean() < 20
    assert (order != ltr.visit_order(questions, lengths, 8, 150, seed=2)).any()


def test_too_few_questions_for_a_batch() -> None:
    with pytest.raises(UserError, match="2 questions cannot fill a batch of 3 different ones"):
        ltr.visit_order([0, 0, 1, 1], [1, 1, 1, 1], 3, 1, 0)


@pytest.mark.parametrize(
    ("batch", "device", "questions", "world", "fitted"),
    [
        (16, 8, 16, 1, (16, 8)),
        (16, 8, 5, 1, (5, 5)),
        (16, 8, 1, 1, (1, 1)),
        (12, 2, 5, 1, (5, 1)),
        (16, 2, 15, 8, (8, 1)),
        (64, 2, 39, 8, (32, 2)),
    ],
)
def test_a_round_of_few_questions_has_a_batch_that_all_processes_can_share(
    batch: int, device: int, questions: int, world: int, fitted: tuple[int, int]
) -> None:
    found = ltr.fitting(options(batch_size=batch, device_batch_size=device), questions, world)
    assert (found.batch_size, found.device_batch_size) == fitted
    accumulation_of(found, world)  # raises where it could not be shared out


def encoded(rows: int, positives: int, negatives: int, first: int = 1) -> ltr.Encoded:
    def ids(number: int) -> list[int]:
        return [number, number + 1, 1]

    samples = [Row([5, 6], ids(10 * number), [False] * 3) for number in range(first, first + rows)]
    return ltr.Encoded(samples, [row.target for row in samples[:positives]], [ids(90 + n) for n in range(negatives)])


def test_the_positive_is_another_rationale_where_there_is_one() -> None:
    lessons = [encoded(2, 2, 3), encoded(1, 1, 1, first=4), encoded(1, 1, 0, first=7)]
    visits = ltr.plan_visits(lessons, options(batch_size=1, device_batch_size=1), 60, seed=0)
    assert all(row.positive != row.sample.target for row in visits if row.contrasts)
    assert not any(row.contrasts for row in visits if row.sample in lessons[1].samples)
    choice = options(batch_size=1, device_batch_size=1, sample_as_positive=True)
    alone = [row for row in ltr.plan_visits(lessons, choice, 60, seed=0) if row.sample in lessons[1].samples]
    assert any(row.contrasts for row in alone)
    assert {tuple(row.positive) for row in alone if row.contrasts} == {tuple(lessons[1].samples[0].target)}
    two = [row for row in visits if row.negative and row.sample in lessons[0].samples and len(row.negative) == 3]
    assert any(row.positive != row.sample.target for row in two)
    assert {tuple(row.negative) for row in visits if row.sample == lessons[0].samples[1]} == {
        (90 + n, 91 + n, 1) for n in range(3)
    }
    lonely = [row for row in visits if row.sample in lessons[2].samples and not row.negative]
    assert lonely
    assert not any(row.contrasts for row in lonely)
    assert not any(row.contrasts for row in ltr.plan_visits(lessons, options(batch_size=1, ratio=0), 20, seed=0))


def test_in_two_passes_what_a_device_holds_is_learned_and_then_contrasted() -> None:
    lessons = [encoded(1, 2, 1) for _ in range(4)]
    for lesson in lessons:
        lesson.positives.append([7, 8, 1])
    choice = options(batch_size=4, device_batch_size=1, merge_losses=False)
    merged = ltr.plan_visits(lessons, choice, 3, seed=0)
    apart = ltr.in_two_passes(merged, choice, world=2)
    assert len(apart) == 2 * len(merged)
    assert [row.learn for row in apart[:8]] == [True, True, False, False] * 2  # two devices with a row each
    assert [row.contrasts for row in apart[:4]] == [False, False, True, True]
    assert (
        [row.sample for row in apart[0:2]] == [row.sample for row in apart[2:4]] == [row.sample for row in merged[:2]]
    )


# ---------------------------------------------------------------- training


@pytest.mark.parametrize("family", first_daily(FAMILIES))
def test_stopped_training_goes_on_to_the_same_weights(family: str, tmp_path, capsys) -> None:
    """With dropout, accumulation, both losses and drawn positives and negatives."""
    choice = options(device_batch_size=4)
    dev = setting(choice, family)[2][0].samples
    model, tokenizer, lessons = setting(choice, family, dropout=0.2)
    torch.manual_seed(5)
    curve, report = ltr.train_lessons(model, tokenizer, lessons, dev, choice, 0, tmp_path / "one")
    again, *_ = setting(choice, family, dropout=0.2)
    with pytest.raises(Stop):
        ltr.train_lessons(again, tokenizer, lessons, dev, choice, 0, tmp_path / "two", callbacks=[StopAt(8)])
    fresh, *_ = setting(choice, family, dropout=0.2)
    ltr.train_lessons(fresh, tokenizer, lessons, dev, choice, 0, tmp_path / "two")
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), fresh.parameters(), strict=True))
    assert [row["step"] for row in curve if "dev_loss" in row] == [3, 6, 9, 12]
    assert report["rationales"] == 20
    assert (report["questions"], report["questions_with_mistakes"], report["steps"]) == (16, 8, 12)
    assert 0 < report["contrasted_visits"] < 96


class Gradients(TrainerCallback):
    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step == 0:
            self.first = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])


@pytest.mark.parametrize(
    ("changes", "rates"), [({"warmup_steps": 3}, [0, 1, 2, 3]), ({"warmup_ratio": 0.5}, [0, 1, 2, 2])]
)
def test_the_rate_rises_for_as_many_steps_as_named(changes: dict, rates: list[int], tmp_path) -> None:
    choice = options(max_steps=4, scheduler="constant_with_warmup", learning_rate=6e-3, **changes)
    model, tokenizer, lessons = setting(choice)
    curve, _ = ltr.train_lessons(model, tokenizer, lessons, [], choice, 0, tmp_path)
    found = [row["learning_rate"] for row in curve]
    assert found == pytest.approx([6e-3 * rate / max(rates) for rate in rates])


@pytest.mark.slow
def test_each_loss_has_its_own_mean_however_a_step_is_accumulated(tmp_path) -> None:
    """Tokens and contrasts are counted over the whole step: a mean of means would weigh them otherwise."""
    gradients, losses = [], []
    for number, device in enumerate((8, 2)):
        choice = options(device_batch_size=device, max_steps=1, max_grad_norm=1e9)
        model, tokenizer, lessons = setting(choice)
        watch = Gradients()
        state = tmp_path / str(number)
        curve, _ = ltr.train_lessons(model, tokenizer, lessons, [], choice, 0, state, callbacks=[watch])
        gradients.append(watch.first)
        losses.append(next(row["loss"] for row in curve if "loss" in row))
    assert torch.allclose(*gradients, atol=1e-6)
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    model, tokenizer, lessons = setting(choice)
    share_questions(model)
    visits = ltr.plan_visits(lessons, options(), 1, 0)
    batch = collate_reflection(visits, tokenizer.pad_token_id, 0.1, model.config.decoder_start_token_id)
    sums, counts = reflection_sums(model, batch, False, 1.0), reflection_counts(batch)
    assert 0 < counts[1] < 8
    assert losses[0] == pytest.approx((sums[0] / counts[0] + 0.5 * sums[1] / counts[1]).item(), rel=1e-4)


class Backward(Gradients):
    """Also counts optimiser steps."""

    steps = 0

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        super().on_pre_optimizer_step(args, state, control, model, **kwargs)
        self.steps += 1


@pytest.mark.parametrize("family", first_daily(FAMILIES))
def test_losses_apart_are_two_passes_and_one_step(family: str, tmp_path, monkeypatch) -> None:
    """The gradient of a step is that of both losses together, and so is what is learned."""
    found, passes = [], []
    plain = ltr.reflection_sums
    monkeypatch.setattr(ltr, "reflection_sums", lambda *given: passes.append(given[1]) or plain(*given))
    for merged in (True, False):
        choice = options(device_batch_size=4, max_steps=3, max_grad_norm=0, merge_losses=merged)
        model, tokenizer, lessons = setting(choice, family)
        watch = Backward()
        curve, report = ltr.train_lessons(
            model, tokenizer, lessons, [], choice, 0, tmp_path / str(merged), callbacks=[watch]
        )
        found.append((watch.first, torch.cat([weight.detach().flatten() for weight in model.parameters()])))
        assert (watch.steps, report["steps"], report["batch_size"]) == (3, 3, 8)
        assert [row["step"] for row in curve] == [1, 2, 3]
        assert report["contrasted_visits"] > 0
    assert len(passes) == 6 + 12
    for batch in passes[6:]:  # no pass has both losses
        assert not (len(batch["contrast"]) and bool(batch["labels"].ne(-100).any()))
    assert torch.allclose(found[0][0], found[1][0], atol=1e-6)
    assert torch.allclose(found[0][1], found[1][1], atol=1e-4)


def test_the_checkpoint_with_the_most_right_answers_is_kept(tmp_path) -> None:
    """Accuracy decides, the first of equal ones: here a measure that is best, and then as good, in the middle."""
    choice = options(keep="accuracy", max_steps=4, evaluations=4)
    model, tokenizer, lessons = setting(choice)
    kept = []
    prompting = Prompting(TASK, "encoder_decoder", tokenizer)
    dev = problems(4, "dev")
    right = iter([0, 2, 2, 1])

    class Measured(GreedyAccuracy):
        def _right(self, model, examples) -> int:
            super()._right(model, examples)
            kept.append({name: weight.clone() for name, weight in model.state_dict().items()})
            return next(right)

    curve, _ = ltr.train_lessons(
        model, tokenizer, lessons, [], choice, 0, tmp_path, accuracy=Measured(prompting, dev, 8)
    )
    assert [row["dev_accuracy"] for row in curve if "dev_accuracy" in row] == [0.0, 0.5, 0.5, 0.25]
    after = model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in kept[1].items())
    assert not all(torch.equal(weight, after[name]) for name, weight in kept[2].items())


def test_without_reflection_the_mistakes_change_nothing(tmp_path) -> None:
    weights = []
    for number, marks in enumerate(([], [mistake(example) for example in EXAMPLES])):
        choice = options(ratio=0, max_steps=3)
        model, tokenizer = tiny_generator(TASK, EXAMPLES)
        rationales = [(example.id, TASK.solution_text(example)) for example in EXAMPLES]
        lessons = ltr.make_lessons(TASK, EXAMPLES, rationales, marks, choice)
        rows = ltr.encode_lessons(lessons, Prompting(TASK, "encoder_decoder", tokenizer), choice, 512)
        ltr.train_lessons(model, tokenizer, rows, [], choice, 0, tmp_path / str(number))
        weights.append(next(model.parameters()).detach())
    assert torch.equal(*weights)


def test_lessons_are_held_out_where_there_is_nothing_else_to_measure_on() -> None:
    lessons = [encoded(2, 1, 1) for _ in range(10)]
    kept, rows = ltr.hold_out(lessons, 0.2, seed=0)
    assert (len(kept), len(rows)) == (8, 4)
    assert ltr.hold_out(lessons[:1], 0.5, 0) == (lessons[:1], [])
    assert ltr.hold_out(lessons, 0.0, 0) == (lessons, [])
    assert len(ltr.hold_out(lessons[:2], 0.9, 0)[0]) == 1
