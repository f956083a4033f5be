"""DPO-ST's pseudo-labels."""

from parity.test_dpost_pairs import Words
from retrace.systems.dpo_st.form import one_line
from retrace.systems.dpo_st.preferences import cap_at_percentile, solutions_of_question


def test_dpost_rft(vectors):
    cases = vectors("dpost_rft")["cases"]
    for case in cases:
        words, found = Words(), []
        is_t5 = case["in"]["model"] == "t5"
        for rounds in zip(*case["in"]["files"], strict=True):
            gold = rounds[0]["gold_ans"]
            gold = (one_line(gold) if is_t5 else gold) if len(gold) > 1 else None
            right = [text for row in rounds for text in row["positives"]]
            found.append((rounds[0]["question"], solutions_of_question(gold, right, words)))
        cap = cap_at_percentile([solutions for _, solutions in found])
        assert cap == case["out"]["cap_p90"], case
        for limit, key in ((cap, "answers_with_cap"), (case["in"]["explicit_limit"], "answers_with_explicit_limit")):
            kept = [[question, text] for question, solutions in found for text in solutions[:limit]]
            assert kept == case["out"][key], case
    print(f"dpost_rft: {len(cases)} cases")
    assert cases
