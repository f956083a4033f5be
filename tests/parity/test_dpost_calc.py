"""DPO-ST's token constraint, one sequence at a time, over a stub vocabulary."""

from retrace.text.calculator import bracket_forced


def encode_with(vocabulary):
    def encode(text: str) -> list[int]:
        rest, ids = "▁" + text.replace(" ", "▁"), []
        while rest:
            piece = max((piece for piece in vocabulary if piece and rest.startswith(piece)), key=len, default=None)
            ids.append(2 if piece is None else vocabulary.index(piece))
            rest = rest[1 if piece is None else len(piece) :]
        return ids

    return encode


def test_dpost_calc(vectors):
    document = vectors("dpost_calc")
    vocabulary = document["vocab"]
    encode, close = encode_with(vocabulary), vocabulary.index("]")
    crashes = 0
    for case in document["cases"]:
        ids = case["in"]["ids"]
        ours = bracket_forced(ids, vocabulary, encode, close, special_ids=(0, 1))
        try:
            out = bracket_forced(ids, vocabulary, encode, close, special_ids=(0, 1), official=True)
        except IndexError:
            assert case["out"].get("raises") == "IndexError", case
            assert ours == close, "by default the bracket is closed instead"
            crashes += 1
            continue
        assert "raises" not in case["out"], case
        assert out == case["out"]["forced_id"], case
        assert ours == out, "only the crash differs"
    print(f"dpost_calc: {len(document['cases'])} cases, {crashes} of them crashes of the official code")
    assert document["cases"]
