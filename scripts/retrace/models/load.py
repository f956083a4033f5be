"""Loading a generator from a folder, with the checks that turn a wrong folder into a clear message."""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer, PretrainedConfig
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase
from transformers.utils import logging

from retrace.errors import UserError
from retrace.machine.storage import BY_COMMAND, write_json
from retrace.models.architectures import WRAPPED, described, kind_of, own_config, unfit, wrapped_in
from retrace.models.hub_files import damage, names_in, needed_files
from retrace.text.token_text import SPARE


def dtype_of(name: str) -> torch.dtype:
    """The torch type of a configuration's dtype name."""
    try:
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
    except KeyError:
        raise UserError(f"dtype {name!r}: use float32, bfloat16 or float16") from None


def load_config(path: str | Path) -> Any:
    """The Hugging Face configuration in a folder; of a network that holds a model (a discriminator), that model's.

    Raises UserError if it is missing or unreadable.
    """
    path = Path(path)
    file = path / "config.json"
    if not path.is_dir():
        raise UserError(f"{path}: no such model folder; build it with its rule or scripts/fetch_model.py")
    if not file.exists():
        raise UserError(f"{file}: missing, so this is no model folder in the Hugging Face layout; rebuild the folder")
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        if kind_of(found):
            inner = dict(wrapped_in(found))
            if "model_type" not in inner:
                raise ValueError(f"no `{WRAPPED}` with a `model_type`")
            return AutoConfig.for_model(inner.pop("model_type"), **inner)
        return AutoConfig.from_pretrained(path, trust_remote_code=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        fault = str(error).strip().split("\n")[0][:200]
        raise UserError(f"{file}: unreadable model configuration ({fault}); delete the folder, rebuild it") from None


def write_own_config(folder: Path, kind: str, network: str, wrapped: PretrainedConfig) -> None:
    """Write the config.json of a network of class `network` that holds a model of the library, configured by `wrapped`."""
    write_json(folder / "config.json", own_config(kind, network, json.loads(wrapped.to_json_string())))


def check_family(path: str | Path, family: str) -> None:
    """Raise UserError if the checkpoint in `path` is not of `family` (encoder_decoder or decoder_only)."""
    scores = (Path(path) / "retrace.json").exists()  # a discriminator or a verifier of ours
    config = load_config(path)
    own = described(path)
    if reason := unfit(own if own and kind_of(own) else config.to_dict(), family, scores):
        raise UserError(f"{Path(path) / 'config.json'}: {reason}")


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder. Raises UserError if there is none."""
    # Of a network with a type of its own the library would warn that it does not know the type.
    inner = {"config": load_config(path)} if kind_of(described(path) or {}) else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False, **inner)
    except (ValueError, OSError, KeyError, TypeError, ImportError) as error:
        _check_files(path)
        fault = str(error).strip().split("\n")[0][:200]
        raise UserError(f"{path}: no tokenizer that can be read ({fault}); rebuild or fetch the folder again") from None
    tokenizer.clean_up_tokenization_spaces = False  # the spaces belong to the solution's text
    # Whether the network was allowed is no property of a tokenizer; it would be saved with it.
    tokenizer.init_kwargs.pop("local_files_only", None)
    return tokenizer


def _check_files(path: str | Path) -> None:
    """Raise UserError for a file that a copy left out, or put something else in its place."""
    if fault := damage(Path(path), needed_files(names_in(Path(path)))):
        raise UserError(fault)


def ensure_pad(tokenizer: PreTrainedTokenizerBase) -> None:
    """Give a tokenizer without a padding token one that it already has, so that no embedding row is added.

    The unknown token is taken where there is one (LLaMA never produces it), the end token otherwise. Code of this
    project masks by lengths and never by comparing with the pad id, so sharing an id is safe.
    """
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    if tokenizer.pad_token_id is None:
        raise UserError("the tokenizer has no pad, unknown or end token; add one to its tokenizer_config.json")


def check_end(tokenizer: PreTrainedTokenizerBase, path: str | Path) -> None:
    """Raise UserError for a generator's tokenizer without an end token: no solution would ever end."""
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{Path(path) / 'tokenizer_config.json'}: names no `eos_token`, so that no solution would end; name the token "
            "that ends the model's texts"
        )


def load_model(
    path: str | Path, family: str, dtype: str = "float32", device: str | torch.device = "cpu"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """A generator in evaluation mode and its tokenizer, from a folder in the Hugging Face layout.

    The folder is a checkpoint of ours or a pinned snapshot that `scripts/fetch_model.py` made; the network is never
    used. Decoder-only tokenizers pad on the left, as batched decoding needs it. On a GPU the weights are read straight into
    its memory: several processes of a training then hold no copies of the model in the machine's.
    Raises UserError for a missing or broken folder and for a model of the other family.
    """
    check_family(path, family)
    tokenizer = load_tokenizer(path)
    check_end(tokenizer, path)
    ensure_pad(tokenizer)
    tokenizer.padding_side = "left" if family == "decoder_only" else "right"
    automatic = AutoModelForSeq2SeqLM if family == "encoder_decoder" else AutoModelForCausalLM
    logging.disable_progress_bar()  # loading takes no time worth showing, and a job's log shall stay readable
    try:
        model, loading = automatic.from_pretrained(
            path,
            dtype=dtype_of(dtype),
            use_safetensors=_has_safetensors(path),
            trust_remote_code=False,
            output_loading_info=True,
            **_straight_to(device),
        )
    except (ValueError, OSError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        _check_files(path)
        fault = str(error).strip().split("\n")[0][:200]
        raise UserError(
            f"{path}: the weights cannot be read ({fault}); delete the folder and rebuild it ({BY_COMMAND})"
        ) from None
    if missing := sorted(loading["missing_keys"]):
        # The library would go on with random numbers in their place.
        raise UserError(
            f"{path}: weight {missing[0]} is missing ({len(missing)} in all), so this is no generator of family {family} "
            "(an encoder, a discriminator or a verifier?); point to the generator's folder, or rebuild this one"
        )
    vars(model).pop("hf_device_map", None)  # it lies on one device, as any model does
    rows = model.get_input_embeddings().num_embeddings
    if not len(tokenizer) <= rows <= len(tokenizer) + SPARE:
        raise UserError(
            f"{path}: the tokenizer has {len(tokenizer)} tokens but the model {rows} embeddings; "
            "they do not belong together"
        )
    keep_own_head(model)
    return model.to(device).eval(), tokenizer


def keep_own_head(model: PreTrainedModel) -> None:
    """Mark an output head with separate weights as not tied to the embeddings.

    The library believes of every T5 that they are tied, and so ties those that are not (T5 1.1, FLAN-T5) whenever
    `tie_weights` is called, as it is when the embeddings are resized: the trained head would be lost.
    """
    head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
    if head is not None and head.weight is not embeddings.weight:
        model.config.tie_word_embeddings = False


def resize_embeddings(model: PreTrainedModel, tokens: int) -> None:
    """Resize a model's embeddings, and its output head if it has separate weights."""
    keep_own_head(model)
    model.resize_token_embeddings(tokens)


def _straight_to(device: str | torch.device) -> dict[str, Any]:
    """Options of `from_pretrained` that read the weights into a device's own memory; none for a processor."""
    return {} if torch.device(device).type == "cpu" else {"device_map": {"": torch.device(device)}}


def _has_safetensors(path: str | Path) -> bool:
    return any(Path(path).glob("*.safetensors"))


def is_known(tokenizer: PreTrainedTokenizerBase, text: str) -> bool:
    """Whether `text` is encoded without an unknown token."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return bool(ids) and tokenizer.unk_token_id not in ids


def check_delimiter(tokenizer: PreTrainedTokenizerBase, task: Any, path: str | Path = "the tokenizer") -> None:
    """Raise UserError if the task's step delimiter is not one token of its own: no step would ever end."""
    delimiter = task.delimiter
    ids = tokenizer(f"a {delimiter} b", add_special_tokens=False)["input_ids"]
    alone = any(tokenizer.decode([token]).strip(" ") == delimiter for token in ids)
    # A tokenizer of few words knows the delimiter, but no letters.
    if not alone or not (is_known(tokenizer, f"a {delimiter}") or is_known(tokenizer, delimiter)):
        raise UserError(
            f"{path}: the step delimiter {delimiter!r} of task {task.name} is no token of this tokenizer; "
            f"choose another 'delimiter' in config/tasks/{task.name}.yaml, or fine-tune the model "
            "(train_sft.py adds the token)"
        )


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, task: Any, path: str | Path = "the tokenizer") -> None:
    """Raise UserError if a generator cannot be trained to write the task's worked solutions with this tokenizer.

    Needed: the step delimiter as one token of its own; the answer marker, and the calculator's brackets where the
    task has a calculator, without an unknown token. (To decode, `check_delimiter` is enough: GRACE's released
    generators have learned to write the unknown token for '<<'; see retrace.text.token_text.)
    """
    check_delimiter(tokenizer, task, path)
    for text in [task.answer_marker, *(task.calculator_signs if task.config.calculator else ())]:
        if not is_known(tokenizer, text):
            raise UserError(
                f"{path}: {text!r} is unknown to this tokenizer, and the solutions of task {task.name} need it; "
                "fine-tune the model (train_sft.py adds the token) or set 'calculator: false' in the task's YAML"
            )
