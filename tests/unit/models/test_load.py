"""Loading generators, and the messages for wrong folders."""

import json

import pytest
import torch

from retrace.errors import UserError
from retrace.models.load import check_tokenizer, ensure_pad, load_model, load_tokenizer
from retrace.training.sft import extend_tokenizer
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_folder, tiny_generator

FAMILIES = ["encoder_decoder", "decoder_only"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    examples = problems(20)
    return {family: tiny_folder(home / family, arithmetic_task(), examples, family) for family in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES)
def test_loads_both_families(folders, family: str) -> None:
    model, tokenizer = load_model(folders[family], family)
    assert not model.training
    assert tokenizer.padding_side == ("left" if family == "decoder_only" else "right")
    check_tokenizer(tokenizer, arithmetic_task())


@pytest.mark.parametrize("family", FAMILIES)
def test_wrong_family_names_file_and_mend(folders, family: str) -> None:
    other = next(name for name in FAMILIES if name != family)
    with pytest.raises(UserError, match=f"config.json: a model of family {other} .* set 'family: {other}'"):
        load_model(folders[other], family)


def test_missing_and_broken_folders(folders, tmp_path) -> None:
    with pytest.raises(UserError, match="no such model folder"):
        load_model(tmp_path / "none", "encoder_decoder")
    with pytest.raises(UserError, match=r"config\.json: missing"):
        load_model(tmp_path, "encoder_decoder")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="unreadable model configuration"):
        load_model(tmp_path, "encoder_decoder")


def test_truncated_weights(folders, tmp_path) -> None:
    for file in folders["encoder_decoder"].iterdir():
        content = file.read_bytes()
        (tmp_path / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".safetensors" else content)
    with pytest.raises(UserError, match="weights cannot be read"):
        load_model(tmp_path, "encoder_decoder")


def test_foreign_tokenizer_is_found(folders, tmp_path) -> None:
    for file in folders["encoder_decoder"].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    tokenizer = load_tokenizer(tmp_path)
    tokenizer.add_tokens([f"@@{i}" for i in range(500)])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="do not belong together"):
        load_model(tmp_path, "encoder_decoder")


@pytest.fixture
def untied(tmp_path):
    """The folder of a T5 whose head has weights of its own, as FLAN-T5's, in the form in which it is published."""
    model, tokenizer = tiny_generator(arithmetic_task(), problems(20))
    torch.manual_seed(7)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.shared.weight))
    save_model(model, tokenizer, tmp_path / "flan")
    file = tmp_path / "flan" / "config.json"
    config = json.loads(file.read_text()) | {"tie_word_embeddings": False}
    del config["scale_decoder_outputs"]  # younger than the published files
    file.write_text(json.dumps(config))
    return tmp_path / "flan"


def logits(model, tokenizer) -> torch.Tensor:
    ids = tokenizer(problems(1)[0].question, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 9, 8]])).logits


def test_a_head_of_its_own_outlives_loading_growing_and_saving(untied, tmp_path) -> None:
    model, tokenizer = load_model(untied, "encoder_decoder")
    before, head = logits(model, tokenizer), model.lm_head.weight.detach().clone()
    rows = len(head)
    model.tie_weights()  # trainers and wrappers call it
    assert torch.equal(logits(model, tokenizer), before)
    assert extend_tokenizer(model, tokenizer, arithmetic_task(delimiter="@@")) == ["@@"]
    assert model.lm_head.weight.shape[0] == model.shared.num_embeddings == rows + 1
    assert torch.equal(model.lm_head.weight[:rows], head)
    assert torch.equal(logits(model, tokenizer)[..., :rows], before)
    save_model(model, tokenizer, tmp_path / "again")
    again, words = load_model(tmp_path / "again", "encoder_decoder")
    assert torch.equal(logits(again, words), logits(model, tokenizer))


def test_a_tied_head_stays_tied(folders) -> None:
    for family in FAMILIES:
        model, tokenizer = load_model(folders[family], family)
        assert model.config.tie_word_embeddings
        extend_tokenizer(model, tokenizer, arithmetic_task(delimiter="@@"))
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_delimiter_must_be_a_token(folders) -> None:
    tokenizer = load_tokenizer(folders["encoder_decoder"])
    check_tokenizer(tokenizer, arithmetic_task(delimiter="|"))
    with pytest.raises(UserError, match="step delimiter '@@' of task arithmetic is no token"):
        check_tokenizer(tokenizer, arithmetic_task(delimiter="@@"))
    with pytest.raises(UserError, match="step delimiter '雨'"):
        check_tokenizer(tokenizer, arithmetic_task(delimiter="雨"))


def test_missing_pad_token_is_taken_from_the_vocabulary(folders) -> None:
    tokenizer = load_tokenizer(folders["decoder_only"])
    size = len(tokenizer)
    tokenizer.pad_token = None
    assert tokenizer.pad_token_id is None
    ensure_pad(tokenizer)
    assert tokenizer.pad_token_id == tokenizer.unk_token_id
    assert len(tokenizer) == size


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_tokenizer_published_as_a_sentencepiece_model_only_is_read(tmp_path, kind: str) -> None:
    """Older checkpoints bring no tokenizer.json; transformers converts theirs with sentencepiece and protobuf."""
    import sentencepiece

    texts = [f"{problem.question} {problem.answer}" for problem in problems(200)]
    special = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1} if kind == "t5" else {"model_type": "bpe"}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(tmp_path / "made"),
        vocab_size=160,
        hard_vocab_limit=False,
        minloglevel=2,
        **special,
    )
    (tmp_path / "made.model").rename(tmp_path / ("spiece.model" if kind == "t5" else "tokenizer.model"))
    name = {"t5": "T5Tokenizer", "llama": "LlamaTokenizer"}[kind]
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
    tokenizer = load_tokenizer(tmp_path)
    words = problems(1)[0].question
    assert tokenizer.decode(tokenizer(words)["input_ids"], skip_special_tokens=True).strip() == words


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_read_straight_onto_the_device_that_is_named(folders, family: str) -> None:
    """A device without any memory shows it: nothing is read on the way there, and nothing says how it was done."""
    model, _ = load_model(folders[family], family, device="meta")
    assert all(weight.is_meta for weight in model.parameters())
    assert not hasattr(model, "hf_device_map")
    here, _ = load_model(folders[family], family, device="cpu")
    plain = type(here).from_pretrained(folders[family])
    assert all(torch.equal(one, other) for one, other in zip(here.parameters(), plain.parameters(), strict=True))
