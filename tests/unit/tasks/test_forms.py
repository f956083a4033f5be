"""Text forms: systems register them, tasks look them up by name."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.tasks import forms
from retrace.tasks.base import Task
from retrace.tasks.forms import Form, form_named, form_names, vocabulary_forms
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[3] / "config"


def test_the_forms_of_all_systems_are_found() -> None:
    assert form_names() == ["steps", "dpo_st", "learn_to_reason", "learn_to_reason_zero_shot"]
    assert form_named("dpo_st").families() == ["running_sum", "word_problems"]  # a running sum is written as one
    assert form_named("learn_to_reason").families() == ["lettered_choice", "word_problems", "yes_no"]
    with pytest.raises(UserError, match="'alpaca' is unknown; use steps, dpo_st, learn_to_reason"):
        form_named("alpaca")


class Upper(Task):
    form = "upper"

    def prompt(self, question, demonstrations=(), family="encoder_decoder") -> str:
        return question.upper()


def test_a_system_brings_a_form(monkeypatch: pytest.MonkeyPatch) -> None:
    form_names()  # those of the systems are known before
    monkeypatch.setattr(forms, "_FORMS", forms._FORMS)
    brought = Form(
        "upper",
        make=lambda task, family, examples: Upper(task.config, task.path),
        fits=lambda family: family.prose,
        adds_words=frozenset({"encoder_decoder"}),
    )
    monkeypatch.setitem(forms._FORMS, "upper", brought)
    task = load_task("gsm8k", CONFIG)
    assert task.in_form("upper", "decoder_only").prompt("what?") == "WHAT?"
    assert "programs" not in form_named("upper").families()
    assert [one.form for one in vocabulary_forms(task, "encoder_decoder")] == ["upper"]
    assert vocabulary_forms(load_task("mathqa", CONFIG), "encoder_decoder") == []


def test_forms_whose_texts_a_tokenizer_must_know() -> None:
    assert [one.form for one in vocabulary_forms(load_task("gsm8k", CONFIG), "decoder_only")] == ["dpo_st"]
    assert vocabulary_forms(load_task("gsm8k", CONFIG), "encoder_decoder") == []
    assert vocabulary_forms(load_task("coin_flip", CONFIG), "decoder_only") == []
