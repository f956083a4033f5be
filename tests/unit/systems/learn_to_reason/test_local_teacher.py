"""A model in this process as the teacher: its chat template, the end of its turn, and its thinking."""

from pathlib import Path

import pytest
import torch

from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import Request
from retrace.systems.learn_to_reason.teachers.local import Local
from retrace.systems.learn_to_reason.teachers.recording import open_recording
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_generator

# As Qwen's and Gemma's: each turn between two marks, and the second ends it.
CHAT = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}<turn>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
REFUSES = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + CHAT
LEAVES_OUT = CHAT.replace("%}[{{", "%}{% if message['role'] != 'system' %}[{{", 1).replace("\n{%", "\n{% endif %}{%", 1)
TALK = (("system", "Teach."), ("user", "2 + 2?"), ("assistant", "It is 4."), ("user", "3 + 3?"))


def local(folder: Path, recording, template: str | None, says: str | None = None, **options: object) -> Local:
    """A teacher with random weights, or one that says the token `says` and nothing else."""
    model, tokenizer = tiny_generator(arithmetic_task(), problems(8), "decoder_only")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<turn>"]})
    model.resize_token_embeddings(len(tokenizer))
    if says is not None:
        with torch.no_grad():
            model.transformer.ln_f.weight.zero_()
            model.transformer.ln_f.bias.fill_(1.0)
            model.lm_head.weight.fill_(-1.0)
            model.lm_head.weight[tokenizer.convert_tokens_to_ids(says)] = 1.0
    tokenizer.chat_template = template
    save_model(model, tokenizer, folder)
    return Local(TeacherOptions(kind="local", model="tiny", **options), recording, folder, "decoder_only")


@pytest.fixture
def recording(tmp_path):
    with open_recording(tmp_path / "recording") as opened:
        yield opened


@pytest.mark.parametrize(
    ("template", "text"),
    [
        (CHAT, "[system]Teach.<turn>\n[user]2 + 2?<turn>\n[assistant]It is 4.<turn>\n[user]3 + 3?<turn>\n[assistant]"),
        (REFUSES, "[user]Teach.\n\n2 + 2?<turn>\n[assistant]It is 4.<turn>\n[user]3 + 3?<turn>\n[assistant]"),
        (LEAVES_OUT, "[user]Teach.\n\n2 + 2?<turn>\n[assistant]It is 4.<turn>\n[user]3 + 3?<turn>\n[assistant]"),
        (None, "Teach.\n\n2 + 2?\nIt is 4.\n\n3 + 3?\n"),
    ],
)
def test_the_conversation_is_written_as_the_model_knows_it(tmp_path, recording, template, text: str) -> None:
    teacher = local(tmp_path / "model", recording, template)
    teacher._opened()
    assert teacher._prompt(Request("1", TALK)) == text
    bare = text.replace("[system]Teach.<turn>\n", "").replace("Teach.\n\n", "")
    assert teacher._prompt(Request("1", TALK[1:])) == bare


def test_a_template_that_takes_no_conversation_is_named(tmp_path, recording) -> None:
    teacher = local(tmp_path / "model", recording, "{{ raise_exception('no talk') }}")
    with pytest.raises(
        UserError, match=r"model: the tokenizer's chat template cannot format the conversation \(no talk\)"
    ):
        teacher.answer([Request("1", TALK)])


def test_the_end_of_the_turn_ends_an_answer(tmp_path, recording) -> None:
    teacher = local(tmp_path / "model", recording, CHAT)
    decoder = teacher._opened()
    ends = {decoder.tokenizer.eos_token_id, decoder.tokenizer.convert_tokens_to_ids("<turn>")}
    assert ends <= set(decoder.end_ids)
    assert not decoder.special_tokens, "the template brings the special tokens"
    assert local(tmp_path / "plain", recording, None)._opened().special_tokens


@pytest.mark.parametrize(("template", "tokens", "finish"), [(CHAT, 1, "stop"), (None, 5, "length")])
def test_a_model_stops_where_its_template_says(tmp_path, recording, template, tokens: int, finish: str) -> None:
    teacher = local(tmp_path / "model", recording, template, says="<turn>", max_tokens=5, temperature=0)
    teacher._write([Request("1", TALK[-1:])], room=1)
    found, _ = recording.look_up(teacher._address, teacher.options, Request("1", TALK[-1:]))
    assert (found.output_tokens, found.finish, found.text) == (tokens, finish, "")


class Says:
    """In the place of `generate`: what a model would write in so many tokens."""

    def __init__(self, needed: int) -> None:
        self.needed, self.asked = needed, []

    def __call__(self, decoder, prompts, keys, *, max_new_tokens: int, **_: object):
        from retrace.decoding.sampling import Answers, Generated

        self.asked += [(key, max_new_tokens) for key in keys]
        for index in range(len(prompts)):
            whole = max_new_tokens >= self.needed
            text = "<think>3 + 3?</think>\n\nIt is 6." if whole else "<think>3 + 3"
            yield Answers(index, [Generated(text, max_new_tokens, 0.0, whole)], 0.0)


@pytest.mark.parametrize(("needed", "times"), [(2, 1), (7, 2), (30, 3), (1000, 3)])
def test_a_model_that_thinks_has_more_room_and_keeps_its_thoughts(
    tmp_path, recording, monkeypatch, needed, times
) -> None:
    says = Says(needed)
    monkeypatch.setattr("retrace.decoding.sampling.generate", says)
    teacher = local(tmp_path / "model", recording, CHAT, max_tokens=2)
    requests = [Request("1", TALK), Request("2", TALK, attempt=1), Request("1", TALK)]
    for _ in range(2):
        answers = teacher.answer(requests)
        assert [one.text for one in answers] == ["It is 6." if needed < 1000 else ""] * 3
        assert len(says.asked) == 2 * times
        assert len(set(says.asked)) == 2 * times, "another room is another request"
    assert all(teacher.known(requests))
    assert len(recording) == 2 * times


def test_more_room_than_the_model_has_is_not_asked_for(tmp_path, recording, monkeypatch) -> None:
    says = Says(1000)
    monkeypatch.setattr("retrace.decoding.sampling.generate", says)
    teacher = local(tmp_path / "model", recording, CHAT, max_tokens=12)
    assert teacher._opened().max_length < 12 * 16
    assert [one.text for one in teacher.answer([Request("1", TALK)])] == [""]
    assert {room for _, room in says.asked} == {12, 48}
