"""DPO-ST's text form for encoder-decoder models."""

from retrace.systems.dpo_st.form import one_line


def test_dpost_text(vectors):
    cases = vectors("dpost_text")["cases"]
    for case in cases:
        assert one_line(case["in"]["solution"]) == case["out"], case
    print(f"dpost_text: {len(cases)} cases")
    assert cases
