"""The choice of the next step agrees with the official code, and so do the discriminator's inputs."""

import torch

from retrace.decoding.selection import discriminator_rows, language_model_scores, mixed_scores, select

NOWHERE = -torch.inf


def test_grace_select(vectors):
    data = vectors("grace_select")
    cases = data["cases"]
    for number, case in enumerate(cases):
        given, expected = case["in"], case["out"]
        tokens = torch.tensor(given["new_tokens"])
        logprobs = [[NOWHERE if value is None else value for value in row] for row in given["token_logprobs"]]
        language_model = language_model_scores(torch.tensor(logprobs), (tokens != given["pad_id"]).sum(-1))
        all_answers = (tokens == given["answer_marker_id"]).any(-1).all()
        final = mixed_scores(
            language_model[None],
            torch.tensor(given["disc_scores"])[None],
            given["beta"],
            normalize=given["normalize_disc_scores"],
            all_answers=all_answers[None],
        )
        assert torch.allclose(final[0], torch.tensor(expected["final_scores"]), atol=1e-4), f"case {number}"
        assert select(final).item() == expected["selected"], f"case {number}"
        called = given["beta"] != 0 and not bool(all_answers)
        assert called == (expected["disc_input_ids"] is not None), f"case {number}"
        if called:
            bare = [[token for token in row if token != given["pad_id"]] for row in given["new_tokens"]]
            rows = discriminator_rows([10, 11, 12], [], bare, start=90, separator=91, pad=given["pad_id"])
            assert rows == expected["disc_input_ids"], f"case {number}"
    print(f"grace_select: {len(cases)} of {len(cases)} cases agree")
    assert cases
