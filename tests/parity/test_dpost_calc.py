"""DPO-ST's token constraint, one sequence at a time, over a stub vocabulary, and ours over the same one."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from parity.forcing import forced_behind
from parity.official_calculators import dpo_st_forced
from retrace.text.arithmetic import evaluate, format_number
from retrace.text.calculator import Calculator


def encode_with(vocabulary):
    def encode(text: str) -> list[int]:
        rest, ids = "▁" + text.replace(" ", "▁"), []
        while rest:
            piece = max((piece for piece in vocabulary if piece and rest.startswith(piece)), key=len, default=None)
            ids.append(2 if piece is None else vocabulary.index(piece))
            rest = rest[1 if piece is None else len(piece) :]
        return ids

    return encode


def tokenizer_of(vocabulary: list[str]) -> PreTrainedTokenizerFast:
    inner = Tokenizer(models.Unigram([(piece, -1.0) for piece in vocabulary], unk_id=2))
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    inner.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="<unk>", eos_token="</s>", pad_token="<pad>", model_max_length=512
    )


def test_dpost_calc(vectors):
    document = vectors("dpost_calc")
    vocabulary = document["vocab"]
    encode, close = encode_with(vocabulary), vocabulary.index("]")
    crashes = 0
    for case in document["cases"]:
        try:
            out = dpo_st_forced(case["in"]["ids"], vocabulary, encode, close, special_ids=(0, 1))
        except IndexError:
            assert case["out"].get("raises") == "IndexError", case
            crashes += 1
            continue
        assert "raises" not in case["out"], case
        assert out == case["out"]["forced_id"], case
    print(f"dpost_calc: {len(document['cases'])} cases, {crashes} of them crashes of the official code")
    assert document["cases"]


def test_ours_forces_the_same_where_what_is_written_is_right(vectors):
    """Behind a wrong number ours leaves the row to the model, or closes the bracket, and never crashes; a '=' without
    a space before it counts, too."""
    document = vectors("dpost_calc")
    vocabulary = document["vocab"]
    calculator = Calculator(tokenizer_of(vocabulary), "bracket", closing="]")
    same = wrong = unseen = 0
    for case in document["cases"]:
        ids = case["in"]["ids"]
        forced = forced_behind(calculator, ids)
        tail = "".join(calculator.text.surfaces[token] for token in ids).rpartition("[")[2]
        expression, equals, written = tail.partition("=")
        value = evaluate(expression) if equals and "]" not in tail else None
        result = None if value is None else format_number(value)
        if result is not None and not result.startswith(written.strip()):
            assert forced in ("", "]"), case
            wrong += 1
        elif result is not None and not expression.endswith(" "):
            assert (forced, case["out"]["forced_id"]) == (f" {result}]", None), case
            unseen += 1
        else:
            expected = case["out"]["forced_id"]
            assert (expected is None) == (forced == ""), case
            assert expected is None or forced.startswith(vocabulary[expected].replace("▁", " ")), case
            same += 1
    print(f"dpost_calc: {same} the same, {wrong} behind a wrong number, {unseen} behind a '=' without a space")
    assert same > wrong > unseen > 0
