"""DPO-ST's answer extraction."""

from retrace.systems.dpo_st.form import extract_value


def test_dpost_extract(vectors):
    cases = vectors("dpost_extract")["cases"]
    for case in cases:
        assert extract_value(case["in"]["completion"]) == case["out"], case
    print(f"dpost_extract: {len(cases)} cases")
    assert cases
