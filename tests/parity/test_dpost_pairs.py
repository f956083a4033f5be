"""DPO-ST's preference pairs."""

import random

from retrace.systems.dpo_st.form import INSTRUCTION, one_line
from retrace.systems.dpo_st.preferences import pairs_of_question


class Words(dict):
    """The whitespace tokenizer of the vectors."""

    def __missing__(self, text: str) -> frozenset[str]:
        self[text] = frozenset(text.split())
        return self[text]


def test_dpost_pairs(vectors):
    cases = vectors("dpost_pairs")["cases"]
    pairs = 0
    for case in cases:
        draw, words, out = random.Random(0), Words(), []
        is_t5 = case["in"]["model"] == "t5"
        for rounds in zip(*case["in"]["files"], strict=True):
            question, gold = rounds[0]["question"], rounds[0]["gold_ans"]
            right = [text for row in rounds for text in row["positives"]]
            wrong = [text for row in rounds for text in row["negatives"]]
            gold = one_line(gold) if is_t5 else gold
            for chosen, rejected, _ in pairs_of_question(gold, right, wrong, words, draw, official=True):
                prompt = question if is_t5 else INSTRUCTION.replace("{question}", question)
                out.append({"prompt": prompt, "chosen": chosen, "rejected": rejected})
        assert out == case["out"], case["in"]["model"]
        pairs += len(out)
    print(f"dpost_pairs: {len(cases)} cases, {pairs} pairs")
    assert pairs
