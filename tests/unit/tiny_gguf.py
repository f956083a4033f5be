"""A tiny LLaMA as a GGUF file, written as llama.cpp's converter writes one, and wheels around it."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tokenizers.pre_tokenizers import ByteLevel

WIDTH, LAYERS, HEADS, GROUPS, FORWARD = 64, 2, 4, 2, 96
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["Ġ Ġ", "Ċ Ċ", "a p"]
TOKENS = [*CONTROL, *sorted(ByteLevel.alphabet()), *(merge.replace(" ", "") for merge in MERGES)]
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
GGUF_FILE = "tiny_package/tiny.gguf"


def tensors(seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by their GGUF names, in the order of a Hugging Face model's rows and columns."""
    draw = np.random.default_rng(seed)

    def weight(*shape: int) -> np.ndarray:
        return draw.normal(0, 0.1, shape).astype(np.float32)

    found = {"token_embd.weight": weight(len(TOKENS), WIDTH), "output_norm.weight": 1 + weight(WIDTH)}
    key = WIDTH * GROUPS // HEADS
    for layer in range(LAYERS):
        shapes = {
            "attn_q": (WIDTH, WIDTH),
            "attn_k": (key, WIDTH),
            "attn_v": (key, WIDTH),
            "attn_output": (WIDTH, WIDTH),
        }
        shapes |= {"ffn_gate": (FORWARD, WIDTH), "ffn_up": (FORWARD, WIDTH), "ffn_down": (WIDTH, FORWARD)}
        found |= {f"blk.{layer}.{name}.weight": weight(*shape) for name, shape in shapes.items()}
        found |= {f"blk.{layer}.{name}.weight": 1 + weight(WIDTH) for name in ("attn_norm", "ffn_norm")}
    return found


def rotated(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows in llama.cpp's order: the two halves of each head's rotary pairs stand beside each other there."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def write_gguf(
    path: Path, *, split: str = "smollm", architecture: str = "llama", without: str = "", eos: int = 2
) -> Path:
    """The model with matrices in Q4_1. split: how the tokenizer splits text. without: a tensor that is left out."""
    from gguf import GGMLQuantizationType, GGUFWriter, quants

    writer = GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(LAYERS)
    writer.add_context_length(512)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(TOKENS))
    writer.add_file_type(3)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(TOKENS)
    writer.add_token_types([3] * len(CONTROL) + [1] * (len(TOKENS) - len(CONTROL)))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(eos)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, weight in tensors().items():
        if name == without:
            continue
        kind = name.split(".")[-2]
        if kind in ("attn_q", "attn_k"):
            weight = rotated(weight, HEADS if kind == "attn_q" else GROUPS)
        if weight.ndim == 1:
            writer.add_tensor(name, weight)
        else:
            packed = quants.quantize(weight, GGMLQuantizationType.Q4_1)
            writer.add_tensor(name, packed, raw_dtype=GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_wheel(
    folder: Path, files: Mapping[str, bytes], version: str = "1.0", record: Mapping[str, bytes] | None = None
) -> tuple[Path, str]:
    """A wheel of the package `tiny-package` with these files, and its SHA-256. record: files that RECORD lies about."""
    about = f"tiny_package-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: tiny-package\nVersion: {version}\n".encode()
    tags = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    whole = {**files, f"{about}/METADATA": metadata, f"{about}/WHEEL": tags}
    told = {**whole, **(record or {})}
    lines = [f"{name},sha256={_checksum(content)},{len(content)}" for name, content in told.items()]
    whole[f"{about}/RECORD"] = "\n".join([*lines, f"{about}/RECORD,,"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"tiny_package-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in whole.items():
            entry = zipfile.ZipInfo(name, (2025, 1, 1, 0, 0, 0))  # equal files, equal wheels
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def _checksum(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
