"""Lines of the multiplication data against the authors' files and their rule."""

from retrace.tasks.long_multiplication import line_of


def test_icot_mult(vectors) -> None:
    cases = vectors("icot_mult")["cases"]
    for case in cases:
        given = case["in"]
        assert line_of(given["a"], given["b"], given["digits"]) == case["out"]["line"]
    print(f"icot_mult: {len(cases)} cases")
