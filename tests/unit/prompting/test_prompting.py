"""Chat templates and end tokens from the tokenizer, and checkpoints that know how they were trained to be asked."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import GenerationConfig

from retrace.decoding.sampling import generate
from retrace.decoding.setup import open_generator
from retrace.errors import UserError
from retrace.models.load import load_model
from retrace.models.options import ModelConfig
from retrace.prompting.layouts import write_layout
from retrace.prompting.prompting import answer_end, end_tokens, prompting_of, turn_end
from retrace.tasks.load import load_task
from retrace.training.data import generator_rows
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_generator

CONFIG = Path(__file__).parents[3] / "config"
TEMPLATE = (
    "{% for message in messages %}[CLS]{{ message['role'] }}: {{ message['content'] }}[SEP]{% endfor %}"
    "{% if add_generation_prompt %}[CLS]assistant: {% endif %}"
)
EXAMPLES = problems(8)
CHAT = ModelConfig(name="chatty", title="Chatty", family="decoder_only", file="folder", chat=True)


def chat_model(template: str | None = TEMPLATE):
    model, tokenizer = tiny_generator(arithmetic_task(), EXAMPLES, "decoder_only")
    tokenizer.chat_template = template
    return model, tokenizer


def test_questions_go_through_the_chat_template() -> None:
    _, tokenizer = chat_model()
    prompting = prompting_of(load_task("gsm8k", CONFIG), CHAT, tokenizer)
    asked = prompting.text("How many pens?")
    assert asked == "[CLS]user: How many pens? Let's think step by step.[SEP][CLS]assistant: "
    assert not prompting.special_tokens
    assert prompting.stops == []


def test_worked_examples_are_turns() -> None:
    _, tokenizer = chat_model()
    asked = prompting_of(arithmetic_task(), CHAT, tokenizer, demonstrations=1).text("How many pens?")
    assert asked.count("[CLS]") == 4
    assert "The answer is " in asked


def test_a_missing_chat_template_is_named() -> None:
    _, tokenizer = chat_model(None)
    with pytest.raises(UserError, match=r"chatty: the tokenizer has no chat template; set `chat: false`"):
        prompting_of(arithmetic_task(), CHAT, tokenizer)


def test_end_tokens_come_from_tokenizer_template_and_generation_settings() -> None:
    model, tokenizer = chat_model()
    separator, cls = tokenizer.convert_tokens_to_ids(["[SEP]", "[CLS]"])
    assert turn_end(tokenizer) == separator
    assert answer_end(tokenizer, chat=True) == separator
    assert answer_end(tokenizer, chat=False) == tokenizer.eos_token_id
    model.generation_config = GenerationConfig(eos_token_id=[cls])
    assert end_tokens(tokenizer, model, chat=True) == [tokenizer.eos_token_id, cls, separator]
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    assert end_tokens(tokenizer, model, chat=False) == [tokenizer.eos_token_id]


def test_a_template_without_a_closing_token_leaves_the_tokenizers_own() -> None:
    _, tokenizer = chat_model("{% for message in messages %}{{ message['content'] }}\n{% endfor %}")
    assert turn_end(tokenizer) is None
    assert answer_end(tokenizer, chat=True) == tokenizer.eos_token_id


def test_training_rows_of_a_chat_model() -> None:
    _, tokenizer = chat_model()
    task = arithmetic_task()
    prompting = prompting_of(task, CHAT, tokenizer)
    (row,) = generator_rows(EXAMPLES[:1], task, tokenizer, "decoder_only", 512, prompting=prompting)
    assert tokenizer.decode(row.ids) == prompting.text(EXAMPLES[0].question)
    assert row.target[-1] == tokenizer.convert_tokens_to_ids("[SEP]")
    solution = prompting.task.solution_text(EXAMPLES[0])
    assert "<<" not in solution
    assert EXAMPLES[0].steps[0].strip("<>") in solution
    assert row.target[:-1] == tokenizer(solution, add_special_tokens=False)["input_ids"]
    (direct,) = generator_rows(
        EXAMPLES[:1], task, tokenizer, "decoder_only", 512, targets="answers", prompting=prompting
    )
    assert tokenizer.decode(direct.target[:-1]) == f"The answer is {EXAMPLES[0].final_answer}."


def test_latros_baseline_is_trained_on_its_authors_texts_and_asked_as_the_others() -> None:
    """scripts/sft_baseline.py: the bare question, the reference as it is; the answer's phrase without a full stop."""
    _, tokenizer = chat_model()
    prompting = prompting_of(load_task("gsm8k", CONFIG), CHAT, tokenizer)
    theirs = replace(prompting, latro_sft=True)
    example = EXAMPLES[0].model_copy(
        update={
            "question": "How many  pens?",
            "answer": "3+4 = <<3+4=7>>7 pens.\nThat is it.\n#### 7",
            "steps": ["3+4 = <<3+4=7>>7 pens", "That is it"],
            "final_answer": "7",
        }
    )
    assert theirs.text(example.question) == "[CLS]user: How many  pens?[SEP][CLS]assistant: "
    assert theirs.solution(example) == "3+4 = <<3+4=7>>7 pens.\nThat is it.\nThe answer is 7"
    assert prompting.solution(example) == "3+4 = 7 pens\nThat is it\nThe answer is 7."
    choice = replace(prompting_of(load_task("arc_challenge", CONFIG), CHAT, tokenizer), layout="direct")
    example = example.model_copy(update={"answer": "(A) up\n(B) down\n#### down", "steps": [], "final_answer": "down"})
    asked = replace(choice, latro_sft=True).text("Which?\nOptions: ['up', 'down']")
    assert asked.startswith(
        "[CLS]user: Which?\nOptions: ['up', 'down']\nChoose one from available options and return your"
    )
    assert asked.endswith("like `The answer is {final_answer}`.[SEP][CLS]assistant: ")
    assert replace(choice, latro_sft=True).solution(example, answers_only=True) == "The answer is down."
    assert choice.text("Which?\nOptions: ['up', 'down']").startswith("[CLS]user: \nThe output MUST strictly follow")


def test_decoding_stops_at_the_end_of_a_turn() -> None:
    """`generate` takes any of the decoder's end tokens for the end."""
    model, tokenizer = chat_model()
    separator = tokenizer.convert_tokens_to_ids("[SEP]")

    class Always(torch.nn.Module):
        weight = SimpleNamespace(shape=(len(tokenizer), 1))

        def forward(self, hidden):
            logits = torch.zeros(*hidden.shape[:-1], len(tokenizer))
            logits[..., separator] = 9.0
            return logits

    from retrace.decoding.engine import Decoder

    model.lm_head = Always()
    decoder = Decoder(
        model, tokenizer, "decoder_only", end_ids=end_tokens(tokenizer, model, True), special_tokens=False
    )
    (answer,) = generate(decoder, ["[CLS]user: hello[SEP]"], ["a"], max_new_tokens=5)
    assert answer.samples[0].finished
    assert (answer.samples[0].tokens, answer.samples[0].text) == (1, "")
    assert decoder.encode(["[CLS]user: hello[SEP]"])[0][-1] == separator  # the template's own tokens stay


def test_a_generator_is_opened_for_chat(tmp_path) -> None:
    folder, file = tmp_path / "model", tmp_path / "chatty.yaml"
    save_model(*chat_model(), folder)
    file.write_text("name: chatty\ntitle: Chatty\nfamily: decoder_only\nfile: model\nchat: true\n")
    generator = open_generator(folder, file, CONFIG / "tasks" / "arc_challenge.yaml", device="cpu")
    assert "step by step" in generator.prompt("Which? Options: ['a', 'b']")
    assert generator.calculator is None
    write_layout(folder, "direct")
    generator = open_generator(folder, file, CONFIG / "tasks" / "arc_challenge.yaml", device="cpu")
    assert "Do not include any text after" in generator.prompt("Which? Options: ['a', 'b']")


def test_a_missing_pad_token_is_one_that_exists_and_is_saved(tmp_path) -> None:
    """No embedding row is added, a pad shares its id with a token that stays visible, and the checkpoint keeps it."""
    model, tokenizer = chat_model()
    tokenizer.pad_token = None
    rows = model.get_input_embeddings().num_embeddings
    save_model(model, tokenizer, tmp_path / "first")
    loaded, read = load_model(tmp_path / "first", "decoder_only")
    assert read.pad_token == read.unk_token
    assert loaded.get_input_embeddings().num_embeddings == rows
    save_model(loaded, read, tmp_path / "second")
    _, again = load_model(tmp_path / "second", "decoder_only")
    assert again.pad_token_id == read.pad_token_id is not None
    saved = (tmp_path / "second" / "tokenizer_config.json").read_text()
    assert f'"pad_token": "{read.pad_token}"' in saved
