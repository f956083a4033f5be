"""LaTRO's rollouts: where a rationale is cut, what is left out, and how likely the scorer finds it."""

from pathlib import Path

import pytest
import torch

from retrace.errors import UserError
from retrace.systems.latro import rationales as pieces
from retrace.systems.latro.decline import Evaluations
from retrace.systems.latro.token_logprobs import add_scorer
from retrace.systems.latro.trainer import DevelopmentAccuracy
from retrace.workflow.settings import Settings
from unit.latro_setting import EXAMPLES, Setting, options

YAMLS = Path(__file__).parents[4] / "config"


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
    with pytest.raises(
        UserError, match=r"no question is left: of 16, 0 are longer.*16 have answers longer than 2 tokens"
    ):
        writer.questions(EXAMPLES[:16], setting.model, "examples")
    writer.options = options(max_rationale_tokens=200)
    with pytest.raises(UserError, match="leave no room for a question in 128 positions"):
        writer.questions(EXAMPLES[:16], setting.model, "examples")


def test_answers_that_no_rationale_could_end_before_are_named(folder) -> None:
    setting = Setting(folder, options())
    setting.writer.stops = ["Therefore"]
    with pytest.raises(UserError, match=r"no answer contains 'Therefore', which ends a rationale .*chat: \{answer"):
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


def test_the_scorer_is_the_models_own_likelihood(folder) -> None:
    setting = Setting(folder, options())
    add_scorer(setting.model)
    with torch.no_grad():
        rows = setting.writer.sample(setting.model, setting.questions[:2], [0, 0])
        rationales, answers = pieces.likelihoods(setting.model, pieces.pack(rows, 0))
    assert rationales.isfinite().all()
    assert (answers < 0).all()
