"""DPO-ST's text forms: prompts, solutions, steps, answers, tokenizers and the calculator's notation."""

from pathlib import Path

import numpy as np
import pytest

from retrace.decoding.setup import calculator_of
from retrace.errors import UserError
from retrace.models.load import check_delimiter, check_tokenizer
from retrace.models.scratch import build_tokenizer
from retrace.schemas import Example
from retrace.tasks.formats import read_split
from retrace.tasks.forms import form_names
from retrace.tasks.load import load_task
from retrace.text.calculator import Calculator
from retrace.training.data import encode_solutions, generator_rows

CONFIG = Path(__file__).parents[4] / "config"
GSM8K = load_task("gsm8k", CONFIG)
T5 = GSM8K.in_form("dpo_st", "encoder_decoder")
LLAMA = GSM8K.in_form("dpo_st", "decoder_only")

EXAMPLE = Example(
    id="1",
    question="Tom has 48  pens and gives half away. How many are left?",
    answer="He gives 48/2=<<48/2=24>>24 pens away\nSo $24-4=<<24-4=20>>20 are left.\n#### 20",
    steps=["He gives 48/2=<<48/2=24>>24 pens away", "So $24-4=<<24-4=20>>20 are left"],
    final_answer="20",
    split="train",
    source="here",
)
LINE = "He gives 48 / 2 = [ 48 / 2 = 24] 24 pens away. So $ 24 - 4 = [ 24 - 4 = 20] 20 are left. #### 20"


def test_encoder_decoder_models_read_the_question_and_write_one_line():
    assert T5.prompt(EXAMPLE.question) == "Tom has 48 pens and gives half away. How many are left?"
    assert T5.solution_text(EXAMPLE) == LINE
    assert T5.split_steps(LINE) == T5.reference_steps(EXAMPLE)
    assert T5.reference_steps(EXAMPLE) == [
        "He gives 48 / 2 = [ 48 / 2 = 24] 24 pens away",
        "So $ 24 - 4 = [ 24 - 4 = 20] 20 are left",
    ]
    assert T5.join_steps(T5.split_steps(LINE), "20") == LINE
    assert T5.join_steps(["He has 3.5", "[ 1 + 2 = 3]"]) == "He has 3.5. [ 1 + 2 = 3] ."
    assert T5.split_steps("He has 3.5. [ 1 + 2 = 3] . #### 3") == ["He has 3.5", "[ 1 + 2 = 3]"]
    assert T5.join_steps([]) == ""


def test_decoder_only_models_follow_an_instruction_and_write_the_reference_as_it_is():
    prompt = LLAMA.prompt(EXAMPLE.question, family="decoder_only")
    assert prompt.startswith("Below is an instruction that describes a task. Write a response")
    assert prompt.endswith(
        "### Instruction:\nTom has 48 pens and gives half away. How many are left?\n\n### Response:\n"
    )
    assert LLAMA.solution_text(EXAMPLE) == EXAMPLE.answer
    assert LLAMA.split_steps(EXAMPLE.answer)[0] == EXAMPLE.steps[0]
    assert LLAMA.join_steps(["a", "b"]) == "a\nb\n"
    assert LLAMA.join_steps(["a", "b"], "3") == "a\nb\n#### 3"


@pytest.mark.parametrize(
    ("text", "answer", "right"),
    [
        ("#### 20", "20", True),
        ("#### 3 then #### 20", "20", True),  # the last one counts, where GRACE's extractor takes the first
        ("#### 20 then #### 3", "3", False),
        ("# 20.", "20", True),
        ("#### 20.00005", "20.00005", True),
        ("#### 20.1", "20.1", False),
        ("####20", None, False),
        ("#### $20", None, False),
        ("#### 2.0.0", None, False),
        ("", None, False),
    ],
)
def test_answers(text, answer, right):
    assert T5.extract(text) == answer
    assert T5.grade(text, "#### 20") is right
    assert LLAMA.grade(text, "#### 20") is right


def test_a_reference_without_a_value_is_refused():
    with pytest.raises(UserError, match="has no '#### number'"):
        T5.grade("#### 3", "#### three")


def test_the_plain_form_is_the_task_itself_and_others_are_refused():
    assert form_names()[:2] == ["steps", "dpo_st"]
    assert GSM8K.in_form("steps", "decoder_only") is GSM8K
    with pytest.raises(UserError, match="'alpaca' is unknown; use steps, dpo_st, learn_to_reason"):
        GSM8K.in_form("alpaca", "decoder_only")
    with pytest.raises(UserError, match="is for word problems, but this task's family is programs"):
        load_task("mathqa", CONFIG).in_form("dpo_st", "encoder_decoder")


def tokenizer_of(task, family):
    texts = [task.prompt(EXAMPLE.question, family=family), task.solution_text(EXAMPLE)] * 3
    return build_tokenizer(texts, GSM8K.delimiter, 400, "whole", family)


@pytest.mark.parametrize(("task", "family"), [(T5, "encoder_decoder"), (LLAMA, "decoder_only")])
def test_a_tokenizer_from_scratch_keeps_the_form_and_the_calculator_writes_in_it(task, family):
    tokenizer = tokenizer_of(task, family)
    check_tokenizer(tokenizer, task)
    check_delimiter(tokenizer, task)
    text = task.solution_text(EXAMPLE)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    calculator = calculator_of(task, tokenizer)
    assert isinstance(calculator, Calculator)
    state = calculator.start(1)
    forced = [int(calculator.forced(state, np.array([token]))[0]) for token in ids]
    agreed = [(want, token) for want, token in zip(forced, ids[1:], strict=False) if want >= 0]
    assert len(agreed) >= 4, "results and closing brackets of both computations"
    assert all(want == token for want, token in agreed), "the calculator writes what the references hold"
    # What it writes can be masked from the loss.
    _, inside = encode_solutions(tokenizer, [text])[0]
    results = [tokenizer.decode([token]).strip() for token, result in zip(ids, inside, strict=True) if result]
    assert [result for result in results if result] == ["24", "20"]


def test_rows_of_a_decoder_only_model_begin_right_behind_the_prompt():
    tokenizer = tokenizer_of(LLAMA, "decoder_only")
    row = generator_rows([EXAMPLE], LLAMA, tokenizer, "decoder_only", 512)[0]
    assert tokenizer.decode(row.ids) == LLAMA.prompt(EXAMPLE.question, family="decoder_only")
    assert tokenizer.decode(row.target[:-1]) == EXAMPLE.answer
    assert row.target[-1] == tokenizer.eos_token_id


def test_real_references_are_right_in_both_forms(mirror):
    for split in ("dpo_st_train", "dpo_st_dev", "test"):
        for example in read_split(GSM8K, split, mirror):
            for task in (T5, LLAMA):
                text = task.solution_text(example)
                assert task.grade(text, example.answer), (example.id, text)
                assert task.grade_strict(text, example.answer), (example.id, text)
