"""A model in one GGUF file, converted to an ordinary model folder with float32 weights.

GGUF files mostly hold quantized weights. Each weight keeps the value that the file gives it, so the result is a plain
model, but not the one that was quantized.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from retrace.errors import UserError
from retrace.machine.storage import refusal

# How a byte-level vocabulary was split before its merges were learned (`tokenizer.ggml.pre`, llama.cpp's names): for these
# each digit stands alone, which transformers' reader of GGUF files does not know.
SINGLE_DIGITS = {"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"}
# GPT-2's own way, which that reader takes for all names that it does not know.
LIKE_GPT2 = {"gpt-2", "gpt2", "mpt", "olmo", "jais", "trillion", "granite-docling"}
# Texts whose tokens show a wrong split: runs of spaces, line ends, digits, signs, other scripts, control tokens.
PROBES = (
    "Tom has 3 apples and buys 12 more. How many apples does he have?",
    "12 + 1,200 = <<12+1200=1212>>1212 | so  7\n\n8 \n 9.50%\t#### 21",
    "don't  we'll\r\n\r\n x=½ 25²   ",
    "naïve Ünïcödé 数字 ١٢٣ 👍🏽",
    "<|im_start|>user\nHi<|im_end|>\n</s>",
)
_FAULTS = (
    ValueError,
    OSError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,
    OverflowError,
    ImportError,
)


class GgufModel(NamedTuple):
    """What a GGUF file says of its model."""

    quantization: str  # types of its weights with their shares, the largest first
    license: str | None


def convert(gguf: Path, family: str, target: Path, check: Callable[[Path], None], where: str) -> GgufModel:
    """Write the model in a GGUF file into the new folder `target`: configuration, tokenizer, chat template, weights.

    Args:
        gguf: The file.
        family: The model's family, decoder_only or encoder_decoder.
        target: The folder; it must not exist yet.
        check: Raises UserError for a folder whose configuration does not fit the model's YAML.
        where: Name of the file in messages.

    Raises:
        UserError: The file is damaged or of an unknown architecture, its tokenizer is of a kind that cannot be read
            faithfully, or what was written does not read back the same.
    """
    with open(gguf, "rb") as handle:
        if handle.read(4) != b"GGUF":
            raise UserError(f"{where}: not a GGUF file; correct `file` in the model's YAML")
    if find_spec("gguf") is None:
        raise UserError(f"{where}: the package gguf, which reads it, is missing; pip install -r envs/requirements.txt")
    try:
        return _convert(gguf, family, target, check, where)
    except _FAULTS as error:
        if refusal(error):  # a full disk and the like: the file is not to blame
            raise
        fault = (str(error).strip() or type(error).__name__).split("\n")[0][:200]
        raise UserError(
            f"{where}: cannot be read as a model ({fault}); choose a file of an architecture that works (docs/own_model.md)"
        ) from None


def _convert(gguf: Path, family: str, target: Path, check: Callable[[Path], None], where: str) -> GgufModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GgufConfig
    from transformers.utils import logging

    fields, about = _read(gguf)
    logging.disable_progress_bar()
    place: dict[str, Any] = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    config = AutoConfig.from_pretrained(**place)
    target.mkdir()
    config.save_pretrained(target)
    check(target)
    tokenizer = _tokenizer(place, fields, where)
    tokenizer.model_max_length = getattr(config, "max_position_embeddings", None) or tokenizer.model_max_length
    tokenizer.save_pretrained(target)
    automatic = AutoModelForSeq2SeqLM if family == "encoder_decoder" else AutoModelForCausalLM
    model, loading = automatic.from_pretrained(
        **place,
        dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True),
        trust_remote_code=False,
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise UserError(
            f"{where}: weight {missing[0]} is missing ({len(missing)} in all); choose a file with all weights"
        )
    model.save_pretrained(target)
    _check_written(target, family, model, tokenizer, fields, where)
    return about


def _read(gguf: Path) -> tuple[dict[str, Any], GgufModel]:
    """Single values of the file's metadata, and what is recorded of the model."""
    from collections import Counter

    from gguf import GGUFReader, GGUFValueType

    reader = GGUFReader(gguf)
    fields = {
        name: field.contents() for name, field in reader.fields.items() if field.types[:1] != [GGUFValueType.ARRAY]
    }
    weights: Counter[str] = Counter()
    for tensor in reader.tensors:
        weights[tensor.tensor_type.name] += int(tensor.n_elements)
    total = sum(weights.values())
    shares = [(name, count / total) for name, count in weights.most_common() if count / total >= 0.005]
    quantization = ", ".join(f"{name} ({share:.0%})" if len(shares) > 1 else name for name, share in shares)
    said = fields.get("general.license")
    return fields, GgufModel(quantization, said if isinstance(said, str) else None)


def _tokenizer(place: dict[str, Any], fields: dict[str, Any], where: str) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    tokenizer = AutoTokenizer.from_pretrained(**place, trust_remote_code=False)
    tokenizer.clean_up_tokenization_spaces = False
    tokenizer.init_kwargs.pop("local_files_only", None)  # no property of a tokenizer
    split = fields.get("tokenizer.ggml.pre")
    if fields.get("tokenizer.ggml.model") == "gpt2":
        if split in SINGLE_DIGITS:
            tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            )
        elif split not in LIKE_GPT2 and split not in GGUF_PRE_TOKENIZER_SPLITS:
            known = sorted(SINGLE_DIGITS | LIKE_GPT2 | set(GGUF_PRE_TOKENIZER_SPLITS))
            raise UserError(
                f"{where}: its tokenizer splits text in the way {split!r} (tokenizer.ggml.pre), which is not known here, so "
                f"that its tokens could be wrong; choose another file: {', '.join(known)}"
            )
    return tokenizer


def _check_written(target: Path, family: str, model: Any, tokenizer: Any, fields: dict[str, Any], where: str) -> None:
    """Raise UserError if the folder does not read back as the same model and tokenizer."""
    import torch

    from retrace.models.load import load_model, load_tokenizer

    written = load_tokenizer(target)
    for text in PROBES:
        ids = tokenizer(text)["input_ids"]
        if written(text)["input_ids"] != ids:
            raise UserError(f"{where}: its tokenizer reads {text!r} otherwise once it is saved; choose another file")
    for token in ("bos", "eos", "padding", "unknown"):
        own = {"padding": "pad", "unknown": "unk"}.get(token, token) + "_token_id"
        said, found = fields.get(f"tokenizer.ggml.{token}_token_id"), getattr(written, own)
        if said is not None and said != found:
            raise UserError(
                f"{where}: its {token} token is {said}, the tokenizer that was made from it has {found}; choose another file"
            )
    again, _ = load_model(target, family)
    weights = again.state_dict()
    for name, weight in model.state_dict().items():
        if not torch.equal(weight, weights[name]):
            raise UserError(f"{where}: weight {name} is another one once it is saved; choose another file")
