"""Networks that are refused by their configuration, and what the documentation says of those that work."""

import copy
import json
import re
from itertools import takewhile
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.models.architectures import DECODER_ONLY, ENCODER_DECODER, check_generator, unfit
from retrace.models.load import load_model
from unit.model_zoo import build, save

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("config", "family", "said"),
    [
        *[
            (
                {"model_type": kind, "is_encoder_decoder": True},
                "encoder_decoder",
                f"an encoder-decoder of type '{kind}'; .* T5",
            )
            for kind in ("bart", "mbart", "pegasus", "marian", "prophetnet", "longt5", "switch_transformers", "led")
        ],
        (
            {"model_type": "bart", "is_encoder_decoder": True},
            "decoder_only",
            "of family encoder_decoder .bart., but the model's YAML says 'family: decoder_only'",
        ),
        (
            {"model_type": "llama"},
            "encoder_decoder",
            "of family decoder_only .llama., but .* 'family: encoder_decoder'",
        ),
        (
            {"model_type": "t5", "is_encoder_decoder": True},
            "decoder_only",
            "of family encoder_decoder .t5., but the mo",
        ),
        ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, "decoder_only", "an encoder .bert."),
        (
            {"model_type": "bert", "architectures": ["BertLMHeadModel"]},
            "decoder_only",
            "not a supported architecture",
        ),
        (
            {"model_type": "mamba"},
            "decoder_only",
            "of type 'mamba', which is not a supported architecture; .* gpt2",
        ),
        ({"model_type": "rwkv"}, "decoder_only", "not a supported architecture"),
        (
            {"model_type": "qwen2", "architectures": ["Qwen2ForSequenceClassification"]},
            "decoder_only",
            "classifies texts .Qwen2ForSequenceClassification.",
        ),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}},
            "decoder_only",
            "weights are quantized .gptq.*original model without quantization",
        ),
        (
            {"model_type": "t5", "is_encoder_decoder": True, "quantization_config": {}, "torch_dtype": "x"},
            "encoder_decoder",
            None,
        ),
        (
            {"model_type": "gemma3", "text_config": {}, "vision_config": {}},
            "decoder_only",
            "more than text.*gemma-3-1b",
        ),
        ({"model_type": "qwen2_vl", "image_token_id": 7}, "decoder_only", "type 'qwen2_vl' that reads more than text"),
        (
            {"model_type": "phi3small", "auto_map": {"AutoModelForCausalLM": "x.Y"}},
            "decoder_only",
            "its own code .auto_map., which is never run",
        ),
        ({"model_type": "phi3", "auto_map": {"AutoModelForCausalLM": "x.Y"}}, "decoder_only", None),
        ({}, "decoder_only", "of type None, which is not a supported architecture"),
    ],
)
def test_what_does_not_work_is_refused_by_its_configuration(
    config: dict, family: str, said: str | None, tmp_path
) -> None:
    reason = unfit(config, family)
    assert (reason is None) if said is None else re.search(said, reason)
    (tmp_path / "config.json").write_text(json.dumps(config))
    named = check_generator(tmp_path, family)
    assert bool(named) == bool(said and config)
    if named:
        assert named.startswith(f"{tmp_path}/config.json: ")


def test_no_code_of_a_model_is_run(tmp_path) -> None:
    """A folder that brings Python code is read without it, or refused."""
    folder = save("llama", tmp_path / "m", auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').write('x')\n")
    assert type(load_model(folder, "decoder_only")[0]).__name__ == "LlamaForCausalLM"
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"model_type": "evil"}))
    with pytest.raises(UserError, match=r"config\.json: unreadable model configuration"):
        load_model(folder, "decoder_only")
    assert not (tmp_path / "run").exists()


def test_far_more_embeddings_than_tokens_are_refused(tmp_path) -> None:
    import transformers

    model, tokenizer = build("gpt2")
    config = copy.deepcopy(model.config)
    config.vocab_size = len(tokenizer) + 5000
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="do not belong together"):
        load_model(tmp_path, "decoder_only")


def test_the_documentation_says_what_works() -> None:
    """The table of docs/own_model.md, from the architectures and the families that checkpoints take."""
    import yaml

    lines = (ROOT / "docs" / "own_model.md").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("| family |"))
    table = takewhile(lambda line: line.startswith("|"), lines[start:])
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    takes = {
        column: yaml.safe_load((ROOT / f"config/checkpoints/{checkpoint}.yaml").read_text()).get("family")
        for column, checkpoint in (("DPO-ST", "dpo_st"), ("LaTRO", "latro"), ("Learn-to-Reason", "learn_to_reason"))
    }
    takes["implicit CoT"] = yaml.safe_load((ROOT / "config/checkpoints/icot.yaml").read_text())["family"]
    found = {}
    for row in rows:
        cells = dict(zip(heads, row, strict=True))
        title, kind = cells.pop("family"), cells.pop("`model_type`").strip("`")
        found[kind] = title
        family = "encoder_decoder" if kind in ENCODER_DECODER else "decoder_only"
        for column, cell in cells.items():
            assert cell == ("yes" if takes.get(column) in (None, family) else "refused"), (title, column)
    assert found == DECODER_ONLY | ENCODER_DECODER
    assert heads[2:] == ["decoding", "SFT", "LoRA", "backbone", "GRACE", *takes]
