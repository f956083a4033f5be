"""Folders of networks that hold a model of the library: Retrace loads them, the library refuses them."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from retrace.errors import UserError
from retrace.models.discriminator import StepDiscriminator, load_discriminator
from retrace.models.encoder_head import encoder_from_pretrained, scratch_encoder
from retrace.models.hub import check_generator
from retrace.models.load import check_family, load_config, load_model
from retrace.models.scratch import build_tokenizer
from retrace.models.verifier import Verifier, load_verifier
from retrace.systems.icot.files import load_emulator, load_student, write_parts
from retrace.systems.icot.networks import Emulator, Student

TOKENIZER = build_tokenizer(["he has 3 and 4 | #### 7"], "|", 300)
LOADERS: dict[str, Callable] = {
    "discriminator": load_discriminator,
    "verifier": load_verifier,
    "student": load_student,
    "emulator": load_emulator,
}
AUTOMATIC = [name for name in dir(transformers) if name == "AutoModel" or name.startswith("AutoModelFor")]


def encoder():
    return scratch_encoder(TOKENIZER, 8, 1, 2, 8, 0.0, 0)


def decoder() -> GPT2LMHeadModel:
    sizes = {"n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
    return GPT2LMHeadModel(GPT2Config(vocab_size=len(TOKENIZER), **sizes))


def made(kind: str, folder: Path) -> Path:
    """A network of this kind, saved; the folder of its weights."""
    if kind in ("discriminator", "verifier"):
        cls, outputs = (StepDiscriminator, 1) if kind == "discriminator" else (Verifier, 2)
        cls(encoder(), TOKENIZER, outputs=outputs).save(folder, kind)
        return folder
    folder.mkdir()
    parts = {"student": Student(decoder()), "emulator": Emulator(decoder(), 1, 0.05)}
    write_parts(folder, TOKENIZER, **{kind: parts[kind]})
    return folder / kind


@pytest.mark.parametrize("kind", LOADERS)
def test_no_class_of_the_library_loads_it_with_random_weights(tmp_path, kind) -> None:
    folder = made(kind, tmp_path / "model")
    assert {"AutoModel", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"} < set(AUTOMATIC)
    for name in AUTOMATIC:
        with pytest.raises(ValueError, match=rf"model type `retrace_(icot_)?{kind}`"):
            getattr(transformers, name).from_pretrained(folder)
    for name in AUTOMATIC if folder.parent != tmp_path else ():  # the folder above its parts
        with pytest.raises((ValueError, OSError)):
            getattr(transformers, name).from_pretrained(folder.parent)


@pytest.mark.parametrize("kind", LOADERS)
def test_retrace_loads_it_and_folders_of_older_versions(tmp_path, kind) -> None:
    folder = made(kind, tmp_path / "model")
    network = LOADERS[kind](tmp_path / "model")
    older = load_config(folder)
    assert older.model_type in ("t5", "gpt2")
    (folder / "config.json").unlink()
    older.save_pretrained(folder)  # the inner model's configuration alone, as it was written before
    again = LOADERS[kind](tmp_path / "model")
    assert again.weights().keys() == network.weights().keys()
    assert all(torch.equal(one, again.weights()[name]) for name, one in network.weights().items())
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == len(TOKENIZER)


@pytest.mark.parametrize("kind", ["discriminator", "verifier"])
def test_loading_it_warns_of_nothing(tmp_path, kind) -> None:
    folder = made(kind, tmp_path / "model")
    heard: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("transformers").addHandler(handler)
    try:
        LOADERS[kind](folder)
        assert heard == []
        AutoTokenizer.from_pretrained(folder)
        assert "retrace_" in heard[0]  # the library's own words, which are heard here
    finally:
        logging.getLogger("transformers").removeHandler(handler)


@pytest.mark.parametrize("kind", LOADERS)
@pytest.mark.parametrize("family", ["encoder_decoder", "decoder_only"])
def test_it_is_no_generator(tmp_path, kind, family) -> None:
    folder = made(kind, tmp_path / "model")
    said = "an encoder (t5)" if kind in ("discriminator", "verifier") else f"a part (icot_{kind}) around a gpt2"
    for check in (check_family, load_model):
        with pytest.raises(UserError) as refused:
            check(folder, family)
        assert str(refused.value).startswith(f"{folder}/config.json: ")
        assert said in str(refused.value)
    assert said in str(check_generator(folder, family))


@pytest.mark.parametrize("inner", [None, [], {}, {"vocab_size": 3}, {"model_type": "no_such_type"}])
def test_a_configuration_without_the_inner_model_is_said(tmp_path, inner) -> None:
    folder = made("discriminator", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text()) | {"wrapped_config": inner}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"config\.json: unreadable model configuration"):
        load_discriminator(folder)


@pytest.mark.parametrize("older", [False, True])
def test_a_judge_is_no_backbone(tmp_path, older) -> None:
    folder = made("discriminator", tmp_path / "model")
    if older:
        config = load_config(folder)
        (folder / "config.json").unlink()
        config.save_pretrained(folder)
    said = r"model: no t5 by itself \(weight .* is missing\)" if older else "model: a discriminator; a backbone is"
    with pytest.raises(UserError, match=said):
        encoder_from_pretrained(folder)


def test_a_pretrained_encoder_is_a_backbone_with_its_own_weights(tmp_path) -> None:
    network = encoder()
    network.save_pretrained(tmp_path / "encoder")
    found = encoder_from_pretrained(tmp_path / "encoder").state_dict()
    assert all(torch.equal(one, found[name]) for name, one in network.state_dict().items())


def test_a_generator_still_loads_everywhere(tmp_path) -> None:
    model = decoder()
    model.save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    ours, _ = load_model(tmp_path / "model", "decoder_only")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    ids = torch.tensor([[5, 6, 7]])
    with torch.inference_mode():
        assert torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-6)
