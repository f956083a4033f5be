"""The evaluator, the written results, and the token constraint in both notations."""

import time

import numpy as np
import pytest
import torch

from retrace.errors import UserError
from retrace.models.scratch import build_tokenizer
from retrace.text.arithmetic import ArithmeticLimit, evaluate, format_number, walk
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText, calculator_tokens_missing


@pytest.fixture(scope="module", params=["whole", "digits"])
def tokenizer(request):
    return build_tokenizer(["Tom has 3+4 = <<3+4=7>>7 apples | #### 7"], "|", 300, request.param)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("48/2", 24.0),
        (" 48 / 2 ", 24.0),
        ("(2+3)*4", 20),
        ("7//2", 3),
        ("2**10", 1024),
        ("-3+5", 2),
        (".5*4", 2.0),
        ("1,200*2", 2400),
        ("12,345,678+1", 12345679),
    ],
)
def test_evaluate(expression, value):
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "x",
        "3 4",
        "3(4)",
        "1.5.2",
        "()",
        "10/0",
        "1/0.0",
        "5%",
        "abs(3)",
        "1,2+3",
        "08",
        "...",
        "(-8)**.5",
        "3+",
        "1e9",
    ],
)
def test_no_arithmetic_has_no_value(expression):
    assert evaluate(expression) is None


@pytest.mark.parametrize(
    "bomb",
    [
        "9**9**9",
        "9**9**9**9",
        "9" * 10_000,
        "(" * 5_000 + "1" + ")" * 5_000,
        "-" * 150 + "1",
        "9.9**99999",
        "99999999999**99999999999",
        "+".join(["1"] * 5_000),
        "1" + "0" * 30,
    ],
)
def test_bombs_have_no_value_and_cost_nothing(bomb):
    began = time.process_time()
    assert evaluate(bomb) is None
    assert time.process_time() - began < 1  # unlimited, these take from minutes to for ever


def test_bombs_raise_an_arithmetic_error():
    for bomb in ("9**9**9", "1" * 10_000, "-" * 150 + "1"):
        with pytest.raises(ArithmeticLimit):
            walk(bomb)


def test_nothing_but_arithmetic_is_run():
    for text in ("__import__('os')", "().__class__", "open('x')", "[x for x in (1,)]", "f'{1}'", "'a'*999999999"):
        with pytest.raises(TypeError, match="no arithmetic"):
            walk(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (24, "24"), (24.0, "24"), (0.5, "0.5"), (12.125, "12.125"), (10 / 3, "3.33"), (0.1 + 0.2, "0.3"),
        (19.9999, "19.9999"), (1 / 300, "0.0033"), (-0.0, "0"), (-2.5, "-2.5"), (1e17, "100000000000000000"),
        (2 / 3, "0.67"), (99.999999, "100"), (-1e-15, "0"),
    ],
)  # fmt: skip
def test_format_number(value, text):
    assert format_number(value) == text


def run(calculator: Calculator, tokenizer, text: str) -> str:
    """What is forced behind `text`."""
    state = calculator.start(1)
    forced = torch.tensor([-1])
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        forced = calculator.forced(state, torch.tensor([token]))
    ids = []
    while forced.item() >= 0:
        ids.append(forced.item())
        forced = calculator.forced(state, forced)
    return "".join(calculator.text.surfaces[token] for token in ids)


@pytest.mark.parametrize(
    ("text", "forced"),
    [
        ("Tom has <<48/2=", "24>>"),
        ("Tom has << 48 / 2 =", "24>>"),
        ("<<3+4=7>>7 apples | Tom has <<10/4=", "2.5>>"),
        ("<<3-40=", "-37>>"),
        ("Tom has 3+4=", ""),
        ("<<3+4=7>>7 apples =", ""),
        ("<<10/0=", ""),
        ("<<x+1=", ""),
        ("<<9**9**9=", ""),
        ("<<3+4<<5+6=", "11>>"),
        ("<<=", ""),
    ],
)
def test_angle(tokenizer, text, forced):
    assert run(Calculator(tokenizer), tokenizer, text) == forced


@pytest.mark.parametrize(
    ("text", "forced"),
    [("Tom has [ 48 / 2 =", " 24 ]"), ("[48/2 = ", "24 ]"), ("[ 3 + 4 = 7 ] and 5 =", ""), ("[ 1 / 0 =", "")],
)
def test_bracket(tokenizer, text, forced):
    assert run(Calculator(tokenizer, "bracket"), tokenizer, text) == forced


def test_bracket_with_another_closing(tokenizer):
    assert run(Calculator(tokenizer, "bracket", closing="]"), tokenizer, "[ 48 / 2 =") == " 24]"


def test_rows_that_disobey_are_left_alone_and_closed_at_the_next_sign(tokenizer):
    calculator = Calculator(tokenizer)
    ids = tokenizer("<<4*8=", add_special_tokens=False)["input_ids"]
    wrong = tokenizer("9", add_special_tokens=False)["input_ids"][0]
    equals = tokenizer("=", add_special_tokens=False)["input_ids"][0]
    state = calculator.start(1)
    for token in [*ids, wrong]:
        forced = calculator.forced(state, torch.tensor([token]))
    assert forced.item() == -1
    forced = calculator.forced(state, torch.tensor([equals]))
    assert calculator.text.surfaces[forced.item()] == ">>"


def test_select_and_repeat_carry_the_state(tokenizer):
    calculator = Calculator(tokenizer)
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("<<4*8=", "Tom1+1", "<<5+6=")]
    width = max(map(len, rows))
    space = tokenizer(" a", add_special_tokens=False)["input_ids"][0]
    rows = [[space] * (width - len(row)) + row for row in rows]
    state = calculator.start(3)
    for column in zip(*rows, strict=True):
        forced = calculator.forced(state, torch.tensor(column))
    first = forced.tolist()
    assert first[0] >= 0
    assert first[1] == -1
    picked = state.select(torch.tensor([2, 1, 0, 2])).repeat(2)
    following = calculator.forced(picked, torch.tensor(first)[[2, 1, 0, 2]].clamp(min=space).repeat_interleave(2))
    alone = calculator.forced(state, torch.tensor(first).clamp(min=space))
    assert following.tolist() == [alone[i].item() for i in (2, 2, 1, 1, 0, 0, 2, 2)]


def test_histories_without_a_state_force_the_same(tokenizer):
    calculator = Calculator(tokenizer)
    text = "Tom has <<48/2=24>>24 and <<10/4=2.5>>2.5 and <<1/0=3>>3 and <<2*3*4*5=120>>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    state = calculator.start(1)
    forced_any = 0
    for end in range(1, len(ids) + 1):
        stepwise = calculator.forced(state, np.array([ids[end - 1]]))
        whole = calculator.forced_after(np.array([ids[:end]]))
        assert stepwise.tolist() == whole.tolist(), calculator.text.text(ids[:end])
        forced_any += stepwise[0] >= 0
    assert forced_any > 6


def test_a_token_that_holds_more_than_the_equals_sign():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<unk>", "</s>", "<<", ">>", "*", "=", "=3", "=9", "a", *"0123456789"]
    inner = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=0))
    inner.pre_tokenizer = pre_tokenizers.Split("|", "removed")
    from tokenizers import decoders

    inner.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", eos_token="</s>")
    calculator = Calculator(tokenizer)
    begin = [words.index(word) for word in ("<<", "4", "*", "8")]
    for last, forced in (("=3", ["2", ">>"]), ("=9", [">>"]), ("=", ["3", "2", ">>"])):
        state = calculator.start(1)
        for token in [*begin, words.index(last)]:
            answer = calculator.forced(state, np.array([token]))
        written = []
        while answer[0] >= 0:
            written.append(words[answer[0]])
            answer = calculator.forced(state, answer)
        assert written == forced


def test_byte_level_tokenizer():
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    made = ByteLevelBPETokenizer(add_prefix_space=False)
    made.train_from_iterator(["Tom has 3 + 4 = <<3+4=7>>7 apples"] * 5, vocab_size=290, show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made._tokenizer, eos_token="<|end|>")
    assert calculator_tokens_missing(tokenizer) == []
    assert run(Calculator(tokenizer), tokenizer, "Tom has << 48 / 2 =") == "24>>"
    assert run(Calculator(tokenizer, "bracket"), tokenizer, "Tom has [ 48 / 2 =") == " 24 ]"


@pytest.fixture(scope="module")
def without_angle():
    """Like T5's: no '<' in a sentencepiece vocabulary, so '<<' is the unknown token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", "▁", ">>", ">", "=", "/", "▁has", "a", *"0123456789", ".", "-"]
    inner = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    inner.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", eos_token="</s>", pad_token="<pad>", model_max_length=64
    )


def test_unknown_token_reads_as_the_opening_where_the_tokenizer_has_none(without_angle):
    assert calculator_tokens_missing(without_angle) == ["<<"]
    calculator = Calculator(without_angle)
    assert run(calculator, without_angle, "a has <<48/2=") == "24>>"
    ids = without_angle("a has <<48/2=24>>24", add_special_tokens=False)["input_ids"]
    assert 2 in ids
    assert TokenText(without_angle).text([*ids, 1]) == "a has <<48/2=24>>24"


def test_a_tokenizer_without_the_signs_is_refused(without_angle):
    with pytest.raises(UserError, match=r"no token for '\[', '\]'.*train_sft"):
        Calculator(without_angle, "bracket")
    with pytest.raises(UserError, match="notation 'round'"):
        Calculator(without_angle, "round")


def test_ids_beyond_the_tokenizer_write_nothing(tokenizer):
    calculator = Calculator(tokenizer)
    state = calculator.start(1)
    assert calculator.forced(state, np.array([len(tokenizer) + 27])).tolist() == [-1]
    assert calculator.text.surfaces[len(tokenizer) + 27] == ""
