"""LaTRO's training: rollouts, gradients, restarts, the choice of the checkpoint, and what stops it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from retrace.errors import UserError
from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from retrace.prompting.prompting import prompting_of
from retrace.systems.latro import rationales as pieces
from retrace.systems.latro.decline import Evaluations
from retrace.systems.latro.options import LatroTraining
from retrace.systems.latro.rollouts import RationaleWriter
from retrace.systems.latro.run import train_latro
from retrace.systems.latro.token_logprobs import add_scorer
from retrace.systems.latro.trainer import DevelopmentAccuracy
from retrace.text.calculator import Calculator
from retrace.training.trainer import finish, set_seed
from retrace.workflow.settings import Settings
from unit.stopping import Stop, StopAt
from unit.tiny_models import arithmetic_task, problems, tiny_folder

YAMLS = Path(__file__).parents[4] / "config"
TASK = arithmetic_task()
EXAMPLES = problems(24)
CONFIG = ModelConfig(name="tiny", title="Tiny", family="decoder_only", scratch={})


def options(**changes) -> LatroTraining:
    values = {
        "rationales": 4,
        "batch_size": 16,
        "device_batch_size": 16,
        "max_steps": 6,
        "evaluations": 3,
        "learning_rate": 1e-3,
        "max_rationale_tokens": 12,
        "max_answer_tokens": 8,
        "kl_coef": 0.1,
    }
    return LatroTraining(**values | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("base") / "model", TASK, EXAMPLES, "decoder_only")


class Setting:
    """A fresh model with its writer and questions."""

    def __init__(self, folder: Path, given: LatroTraining, judge=None) -> None:
        set_seed(0)
        self.options = given
        self.model, tokenizer = load_model(folder, "decoder_only", "float32")
        prompting = prompting_of(TASK, CONFIG, tokenizer)
        self.writer = RationaleWriter(prompting, self.model, given, 0, Calculator(tokenizer))
        self.questions = self.writer.questions(EXAMPLES[:16], self.model, "examples")
        self.dev = self.writer.questions(EXAMPLES[16:], self.model, "examples")
        self.judge = judge or (lambda question, text: (False, False))

    def train(self, state: Path, callbacks=()):
        given = (self.model, self.writer, self.questions, self.dev, self.judge, self.options, 0, state)
        return train_latro(*given, callbacks=callbacks)


class Gradients(TrainerCallback):
    """Keeps the gradient of the first step."""

    first = None

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs) -> None:
        if state.global_step == 0:
            self.first = torch.cat([weight.grad.flatten().clone() for weight in model.parameters()])


def first_gradient(folder, state, **changes):
    setting, gradients = Setting(folder, options(max_steps=1, evaluations=1, **changes)), Gradients()
    curve, _ = setting.train(state, [gradients])
    return gradients.first, next(row for row in curve if "loss" in row)


# ---------------------------------------------------------------- rationales


def test_rationales_are_cut_before_the_answer_and_forced_tokens_marked(folder) -> None:
    writer = Setting(folder, options()).writer
    tokenizer, question = writer.tokenizer, Setting(folder, options()).questions[0]
    text = "<<33+5=38>>38 | #### 38"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    kept, finished = writer.cut([*ids, tokenizer.eos_token_id])
    assert tokenizer.decode(kept) == "<<33+5=38>>38 | "
    assert finished
    assert writer.cut(ids[:3]) == (ids[:3], False)
    assert writer.cut([tokenizer.eos_token_id, *ids]) == ([], True)
    marker = tokenizer("####", add_special_tokens=False)["input_ids"]
    assert writer.cut(marker) == ([], True)  # a stop at place 0
    made = writer.rationale(question, ids, [place % 2 == 0 for place in range(len(ids))])
    assert made.sampled == [place % 2 == 0 for place in range(len(kept))]
    assert tokenizer.decode(made.answer) == f"#### {EXAMPLES[0].final_answer}</s>"


def test_samples_are_the_same_for_any_batch_and_differ_from_visit_to_visit(folder) -> None:
    setting = Setting(folder, options())
    other = Setting(folder, options(generation_batch_size=3))
    with torch.no_grad():
        first = setting.writer.sample(setting.model, setting.questions[:3], [0, 0, 0])
        again = other.writer.sample(other.model, other.questions[:3], [0, 0, 0])
        second = setting.writer.sample(setting.model, setting.questions[:3], [1, 0, 0])
    assert first == again
    assert len(first) == 12
    assert first[:4] != second[:4]
    assert first[4:] == second[4:]
    assert [row.prompt for row in first[:4]] == [setting.questions[0].prompt] * 4


def test_what_is_too_long_is_left_out_and_counted(folder, capsys) -> None:
    setting = Setting(folder, options())
    lengths = [len(question.prompt) for question in setting.questions]
    writer = setting.writer
    writer.options = options(max_length=max(lengths) - 1)
    assert len(writer.questions(EXAMPLES[:16], setting.model, "examples")) < 16
    assert "are longer than" in capsys.readouterr().err
    writer.options = options(max_answer_tokens=3)  # `#### 7</s>` fits, two digits in one token as well
    assert writer.questions(EXAMPLES[:16], setting.model, "examples")
    writer.options = options(max_answer_tokens=2)
    with pytest.raises(UserError, match=r"of 16 questions 0 are longer.*16 have answers longer than 2 tokens"):
        writer.questions(EXAMPLES[:16], setting.model, "examples")
    writer.options = options(max_rationale_tokens=200)
    with pytest.raises(UserError, match="leave no room for a question in 128 positions"):
        writer.questions(EXAMPLES[:16], setting.model, "examples")


def test_answers_that_no_rationale_could_end_before_are_named(folder) -> None:
    setting = Setting(folder, options())
    setting.writer.stops = ["Therefore"]
    with pytest.raises(UserError, match=r"no answer holds 'Therefore', at which a rationale ends .*chat: \{answer"):
        setting.writer.questions(EXAMPLES, setting.model, "examples")
    with pytest.raises(UserError, match="no nothing; check the split"):
        setting.writer.questions([], setting.model, "nothing")


def test_development_rationales_are_no_longer_than_those_of_the_training(folder) -> None:
    """A solution may be longer by its answer; what is measured of its rationale is not."""
    setting = Setting(folder, options(max_rationale_tokens=3, max_answer_tokens=8))
    setting.writer.stops = ["no such text"]
    add_scorer(setting.model)
    judge = lambda question, text: (False, False)  # noqa: E731
    measured = DevelopmentAccuracy(setting.dev, judge, setting.writer, Evaluations(folder), 4)
    with torch.no_grad():
        solutions = setting.writer.solve(setting.model, measured.questions)
        rows = measured.measure(setting.model, 0, 1)
    assert max(len(one.ids) for one in solutions) > 3
    assert max(row[4] for row in rows) == 3
    assert not all(row[5] for row in rows)  # without a stop within the limit: unfinished


def test_the_papers_stop_strings_cut_an_answer_in_bold(folder) -> None:
    given = Settings({"preset": "paper"}, YAMLS).for_target("gsm8k", "phi35_mini").latro
    assert len(given.stop_strings) == 18
    writer = Setting(folder, options(stop_strings=given.stop_strings)).writer
    for text, kept in (("3+2=5 **Answer:** 5", "3+2=5 **"), ("5 pens. So, the answer is 5", "5 pens. ")):
        ids = writer.tokenizer(text, add_special_tokens=False)["input_ids"]
        cut, finished = writer.cut(ids)
        assert finished
        assert kept.startswith(writer.tokenizer.decode(cut))
        assert len(cut) < len(ids)


# ---------------------------------------------------------------- batches


def test_epochs_count_questions_not_rationales(folder, tmp_path) -> None:
    """16 questions, 4 rationales each, 16 rationales a step: 4 steps an epoch."""
    curve, _ = Setting(folder, options(max_steps=-1, epochs=1.5, evaluations=1)).train(tmp_path)
    assert (curve[-1]["step"], curve[-1]["epoch"]) == (6, 1.5)


def test_epochs_count_rationales_as_in_the_authors_code(folder, tmp_path) -> None:
    """16 questions, 16 rationales a step: an epoch is one step, which shows 4 of the questions."""
    given = options(max_steps=-1, epochs=1.5, evaluations=1, epochs_count="rationales")
    curve, _ = Setting(folder, given).train(tmp_path)
    assert (curve[-1]["step"], curve[-1]["epoch"]) == (2, 0.5)


# ---------------------------------------------------------------- the gradient


@pytest.mark.parametrize("sft_penalty", [0.0, 0.5])
def test_one_pass_two_passes_and_small_batches_give_one_gradient(folder, tmp_path, sft_penalty) -> None:
    """Whole groups are scored by the very pass that is differentiated; half a group needs a pass before it."""
    whole, line = first_gradient(folder, tmp_path / "a", sft_penalty=sft_penalty)
    groups, same = first_gradient(folder, tmp_path / "b", sft_penalty=sft_penalty, device_batch_size=4)
    halves, other = first_gradient(folder, tmp_path / "c", sft_penalty=sft_penalty, device_batch_size=2)
    assert whole.norm() > 0
    assert torch.allclose(whole, groups, atol=1e-6)
    assert torch.allclose(whole, halves, atol=1e-6)
    for key in ("loss", "reward", "kl", "rationale_length", "finished_share"):
        assert line[key] == pytest.approx(same[key], abs=1e-4) == pytest.approx(other[key], abs=1e-4)


def test_the_gradient_is_that_of_the_formula(folder, tmp_path) -> None:
    """Everything once more by hand: each row alone, plain log-softmax, leave-one-out, equation 4."""
    found, line = first_gradient(folder, tmp_path / "a", sft_penalty=0.5)
    setting = Setting(folder, options(sft_penalty=0.5))
    from retrace.training.data import bucketed_order

    order = bucketed_order([question.length for question in setting.questions], 4, 1, 0)
    questions = [setting.questions[index] for index in order]
    with torch.no_grad():
        rows = setting.writer.sample(setting.model, questions, [0] * 4)

    def sums(row):
        text = [*row.prompt, *row.ids, *row.answer]
        logs = setting.model(input_ids=torch.tensor([text])).logits[0].log_softmax(-1)
        chosen = logs[torch.arange(len(text) - 1), torch.tensor(text[1:])]
        start, end = len(row.prompt) - 1, len(row.prompt) + len(row.ids) - 1
        return (chosen[start:end] * torch.tensor(row.sampled)).sum(), chosen[end:].sum()

    own, answers = (torch.stack(part) for part in zip(*map(sums, rows), strict=True))
    rewards = answers.detach().view(4, 4)  # the reference is the policy itself at the start: no KL
    advantages = rewards - (rewards.sum(1, keepdim=True) - rewards) / 3
    loss = -(advantages.flatten() * own).mean() - 0.5 * answers.mean()
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(setting.model.parameters()))])
    assert torch.allclose(found, expected, atol=1e-5)
    assert line["loss"] == pytest.approx(loss.item(), abs=1e-3)
    assert line["reward"] == pytest.approx(rewards.mean().item(), abs=1e-3)
    assert line["kl"] == pytest.approx(0, abs=1e-5)


def test_the_penalty_of_unfinished_rationales_is_over_the_whole_batch(folder, tmp_path) -> None:
    kept, line = first_gradient(folder, tmp_path / "a")
    penalised, other = first_gradient(folder, tmp_path / "b", unfinished="batch_mean")
    assert line["finished_share"] < 1
    assert line["reward"] == pytest.approx(other["reward"], abs=1e-4)  # the curve shows what was measured
    assert not torch.allclose(kept, penalised, atol=1e-6)


def test_equal_rewards_give_no_gradient(folder, tmp_path) -> None:
    """Rationales of at most one forced token each: all alike, so nothing is better than anything else."""
    setting = Setting(folder, options(max_steps=1, evaluations=1, kl_coef=0.0))
    sample = setting.writer.sample

    def alike(model, questions, visits):
        rows = sample(model, questions, visits)
        return [rows[number // 4 * 4] for number in range(len(rows))]

    setting.writer.sample = alike
    gradients = Gradients()
    curve, _ = setting.train(tmp_path, [gradients])
    assert gradients.first.abs().max() < 1e-6
    assert next(row for row in curve if "loss" in row)["equal_share"] == 1.0


def test_rationales_without_tokens_train_too(folder, tmp_path) -> None:
    setting = Setting(folder, options(max_steps=1, evaluations=1, sft_penalty=1.0))
    sample = setting.writer.sample
    setting.writer.sample = lambda *given: [replace(row, ids=[], sampled=[]) for row in sample(*given)]
    curve, _ = setting.train(tmp_path)
    assert next(row for row in curve if "loss" in row)["rationale_length"] == 0


@pytest.mark.parametrize("device_batch_size", [16, 2])
def test_gradient_checkpointing_changes_nothing(folder, tmp_path, device_batch_size) -> None:
    plain, _ = first_gradient(folder, tmp_path / "a", device_batch_size=device_batch_size)
    changes = {"device_batch_size": device_batch_size, "gradient_checkpointing": True}
    spared, _ = first_gradient(folder, tmp_path / "b", **changes)
    assert torch.allclose(plain, spared, atol=1e-7)


def test_bfloat16_trains(folder, tmp_path) -> None:
    curve, report = Setting(folder, options(precision="bfloat16", max_steps=2, evaluations=1)).train(tmp_path)
    assert [row["step"] for row in curve if "loss" in row] == [1, 2]
    assert np.isfinite(report["last"]["reward"])


def test_without_weight_there_is_no_reference_model(folder, tmp_path) -> None:
    _, line = first_gradient(folder, tmp_path, kl_coef=0.0)
    assert line["kl"] == 0


def test_kl_grows_as_the_policy_leaves_the_reference(folder, tmp_path) -> None:
    curve, _ = Setting(folder, options(learning_rate=1e-2)).train(tmp_path)
    values = [row["kl"] for row in curve if "kl" in row]
    assert abs(values[0]) < 1e-5
    assert abs(values[-1]) > 1e-3


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_likelihood_that_is_no_number_stops_the_training(folder, tmp_path, value) -> None:
    class Break(TrainerCallback):
        def on_step_begin(self, args, state, control, model=None, **kwargs) -> None:
            if state.global_step == 1:
                with torch.no_grad():
                    model.transformer.h[-1].mlp.c_proj.bias.fill_(value)

    setting = Setting(folder, options())
    sample = setting.writer.sample
    rows = []

    def remembered(model, questions, visits):  # a broken model could write nothing
        if not rows:
            rows.extend(sample(model, questions, visits))
        return rows

    setting.writer.sample = remembered
    with pytest.raises(UserError, match=r"of 'arithmetic-train-.*' is no finite number at step 1; lower learning_rate"):
        setting.train(tmp_path, [Break()])


# ---------------------------------------------------------------- restarts and the choice


def first_texts():
    """A judge by which every solution of the start is right, and no other one is."""
    texts: dict[str, str] = {}
    return lambda question, text: (texts.setdefault(question.id, text) == text, False)


# The answer term alone: the answers' form becomes likelier at once, and the solutions change.
DECLINING = {"learning_rate": 2e-2, "sft_penalty": 5.0, "max_steps": 40, "evaluations": 10}


def alternating(setting: Setting):
    """A judge by which accuracy changes with the text, so that the best checkpoint lies somewhere in between."""
    return lambda question, text: (len(text) % 3 == 0, False)


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("device_batch_size", [16, 2])
def test_stopped_training_goes_on_to_the_same_weights_and_curve(
    folder, tmp_path, step, device_batch_size, capsys
) -> None:
    given = options(device_batch_size=device_batch_size, stop_on_decline=False)
    judge = alternating(None)
    one = Setting(folder, given, judge)
    curve, report = one.train(tmp_path / "one")
    broken = Setting(folder, given, judge)
    with pytest.raises(Stop):
        broken.train(tmp_path / "two", [StopAt(step)])
    torch.manual_seed(123)  # another process has other random numbers
    two = Setting(folder, given, judge)
    torch.manual_seed(321)
    again, told = two.train(tmp_path / "two")
    assert "resuming at" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    assert curve == again
    assert report == told
    assert [row["step"] for row in curve if "dev_accuracy" in row] == [0, 2, 4, 6]


def test_the_best_checkpoint_is_kept_the_start_included(folder, tmp_path) -> None:
    setting = Setting(folder, options(learning_rate=1e-2, stop_on_decline=False), first_texts())
    start = [weight.detach().clone() for weight in setting.model.parameters()]
    curve, report = setting.train(tmp_path)
    assert report["start"]["accuracy"] == 1.0
    assert report["last"]["accuracy"] < 1.0
    assert report["chosen"]["step"] == 0
    assert all(torch.equal(a, b) for a, b in zip(start, setting.model.parameters(), strict=True))
    assert next(row["dev_accuracy"] for row in curve if "dev_accuracy" in row) == 1.0


def test_accuracy_that_falls_while_the_reward_rises_stops_the_training(folder, tmp_path, capsys) -> None:
    judge = first_texts()
    setting = Setting(folder, options(**DECLINING), judge)
    curve, report = setting.train(tmp_path)
    assert report["stopped"].startswith("stopped at step ")
    assert report["last"]["step"] < 40
    assert report["last"]["reward"] > report["start"]["reward"]
    assert report["chosen"]["step"] == 0
    assert "the checkpoint of step 0 is kept" in capsys.readouterr().err
    assert max(row["step"] for row in curve) == report["last"]["step"]
    # Started once more, it takes no further step.
    again = Setting(folder, options(**DECLINING), judge)
    assert again.train(tmp_path) == (curve, report)
    assert "the checkpoint of step 0 is kept" in capsys.readouterr().err
    assert all(torch.equal(a, b) for a, b in zip(setting.model.parameters(), again.model.parameters(), strict=True))


def test_a_finished_training_is_not_repeated(folder, tmp_path) -> None:
    setting = Setting(folder, options())
    curve, _ = setting.train(tmp_path / "state")
    again = Setting(folder, options())
    assert again.train(tmp_path / "state")[0] == curve
    assert all(torch.equal(a, b) for a, b in zip(setting.model.parameters(), again.model.parameters(), strict=True))
    finish(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_no_pickle_lies_in_the_saved_state_but_the_trainers_own(folder, tmp_path) -> None:
    Setting(folder, options(max_steps=1, evaluations=1)).train(tmp_path)
    names = {path.name for path in tmp_path.glob("checkpoint-*/*")}
    assert "model.safetensors" in names
    assert "training_args.bin" not in names
    assert "README.md" not in names
    lines = (tmp_path / "evaluations.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [0, 1]


def test_the_scorer_is_the_models_own_likelihood(folder) -> None:
    setting = Setting(folder, options())
    add_scorer(setting.model)
    with torch.no_grad():
        rows = setting.writer.sample(setting.model, setting.questions[:2], [0, 0])
        rationales, answers = pieces.likelihoods(setting.model, pieces.pack(rows, 0))
    assert rationales.isfinite().all()
    assert (answers < 0).all()
