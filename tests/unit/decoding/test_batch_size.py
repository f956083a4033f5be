"""Rows that fit into memory, from the shapes of real architectures; halving where memory runs out."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GPT2Config, LlamaConfig, T5Config

from retrace.decoding.batch_size import cache_bytes_per_token, in_batches, rows_in, rows_that_fit
from retrace.errors import UserError

SHAPES = {
    "gpt2": (GPT2Config(), 2 * 12 * 768),
    # Llama 3 8B: 8 key-value heads of width 128 for 32 query heads.
    "llama": (
        LlamaConfig(
            hidden_size=4096, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=8, vocab_size=128256
        ),
        2 * 32 * 8 * 128,
    ),
    # T5 says the width of a head itself, and how many layers its decoder has.
    "t5": (T5Config(d_model=1024, d_kv=64, num_heads=16, num_layers=24, num_decoder_layers=6), 2 * 6 * 16 * 64),
}


def shape(name: str, dtype: torch.dtype = torch.bfloat16):
    """A network without memory of its own, so that real sizes cost nothing."""
    config = SHAPES[name][0]
    kind = AutoModelForSeq2SeqLM if name == "t5" else AutoModelForCausalLM
    with torch.device("meta"):
        return kind.from_config(config, dtype=dtype)


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize(("dtype", "size"), [(torch.bfloat16, 2), (torch.float32, 4)])
def test_a_token_costs_the_keys_and_values_of_all_layers(name, dtype, size):
    model = shape(name, dtype)
    assert cache_bytes_per_token(model) == SHAPES[name][1] * size


def test_a_processor_keeps_float64_unless_it_computes_in_half_precision():
    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=50))
    assert cache_bytes_per_token(model) == 2 * 2 * 8 * 8
    assert cache_bytes_per_token(model.bfloat16()) == 2 * 2 * 8 * 2


def test_rows_follow_from_the_free_memory():
    model = shape("llama")
    token = cache_bytes_per_token(model)
    assert token == 131072

    def fitting(free: float, tokens: int = 500, wanted: int = 1024) -> int:
        return rows_in(int(free), model, tokens, wanted)

    # At 60 GB: .8 * 60e9 / (2.25 * 500 * 131072 + 40 * 128256) = 314 rows.
    assert fitting(60e9) == 256
    assert fitting(30e9) == 128
    assert fitting(80e9) == 384
    assert fitting(60e9, wanted=64) == 64
    assert fitting(60e9, tokens=4000) == 32
    assert fitting(0) == 1
    # Whatever is left of the memory, the cache with its copy never takes more than is free.
    for free in (1e9, 7e9, 44e9):
        assert fitting(free) * 500 * token * 2 < free


def test_small_runs_on_a_processor_get_what_they_want():
    model = AutoModelForCausalLM.from_config(GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=50))
    assert rows_that_fit(model, 300, 1000, "cpu") == 1000
    assert rows_that_fit(model, 10**9, 1000, "cpu") < 1000


class Narrow(torch.nn.Module):
    """A network whose memory is full above some rows, as a device's is."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.layer, self.most = torch.nn.Linear(1, 1, bias=False), most

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if len(rows) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.layer(rows)


@pytest.mark.parametrize(("most", "rows"), [(100, 12), (5, 12), (1, 64)])
def test_a_batch_that_does_not_fit_is_done_again_in_halves(most, rows, capsys):
    network, items = Narrow(most), list(range(20))
    sizes = []

    def work(part, _rows):
        out = network(torch.tensor(part, dtype=torch.float32)[:, None])
        sizes.append(len(part))
        return out

    found = list(in_batches(items, rows, 1, work))
    assert [item for part, _ in found for item in part] == items
    assert sum(len(out) for _, out in found) == 20
    assert max(sizes) <= min(most, rows)
    assert ("out of memory" in capsys.readouterr().err) == (most < rows)


def test_an_item_of_many_rows_is_given_fewer_rows():
    given = []

    def work(part, rows):
        given.append((len(part), rows))
        if rows > 3:
            raise torch.OutOfMemoryError("full")
        return

    assert len(list(in_batches(["a", "b"], 64, 10, work))) == 2
    # Six items fit, two are there: 20 rows, then 10, 5 and 2 of them at a time.
    assert given == [(2, 64), (1, 10), (1, 5), (1, 2), (1, 2)]


def test_one_row_too_many_is_the_users_to_mend():
    with pytest.raises(UserError, match=r"not enough memory to decode 1 sequence\(s\) at once"):
        list(in_batches([1, 2], 4, 1, lambda part, rows: Narrow(0)(torch.zeros(len(part), 1))))
