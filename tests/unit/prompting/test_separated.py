"""Texts with separators, their token rows and batches."""

import numpy as np
import pytest
from transformers import AutoTokenizer

from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.scratch import build_tokenizer
from retrace.prompting.layouts import layout_of, write_layout
from retrace.prompting.separated import prompt_text, separators, whole_text
from retrace.schemas import Example
from retrace.training.data import IGNORED
from retrace.training.separated_rows import padded, question_batch, read_rows, reasoning_batch, text_batch
from unit.implicit_world import examples, rows_of, task, tokenizer


def test_texts() -> None:
    assert prompt_text("1  2 * 3 4 ", "<end>") == " 1  2 * 3 4  <end>"
    assert whole_text("q", "s + s", "#### 4 2", "<end>") == " q <end> s + s <end> #### 4 2 <end>"
    assert whole_text("q", "", "#### 4", "<end>") == " q <end>  <end> #### 4 <end>"  # as the authors' code: two spaces


@pytest.mark.parametrize(
    ("ids", "wanted", "found"),
    [([5, 1, 6, 1, 7, 1], 3, [1, 3, 5]), ([5, 1, 1, 7, 1], 3, [1, 2, 4]), ([5, 1, 6, 1, 7, 1, 1], 3, [1, 3, 5])],
)
def test_separators(ids: list[int], wanted: int, found: list[int]) -> None:
    assert separators(ids, 1, wanted, "row") == found


@pytest.mark.parametrize("ids", [[5, 1, 6, 1, 7], [5, 6], [5, 1, 6, 1, 7, 1, 8, 1], [5, 1, 1, 1, 1, 7]])
def test_missing_separators_are_named(ids: list[int]) -> None:
    with pytest.raises(UserError, match=r"x.jsonl: example 7: \d separators among its \d tokens, 3 are needed"):
        separators(ids, 1, 3, "x.jsonl: example 7")


def test_layout_files(tmp_path) -> None:
    assert layout_of(tmp_path) is None
    write_layout(tmp_path, "explicit_cot")
    assert layout_of(tmp_path) == "explicit_cot"
    (tmp_path / "layout.json").write_text('{"layout": "poems"}')
    with pytest.raises(
        UserError, match=r"layout.json: layout 'poems' is unknown \(valid: no_cot, explicit_cot, direct\)"
    ):
        layout_of(tmp_path)


def test_rows_hold_what_the_examples_say(tmp_path) -> None:
    found, words = examples(5), tokenizer()
    rows = rows_of(tmp_path, found)
    assert len(rows) == 5
    assert rows.ids.dtype == np.uint16
    for number, example in enumerate(found):
        whole = f"{example.question} {task().reasoning_text(example)} #### {example.final_answer}"
        assert words.decode(rows.row(number), skip_special_tokens=True) == whole
        short = words.decode(rows.without_steps(number), skip_special_tokens=True)
        assert short == f"{example.question} #### {example.final_answer}"
        assert rows.row(number)[[rows.first[number], rows.second[number], -1]].tolist() == [words.eos_token_id] * 3
    assert rows.lengths("explicit_cot").tolist() == [len(rows.row(n)) for n in range(5)]
    assert rows.lengths("no_cot").tolist() == [len(rows.without_steps(n)) for n in range(5)]
    assert rows.lengths(None).tolist() == [6] * 5
    assert rows[1:3] == [1, 2]
    assert rows[-1] == 4


def test_the_quick_tokenizer_agrees_with_the_library(tmp_path) -> None:
    """Words are looked up; a saved and loaded tokenizer, which the library changes a little, gives the same rows."""
    found = examples(20)
    rows = rows_of(tmp_path, found)
    tokenizer().save_pretrained(tmp_path)
    again = read_rows(tmp_path / "train.jsonl", task(), AutoTokenizer.from_pretrained(tmp_path), 512)
    end = tokenizer().eos_token
    for number, example in enumerate(found):
        text = whole_text(example.question, task().reasoning_text(example), task().written_answer(example), end)
        assert rows.row(number).tolist() == tokenizer()(text)["input_ids"] == again.row(number).tolist()
    assert rows.fingerprint() == again.fingerprint()
    assert rows.fingerprint() != rows_of(tmp_path, found[:19]).fingerprint()


def test_rows_of_text_in_natural_language(tmp_path) -> None:
    example = Example(
        id="1",
        question="Tom has 3 pens and 4.",
        answer="<<3+4=7>>\n#### 7",
        steps=["<<3+4=7>>"],
        final_answer="7",
        split="train",
        source="here",
    )
    bare = example.model_copy(update={"id": "2", "steps": [], "answer": "#### 7"})
    write_jsonl(tmp_path / "x.jsonl", [example, bare])
    words = build_tokenizer(["Tom has 3 pens and 4. <<3+4=7>>"], "|", 300, "whole", "decoder_only")
    rows = read_rows(tmp_path / "x.jsonl", task(), words, 100)
    assert words.decode(rows.row(0), skip_special_tokens=True).split() == [
        *example.question.split(),
        "<<3+4=7>>",
        "####",
        "7",
    ]
    steps = rows.row(1)[rows.first[1] + 1 : rows.second[1]]
    assert words.decode(steps).strip() == ""


def test_long_rows_are_an_error_or_left_out(tmp_path, capsys) -> None:
    found = [*examples(2), *examples(1, digits=3)]
    write_jsonl(tmp_path / "x.jsonl", found)
    with pytest.raises(UserError, match=r"x.jsonl: example mult_3x3-train-1-0 has \d+ tokens, 30 are allowed"):
        read_rows(tmp_path / "x.jsonl", task(), tokenizer(), 30)
    rows = read_rows(tmp_path / "x.jsonl", task(), tokenizer(), 30, leave_out_long=True)
    assert len(rows) == 2
    assert "1 of 3 examples of" in capsys.readouterr().err
    with pytest.raises(UserError, match="all 3 examples of"):
        read_rows(tmp_path / "x.jsonl", task(), tokenizer(), 5, leave_out_long=True)
    (tmp_path / "none.jsonl").write_text("")
    with pytest.raises(UserError, match="holds no rows"):
        read_rows(tmp_path / "none.jsonl", task(), tokenizer(), 30)


def test_a_question_that_holds_the_separator_is_named(tmp_path) -> None:
    example = examples(1)[0]
    write_jsonl(tmp_path / "x.jsonl", [example.model_copy(update={"question": f"1 2 {tokenizer().eos_token} 3 4"})])
    with pytest.raises(UserError, match=r"x.jsonl: example mult_2x2-train-1-0: 4 separators"):
        read_rows(tmp_path / "x.jsonl", task(), tokenizer(), 100)


def test_padding() -> None:
    assert padded([np.array([1, 2]), np.array([3])], 9).tolist() == [[1, 2], [3, 9]]


@pytest.mark.parametrize("layout", ["no_cot", "explicit_cot"])
def test_labels_say_what_each_position_shall_predict(tmp_path, layout: str) -> None:
    found = [*examples(2), *examples(1, digits=3)]
    rows = rows_of(tmp_path, found)
    batch = text_batch(rows, [2, 0], layout, 0)
    for place, number in enumerate((2, 0)):
        tokens = rows.of_layout(number, layout).tolist()
        first = int(rows.first[number])
        wanted = [IGNORED] * first + tokens[first + 1 :]
        assert batch["input_ids"][place, : len(tokens) - 1].tolist() == tokens[:-1]
        assert batch["labels"][place, : len(tokens) - 1].tolist() == wanted
        assert (batch["labels"][place, len(tokens) - 1 :] == IGNORED).all()


def test_batches_of_questions_and_steps(tmp_path) -> None:
    rows = rows_of(tmp_path, [*examples(1), *examples(1, digits=3)])
    questions, steps = question_batch(rows, [1, 0], 0), reasoning_batch(rows, [1, 0], 0)
    for place, number in enumerate((1, 0)):
        first, second = int(rows.first[number]), int(rows.second[number])
        assert questions["positions"][place] == steps["first"][place] == first
        assert steps["second"][place] == second
        assert questions["question_ids"][place, : first + 1].tolist() == rows.row(number)[: first + 1].tolist()
        assert steps["teacher_ids"][place, : second + 1].tolist() == rows.row(number)[: second + 1].tolist()
        assert not questions["question_ids"][place, first + 1 :].any()
