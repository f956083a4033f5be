"""Reading free answers against the authors' own function."""

from parity.official_cleanup import official_cleanup
from retrace.systems.learn_to_reason.cleanup import cleanup

KINDS = {"gsm8k": "number", "svamp": "number", "multiarith": "number", "sqa": "yes_no", "cqa": "choice"}


def test_ltr_cleanup(vectors) -> None:
    cases = vectors("ltr_cleanup")["cases"]
    crashes = 0
    for case in cases:
        text, kind = case["in"]["pred"], KINDS[case["in"]["dataset"]]
        ours = cleanup(text, kind)
        try:
            official = official_cleanup(text, kind)
        except IndexError:
            assert case["out"] == {"raises": "IndexError"}, case
            assert ours.prediction is None, "by default a missing answer is None"
            crashes += 1
            continue
        assert {"text": official.text, "prediction": official.prediction} == case["out"], case
        assert ours.text == official.text, case
        assert ours.prediction in (official.prediction, None), case
    print(f"ltr_cleanup: {len(cases)} cases, {crashes} of them crashes of the official code")
    assert cases
