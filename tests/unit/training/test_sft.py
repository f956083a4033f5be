"""Training rows of generators, their loss, and the two scripts that make generators."""

import json

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, T5Tokenizer

import train_base
import train_sft
from retrace.decoding.setup import open_generator
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.load import check_tokenizer, load_model, load_tokenizer
from retrace.training import sft
from retrace.training.accuracy import GreedyAccuracy
from retrace.training.data import IGNORED, add_noise, collate_generator, generator_rows, result_spans
from suites import first_daily
from unit import tiny_generators
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TASK = arithmetic_task()
EXAMPLES = problems(30)
FAMILIES = ["encoder_decoder", "decoder_only"]


def test_results_of_the_calculator() -> None:
    text = "3+4 = <<3+4=7>>7 | [ 48 / 2 = 24 ] | a = 5 | #### 5"
    assert [text[low:high] for low, high in result_spans(text)] == ["7", " 24 "]
    assert result_spans("<<no result>> a=5") == []


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_mask_the_prompt_and_the_results(family: str) -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES, family)
    rows = generator_rows(EXAMPLES, TASK, tokenizer, family, 512, mask_calculator=True)
    for example, row in zip(EXAMPLES, rows, strict=True):
        masked = [token for token, out in zip(row.target, row.ignored, strict=True) if out]
        assert tokenizer.decode(row.ids, skip_special_tokens=True) == TASK.prompt(example.question, family=family)
        assert tokenizer.decode(row.target, skip_special_tokens=True).strip() == TASK.solution_text(example)
        assert row.target[-1] == tokenizer.eos_token_id
        assert tokenizer.decode(masked) == "".join(step[step.index("=") + 1 : -2] for step in example.steps)
    unmasked = generator_rows(EXAMPLES, TASK, tokenizer, family, 512)
    assert not any(any(row.ignored) for row in unmasked)


@pytest.mark.parametrize("family", FAMILIES)
def test_loss_is_that_of_transformers(family: str) -> None:
    """The sum over tokens, divided by their number, is the loss that the model computes by itself."""
    model, tokenizer = tiny_generator(TASK, EXAMPLES, family)
    rows = generator_rows(EXAMPLES[:5], TASK, tokenizer, family, 512)
    batch = collate_generator(rows, tokenizer.pad_token_id, sft.start_token(model))
    ours = (sft.token_loss(model, batch) / sft.token_count(batch)).item()
    if family == "encoder_decoder":
        labels = batch["labels"]
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
    else:
        whole = [[*row.ids, *row.target] for row in rows]
        longest = max(len(ids) for ids in whole)
        ids = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in whole])
        labels = torch.tensor(
            [
                [IGNORED] * len(row.ids) + row.target + [IGNORED] * (longest - len(row.ids) - len(row.target))
                for row in rows
            ]
        )
        given = {
            "input_ids": ids,
            "attention_mask": (torch.arange(longest) < torch.tensor([[len(w)] for w in whole])).long(),
        }
    assert ours == pytest.approx(model(**given, labels=labels).loss.item(), abs=1e-5)


def test_masked_results_are_read_but_not_in_the_loss() -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    rows = generator_rows(EXAMPLES[:4], TASK, tokenizer, "encoder_decoder", 512, mask_calculator=True)
    batch = collate_generator(rows, 0, 0)
    assert batch["labels"].ne(IGNORED).sum() == sum(row.ignored.count(False) for row in rows)
    first = rows[0]
    place = first.ignored.index(True)
    assert batch["decoder_input_ids"][0, place + 1] == first.target[place]
    assert batch["labels"][0, place] == IGNORED


def test_long_examples_are_left_out_counted_and_named(capsys) -> None:
    _, tokenizer = tiny_generator(TASK, EXAMPLES)
    lengths = [
        max(len(row.ids), len(row.target)) for row in generator_rows(EXAMPLES, TASK, tokenizer, "encoder_decoder", 512)
    ]
    limit = sorted(lengths)[-3]
    rows = generator_rows(EXAMPLES, TASK, tokenizer, "encoder_decoder", limit)
    assert len(rows) == sum(length <= limit for length in lengths) < len(EXAMPLES)
    first = next(example.id for example, length in zip(EXAMPLES, lengths, strict=True) if length > limit)
    assert f"(first: {first})" in capsys.readouterr().err
    with pytest.raises(UserError, match="all 30 examples are longer than 3 tokens"):
        generator_rows(EXAMPLES, TASK, tokenizer, "encoder_decoder", 3)
    with pytest.raises(UserError, match="no examples to train on"):
        generator_rows([], TASK, tokenizer, "encoder_decoder", 512)


def test_noise_replaces_words_but_no_numbers() -> None:
    noisy = add_noise(EXAMPLES, 0.5, 1, ["alpha beta"])
    assert noisy == add_noise(EXAMPLES, 0.5, 1, ["alpha beta"])
    words = [word for example in noisy for word in example.question.replace(".", "").replace("?", "").split()]
    share = sum(word in ("alpha", "beta") for word in words) / sum(not word.isdigit() for word in words)
    assert 0.4 < share < 0.6
    for before, after in zip(EXAMPLES, noisy, strict=True):
        numbers = [[w for w in e.question.replace(".", "").split() if w.isdigit()] for e in (before, after)]
        assert numbers[0] == numbers[1]
        assert after.steps == before.steps
    assert add_noise(EXAMPLES, 0, 1, []) == EXAMPLES


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_tokens_are_added_and_embeddings_grow(family: str) -> None:
    model, tokenizer = tiny_generator(TASK, EXAMPLES, family)
    rows = model.get_input_embeddings().num_embeddings
    assert sft.extend_tokenizer(model, tokenizer, TASK) == []
    other = arithmetic_task(delimiter="@@")
    assert sft.extend_tokenizer(model, tokenizer, other) == ["@@"]
    assert model.get_input_embeddings().num_embeddings == rows + 1
    assert sft.extend_tokenizer(model, tokenizer, other) == []


def test_a_t5_vocabulary_gets_both_brackets(tmp_path) -> None:
    """T5's pieces lack `<`; a piece may hold `=` together with a digit of the result."""
    letters = [*"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-*/.,?;:#'$%>="]
    pieces = ["▁", "▁|", "▁####", "▁=", *(f"={digit}" for digit in range(10)), *letters]
    scores = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((piece, -4.0) for piece in pieces)]
    tokenizer = T5Tokenizer(vocab=scores, extra_ids=0)
    model, _ = tiny_generator(TASK, EXAMPLES)
    model.resize_token_embeddings(len(tokenizer))
    with pytest.raises(UserError, match="'<<' is unknown to this tokenizer"):
        check_tokenizer(tokenizer, TASK)
    assert sft.extend_tokenizer(model, tokenizer, TASK) == ["<<", ">>"]
    check_tokenizer(tokenizer, TASK)
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    text = "It costs 5 + 6 = << 5 + 6 = 11 >> 11 coins | #### 11"
    again = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
    assert again.replace(" ", "") == text.replace(" ", "")
    assert "<< 5 + 6 = 11" in again  # T5 drops a space before an added token, and only that
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path)(text)["input_ids"] == tokenizer(text)["input_ids"]
    row = generator_rows(EXAMPLES[:1], TASK, tokenizer, "encoder_decoder", 512, mask_calculator=True)[0]
    masked = [token for token, out in zip(row.target, row.ignored, strict=True) if out]
    assert not any("=" in token for token in tokenizer.convert_ids_to_tokens(masked))


MODEL_YAML = """name: tiny
title: tiny
family: {family}
scratch: {{width: 16, layers: 1, heads: 2, feedforward: 32, numbers: whole, vocabulary: 400, positions: 160}}
"""


def test_attention_dropout_holds_while_training_only() -> None:
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2
    )
    model = LlamaForCausalLM(config)
    ids = torch.arange(12)[None]
    torch.manual_seed(0)
    with torch.no_grad():
        plain = model.eval()(ids).logits
        assert torch.equal(model.train()(ids).logits, plain)
        sft.set_attention_dropout(model, 0.5)
        assert not torch.equal(model(ids).logits, plain)
        assert torch.equal(model.eval()(ids).logits, plain)
    assert model.config.attention_dropout == 0.0
    with pytest.raises(UserError, match=r"attention_dropout 0\.1: the attention of t5 has no dropout"):
        sft.set_attention_dropout(tiny_generator(TASK, EXAMPLES)[0], 0.1)


TASK_YAML = """name: arithmetic
title: Arithmetic
family: word_problems
format: generated
splits: {train: {generator: arithmetic, count: 1}}
"""


def read_curve(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "curves.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("family", "precision"),
    first_daily([(family, precision) for precision in ("bfloat16", "float32") for family in FAMILIES]),
)
def test_the_checkpoint_that_is_kept(family: str, precision: str, tmp_path) -> None:
    """Each way of choosing keeps the weights that its own measure says are best, as decoding finds them afterwards."""
    (tmp_path / "tiny.yaml").write_text(MODEL_YAML.format(family=family))
    (tmp_path / "toy.yaml").write_text(tiny_generators.TASK.format(prompt="{question}", answer_prompt="A:"))
    save_model(*tiny_generators.learned(family), tmp_path / "base")
    learned = tiny_generators.examples()
    rows = [row.model_copy(update={"steps": ["<<1+1=2>>"], "final_answer": "7", "answer": "#### 7"}) for row in learned]
    write_jsonl(tmp_path / "train.jsonl", rows)  # teaches wrong answers: accuracy falls from step to step
    write_jsonl(tmp_path / "dev.jsonl", [row.model_copy(update={"steps": ["<<1+1=2>>"]}) for row in learned])
    words = ["--model-file", f"{tmp_path}/tiny.yaml", "--task-file", f"{tmp_path}/toy.yaml", "--seed", "0"]
    words += ["--model", f"{tmp_path}/base", "--train", f"{tmp_path}/train.jsonl", "--dev", f"{tmp_path}/dev.jsonl"]
    words += ["--batch-size", "4", "--device-batch-size", "4", "--evaluations", "5", "--max-steps", "10"]
    words += ["--learning-rate", "5e-3", "--answer-tokens", "24", "--state", f"{tmp_path}/state"]
    words += ["--precision", precision]
    kept, curves = {}, {}
    for keep in ("best", "last", "accuracy"):
        train_sft.main([*words, "--keep", keep, "--output", f"{tmp_path}/{keep}"])
        kept[keep] = load_model(tmp_path / keep, family)[0].get_input_embeddings().weight
        curves[keep] = read_curve(tmp_path / keep)
    assert all("dev_accuracy" not in row for row in [*curves["best"], *curves["last"]])
    measured = [row for row in curves["accuracy"] if "dev_accuracy" in row]
    assert [row["step"] for row in measured] == [2, 4, 6, 8, 10]
    assert all("dev_loss" in row for row in measured)
    accuracies = [row["dev_accuracy"] for row in measured]
    assert max(accuracies) > accuracies[-1]
    generator = open_generator(tmp_path / "accuracy", tmp_path / "tiny.yaml", tmp_path / "toy.yaml")
    again = GreedyAccuracy(generator.prompting, learned, 24, calculator=generator.calculator)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        assert again(generator.decoder.model)["accuracy"] == max(accuracies)
    assert not torch.equal(kept["accuracy"], kept["last"])


@pytest.mark.parametrize("family", first_daily(reversed(FAMILIES)))
def test_scripts_make_a_base_model_and_fine_tune_it(family: str, tmp_path, capsys) -> None:
    (tmp_path / "tiny.yaml").write_text(MODEL_YAML.format(family=family))
    (tmp_path / "arithmetic.yaml").write_text(TASK_YAML)
    for split in ("train", "dev", "corpus", "corpus_dev"):
        write_jsonl(tmp_path / f"{split}.jsonl", problems(40, split))
    common = ["--model-file", f"{tmp_path}/tiny.yaml", "--task-file", f"{tmp_path}/arithmetic.yaml", "--seed", "0"]
    common += ["--max-steps", "4", "--evaluations", "2", "--batch-size", "16", "--device-batch-size", "8"]
    common += ["--state", f"{tmp_path}/state", "--train", f"{tmp_path}/train.jsonl"]
    train_base.main([*common, "--output", f"{tmp_path}/plain"])
    assert (tmp_path / "plain" / "curves.jsonl").read_text() == ""
    corpus = ["--corpus", f"{tmp_path}/corpus.jsonl", "--corpus-dev", f"{tmp_path}/corpus_dev.jsonl", "--noise", "0.1"]
    train_base.main([*common, *corpus, "--mask-calculator", "true", "--output", f"{tmp_path}/base"])
    train_sft.main(
        [*common, "--model", f"{tmp_path}/base", "--dev", f"{tmp_path}/dev.jsonl", "--output", f"{tmp_path}/sft"]
    )
    assert not (tmp_path / "state").exists()
    files = str(tmp_path / "tiny.yaml"), str(tmp_path / "arithmetic.yaml")
    masked = [open_generator(tmp_path / name, *files).masked_results for name in ("plain", "base", "sft")]
    assert masked == [False, True, False], "each checkpoint knows what it was trained on itself"
    weights = [
        load_model(tmp_path / name, family)[0].get_input_embeddings().weight for name in ("plain", "base", "sft")
    ]
    assert not torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[1], weights[2])
    curve = read_curve(tmp_path / "sft")
    assert [row["step"] for row in curve if "dev_loss" in row] == [2, 4]
    assert [row["step"] for row in curve if "loss" in row] == [1, 2, 3, 4]
    cards = [(tmp_path / name / "README.md").read_text() for name in ("plain", "base", "sft")]
    learned = ["nothing: the weights", "40 worked solutions of the corpus", "40 worked solutions |"]
    assert all(f"| trained on | {what}" in card for what, card in zip(learned, cards, strict=True))
    assert ["has not learned to compute" in card for card in cards] == masked
    other = "decoder_only" if family == "encoder_decoder" else "encoder_decoder"
    (tmp_path / "tiny.yaml").write_text(MODEL_YAML.format(family=other))
    with pytest.raises(UserError, match=f"set 'family: {family}'"):
        train_sft.main([*common, "--model", f"{tmp_path}/base", "--dev", f"{tmp_path}/dev.jsonl", "--output", "x"])
