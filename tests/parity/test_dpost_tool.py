"""DPO-ST's calculator tool."""

from retrace.text.calculator import format_result


def test_dpost_tool(vectors):
    cases = vectors("dpost_tool")["cases"]
    for case in cases:
        try:
            out = {"value": format_result(case["in"]["expr"], official=True)}
        except Exception as error:  # the class is what the case states
            out = {"raises": type(error).__name__}
        assert out == case["out"], case
    print(f"dpost_tool: {len(cases)} cases")
    assert cases
