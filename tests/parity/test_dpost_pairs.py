"""DPO-ST's preference pairs. In theirs a reference that was graded wrong may stand on both sides, in ours it never does."""

import random

from retrace.systems.dpo_st.form import INSTRUCTION, one_line
from retrace.systems.dpo_st.preferences import pairs_of_question


class Words(dict):
    """The whitespace tokenizer of the vectors."""

    def __missing__(self, text: str) -> frozenset[str]:
        self[text] = frozenset(text.removeprefix(WRONG).split())
        return self[text]


# Before a text that was graded wrong: so it differs from the same text as a reference, and from nothing else.
WRONG = "\0"


def pairs_of(case: dict, mark: str = "") -> list[dict]:
    """Our pairs of a case; mark: before the wrong texts while pairs are made."""
    draw, words, out = random.Random(0), Words(), []
    is_t5 = case["in"]["model"] == "t5"
    for rounds in zip(*case["in"]["files"], strict=True):
        question, gold = rounds[0]["question"], rounds[0]["gold_ans"]
        right = [text for row in rounds for text in row["positives"]]
        wrong = [mark + text for row in rounds for text in row["negatives"]]
        gold = one_line(gold) if is_t5 else gold
        for chosen, rejected, _ in pairs_of_question(gold, right, wrong, words, draw):
            prompt = question if is_t5 else INSTRUCTION.replace("{question}", question)
            out.append({"prompt": prompt, "chosen": chosen, "rejected": rejected.removeprefix(WRONG)})
    return out


def test_dpost_pairs(vectors):
    cases = vectors("dpost_pairs")["cases"]
    pairs = twice = 0
    for case in cases:
        assert pairs_of(case, mark=WRONG) == case["out"], case["in"]["model"]
        ours = pairs_of(case)
        assert all(pair["chosen"] != pair["rejected"] for pair in ours)
        both = [pair for pair in case["out"] if pair["chosen"] == pair["rejected"]]
        assert [pair for pair in case["out"] if pair not in both] == [pair for pair in ours if pair in case["out"]]
        pairs, twice = pairs + len(case["out"]), twice + len(both)
    print(f"dpost_pairs: {len(cases)} cases, {pairs} pairs, {twice} of them of a text with itself")
    assert pairs
