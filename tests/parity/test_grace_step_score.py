"""The language model's score of a candidate step agrees with the official code, forced tokens included."""

import torch

from retrace.decoding.selection import language_model_scores

NOWHERE = -torch.inf


def test_grace_step_score(vectors):
    cases = vectors("grace_step_score")["cases"]
    for number, case in enumerate(cases):
        rows = [[NOWHERE if value is None else value for value in row] for row in case["in"]["logprobs"]]
        lengths = torch.tensor([len(row) for row in rows])
        # Shorter candidates end in pads, which add nothing and are no part of the length.
        padded = torch.zeros(len(rows), int(lengths.max()), dtype=torch.float64)
        for place, row in enumerate(rows):
            padded[place, : len(row)] = torch.tensor(row)
        scores = language_model_scores(padded, lengths)
        assert torch.allclose(scores, torch.tensor(case["out"]["scores"], dtype=torch.float64), atol=1e-4), (
            f"case {number}"
        )
    print(f"grace_step_score: {len(cases)} of {len(cases)} cases agree")
    assert cases
