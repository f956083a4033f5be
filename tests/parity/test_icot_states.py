"""Teacher states, emulator and student against the authors' networks."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from retrace.systems.icot.files import restore
from retrace.systems.icot.networks import Emulator, Student, positions_of, teacher_states

END = 49
TOLERANCE = 1e-4
_networks: dict = {}


def network(vectors, document: dict, role: str, index: int) -> torch.nn.Module:
    if (role, index) not in _networks:
        entry = next(one for one in document["models"] if (one["role"], one["index"]) == (role, index))
        weights = load_file(vectors.path(entry["weights"]))
        base = GPT2LMHeadModel(GPT2Config(**entry["gpt2_config"]))
        if role == "student":
            built = Student(base)
        elif role == "emulator":
            built = Emulator(base, len(weights["mixture_components.weight"]))
        else:
            built = torch.nn.Module()
            built.base_model = base
        restore(built, weights, entry["weights"])
        _networks[role, index] = built.eval()
    return _networks[role, index]


def separator(ids: torch.Tensor, number: int) -> torch.Tensor:
    """Position of the first (0) or second (1) end token of each row."""
    return torch.tensor([torch.nonzero(row == END)[number, 0] for row in ids])


def check_positions(vectors, document: dict, given: dict, expected: dict) -> None:
    delta = given["delta"] if given["delta"] == "dynamic" else int(given["delta"])
    places = positions_of(
        given["num_layers"],
        given["subset"],
        delta,
        torch.tensor([given["first_sep"]]),
        torch.tensor([given["second_sep"]]),
        official=True,
    )
    assert places[0].tolist() == expected["positions"]


def check_teacher(vectors, document: dict, given: dict, expected: dict) -> None:
    ids = torch.tensor(given["input_ids"])
    delta = given["delta"] if given["delta"] == "dynamic" else int(given["delta"])
    teacher = network(vectors, document, "teacher", given["model"]).base_model
    states = teacher_states(teacher, ids, separator(ids, 0), separator(ids, 1), given["subset"], delta, official=True)
    torch.testing.assert_close(states.transpose(0, 1), torch.tensor(expected["states"]), atol=TOLERANCE, rtol=0)


def check_emulator(vectors, document: dict, given: dict, expected: dict) -> None:
    ids = torch.tensor(given["input_ids"])
    emulator = network(vectors, document, "emulator", given["model"])
    states = emulator(ids, separator(ids, 0))
    torch.testing.assert_close(states.transpose(0, 1), torch.tensor(expected["states"]), atol=TOLERANCE, rtol=0)
    if "teacher_states" in given:
        from retrace.systems.icot.train import states_loss

        targets = torch.tensor(given["teacher_states"]).transpose(0, 1)
        assert states_loss(states, targets).item() / len(ids) == pytest.approx(
            expected["loss"], abs=TOLERANCE, rel=1e-6
        )


def check_student(vectors, document: dict, given: dict, expected: dict) -> None:
    from retrace.training.separated import answer_counts

    ids, labels = torch.tensor(given["input_ids"]), torch.tensor(given["labels"])
    student = network(vectors, document, "student", given["model"])
    logits = student(ids, separator(ids, 0), torch.tensor(given["teacher_states"]).transpose(0, 1))
    found = answer_counts(logits[:, :-1], labels[:, 1:])
    assert found.loss.item() == pytest.approx(expected["total_loss"], abs=TOLERANCE, rel=1e-6)
    assert (found.loss / found.tokens).item() == pytest.approx(expected["loss"], abs=TOLERANCE)
    assert int(found.right_tokens) == expected["total_correct"]
    assert int(found.tokens) == expected["total_tokens"]
    assert (found.right_tokens / found.tokens).item() == pytest.approx(expected["token_accuracy"], abs=TOLERANCE)
    if expected.get("logits_row0") is not None:
        last = torch.tensor(expected["logits_row0"]).reshape(-1)
        torch.testing.assert_close(logits[0, -1], last, atol=TOLERANCE, rtol=0)


CHECKS = {
    "positions": check_positions,
    "teacher_extract_states": check_teacher,
    "emulator_forward": check_emulator,
    "student_compute_loss": check_student,
}


@torch.no_grad()
def test_icot_states(vectors) -> None:
    _networks.clear()
    document = vectors("icot_states")
    for case in document["cases"]:
        CHECKS[case["in"]["fn"]](vectors, document, case["in"], case["out"])
    print(f"icot_states: {len(document['cases'])} cases")
