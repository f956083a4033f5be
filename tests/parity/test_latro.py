"""LaTRO's pieces against the official code, its defects included where asked for by name."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from retrace.systems.latro import rationales as pieces
from retrace.systems.latro.token_logprobs import add_scorer


class Models:
    """The document's networks, each loaded once."""

    def __init__(self, vectors, document) -> None:
        self.vectors = vectors
        self.document = document
        self.loaded = {}

    def __call__(self, index: int):
        if index not in self.loaded:
            entry = self.document["models"][index]
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**entry["config"]))
            missing, unexpected = model.load_state_dict(load_file(self.vectors.path(entry["weights"])), strict=False)
            assert not unexpected
            assert all(name == "lm_head.weight" for name in missing)
            model.tie_weights()
            add_scorer(model.eval())
            self.loaded[index] = model
        return self.loaded[index]


def real(row, pad):
    return [token for token in row if token != pad]


def rationale(prompt, ids=(), answer=()):
    return pieces.Rationale(list(prompt), list(ids), list(answer), [True] * len(ids), True)


@torch.no_grad()
def likelihoods(model, rows, official=False, answers=True):
    return pieces.likelihoods(model, pieces.pack(rows, 0, answers=answers, official=official))


# A letter a token id, so that a stop of several tokens is a text that begins where its first token begins.
LETTERS = [chr(ord("a") + number) for number in range(26)]


def cut(ids, stops):
    """Theirs knows sequences of token ids at which a rationale ends; ours, the texts that they write."""
    sequences = [stop if isinstance(stop, list) else [stop] for stop in stops]
    return pieces.cut_rationale(ids, LETTERS, ["".join(LETTERS[token] for token in stop) for stop in sequences], ())


def detect_stop_sequence_starts(given, expected, models) -> None:
    for row, marks in zip(given["input_ids"], expected, strict=True):
        begins = [cut(row[place:], [given["stop_seq_ids"]]) == ([], True) for place in range(len(row))]
        assert [int(begin) for begin in begins] == marks


def truncate_response(given, expected, models) -> None:
    for row, kept_row, last in zip(given["responses"], expected["responses"], expected["last_kept_index"], strict=True):
        kept, finished = cut(row, given["stop_token_ids"])
        assert kept + [given["pad_token_id"]] * (len(row) - len(kept)) == kept_row
        assert len(kept) - 1 == last
        assert finished == (len(kept) < len(row))


def pad_mask_rearrange(given, expected, models) -> None:
    pad = given["pad_token_id"]
    packed = pieces.pack([rationale(real(row, pad)) for row in given["input_ids"]], pad)
    for ids, mask, row in zip(packed.input_ids, packed.attention_mask, expected, strict=True):
        tokens = ids[mask.bool()].tolist()
        assert [pad] * (len(row) - len(tokens)) + tokens == row


def get_logprob_reward(given, expected, models) -> None:
    """Tokens from `context_lengths` on, which counts the padding on the left."""
    pad, rows = given["pad_token_id"], []
    contexts = given["context_lengths"]
    contexts = [contexts] * len(given["input_ids"]) if isinstance(contexts, int) else [value for (value,) in contexts]
    for row, context in zip(given["input_ids"], contexts, strict=True):
        tokens = real(row, pad)
        start = max(0, context - (len(row) - len(tokens)))
        rows.append(rationale(tokens[:start], answer=tokens[start:]))
    assert likelihoods(models(given["model"]), rows)[1].tolist() == pytest.approx(expected, abs=1e-4)


def rloo_advantages(given, expected, models) -> None:
    rewards, own, reference = (torch.tensor(given[name]) for name in ("rewards", "logprobs", "ref_logprobs"))
    finished = [given["pad_token_id"] in row for row in given["truncated_responses"]]
    assert finished == expected["contain_stop_token"]
    if given["non_stop_penalty"]:
        rewards = pieces.penalize_unfinished(rewards, torch.tensor(finished), given["penalty_reward_value"])
    kl = own - reference
    advantages = pieces.advantages_of(rewards, kl, given["kl_coef"], given["rloo_k"])
    assert advantages.tolist() == pytest.approx(expected["advantages"], abs=1e-4)
    assert -given["kl_coef"] * kl.mean().item() == pytest.approx(expected["mean_kl_penalty"], abs=1e-4)
    loss = pieces.policy_loss(own, advantages).item()
    assert loss == pytest.approx(expected["policy_loss_given_logprobs"], abs=1e-4)


def rollout_scores(given, expected, models) -> None:
    pad, rows = given["pad_token_id"], []
    for query, response, answer in zip(given["queries"], given["responses"], given["final_responses"], strict=True):
        kept, _ = cut(response, given["stop_token_ids"])
        rows.append(rationale(real(query, pad), real(kept, pad), real(answer, pad)))
    for row, packed, whole in zip(rows, expected["query_rationale"], expected["query_rationale_answer"], strict=True):
        assert row.prompt + row.ids == real(packed, pad)
        assert row.prompt + row.ids + row.answer == real(whole, pad)
    policy, reference = models(given["policy_model"]), models(given["ref_model"])
    _, rewards = likelihoods(policy, rows, official=True)
    assert rewards.tolist() == pytest.approx(expected["rewards"], abs=1e-4)
    # Where a pad was sampled before the stop, the official code still scores as many tokens as were kept with it.
    scored = []
    for row, packed, context in zip(rows, expected["query_rationale"], expected["query_context_lengths"], strict=True):
        tokens = real(packed, pad)
        start = max(0, context - (len(packed) - len(tokens)))
        assert start <= len(row.prompt)
        scored.append(rationale(tokens[:start], tokens[start:]))
    assert likelihoods(policy, scored, answers=False)[0].tolist() == pytest.approx(expected["logprobs"], abs=1e-4)
    of_reference, _ = likelihoods(reference, scored, answers=False)
    assert of_reference.tolist() == pytest.approx(expected["ref_logprobs"], abs=1e-4)
    # Without the defect: the same less the token before the answer.
    _, correct = likelihoods(policy, rows)
    before = [rationale((row.prompt + row.ids)[:-1], (row.prompt + row.ids)[-1:]) for row in rows]
    extra, _ = likelihoods(policy, before)
    assert (rewards - extra).tolist() == pytest.approx(correct.tolist(), abs=1e-4)


CHECKS = {
    check.__name__: check
    for check in (
        detect_stop_sequence_starts,
        truncate_response,
        pad_mask_rearrange,
        get_logprob_reward,
        rloo_advantages,
        rollout_scores,
    )
}


def test_latro(vectors) -> None:
    document = vectors("latro")
    models = Models(vectors, document)
    assert {case["in"]["fn"] for case in document["cases"]} <= set(CHECKS)
    for case in document["cases"]:
        CHECKS[case["in"]["fn"]](case["in"], case["out"], models)
    print(f"latro: {len(document['cases'])} cases")
