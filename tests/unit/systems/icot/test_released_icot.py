"""Checkpoints in the form of the authors of implicit chain of thought: brought in, refused, and never executed."""

import json
from pathlib import Path

import pytest
import torch

import train_icot
from retrace.errors import UserError
from retrace.systems.icot.files import load_coupled, load_emulator, load_student
from unit.implicit_world import CONFIG, coupled, save_base, tokenizer

TASK = str(CONFIG / "tasks" / "mult_2x2.yaml")


def release(folder: Path, part: str, module: torch.nn.Module, **more: object) -> Path:
    """A folder as the authors' code writes it: all weights, the tied head and old buffers included."""
    folder.mkdir()
    state = dict(module.state_dict())
    for layer in range(module.layers):
        state[f"base_model.transformer.h.{layer}.attn.bias"] = torch.ones(1, 1, 8, 8)
        state[f"base_model.transformer.h.{layer}.attn.masked_bias"] = torch.tensor(-1e4)
    assert "base_model.lm_head.weight" in state
    torch.save(state, folder / "state_dict.bin")
    config = {
        "base_model": "gpt2",
        "tokenizer_name": "gpt2",
        "mixture_size": 1,
        "transformers_version": "4.31.0",
        **more,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def released(tmp_path):
    model = coupled()
    save_base(tmp_path / "base")
    student = release(tmp_path / "student", "student", model.student)
    emulator = release(tmp_path / "emulator", "emulator", model.emulator, softmax_temperature=0.07)
    return model, tmp_path, student, emulator


def bring_in(folder: Path, student: Path, emulator: Path, *more: str) -> None:
    words = ["--released-student", str(student), "--released-emulator", str(emulator), "--output", str(folder / "icot")]
    train_icot.main([*words, "--task-file", TASK, "--seed", "0", "--state", str(folder / "state"), *more])


def test_released_checkpoints_are_brought_in(released) -> None:
    model, folder, student, emulator = released
    bring_in(folder, student, emulator, "--model", str(folder / "base"))
    loaded, words = load_coupled(folder / "icot")
    assert loaded.emulator.temperature == 0.07
    card = (folder / "icot" / "README.md").read_text(encoding="utf-8")
    assert "| trained on | nothing: the weights are as they were made or given |" in card
    assert str(folder) not in card
    assert len(words) == len(tokenizer())
    ids, places = torch.tensor([[6, 7, 1, 8]]), torch.tensor([2])
    with torch.no_grad():
        assert torch.equal(loaded(ids, ids[:, :3], places), model(ids, ids[:, :3], places))


def test_released_checkpoints_of_another_size_are_refused(released) -> None:
    _, folder, student, emulator = released
    for layers, width, message in ((2, 16, "has no place in the model .* more layers"), (3, 8, "has shape")):
        save_base(folder / f"other{layers}", layers=layers, width=width)
        with pytest.raises(UserError, match=message):
            load_student(student, folder / f"other{layers}")
    save_base(folder / "deeper", layers=4)
    with pytest.raises(UserError, match=r"is missing .* fewer layers"):
        load_emulator(emulator, folder / "deeper")


def test_released_checkpoints_need_their_base_and_both_parts(released) -> None:
    _, folder, student, emulator = released
    with pytest.raises(UserError, match=r"state_dict.bin: .* name the folder of its base model \(gpt2\) with --base"):
        load_student(student)
    with pytest.raises(UserError, match="--model: is required here"):
        bring_in(folder, student, emulator)
    with pytest.raises(UserError, match="give both, or neither"):
        train_icot.main(
            ["--released-student", str(student), "--task-file", TASK, "--seed", "0", "--state", "s", "--output", "o"]
        )


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_released_weights_are_never_executed(released, capsys) -> None:
    _, folder, student, _ = released
    torch.save({"x": Evil()}, student / "state_dict.bin")
    with pytest.raises(UserError, match=r"state_dict.bin: cannot be read"):
        load_student(student, folder / "base")
    assert "executed" not in capsys.readouterr().out
    (student / "state_dict.bin").write_bytes(b"no weights")
    with pytest.raises(UserError, match=r"state_dict.bin: cannot be read"):
        load_student(student, folder / "base")
    torch.save([1, 2], student / "state_dict.bin")
    with pytest.raises(UserError, match="holds something else than weights"):
        load_student(student, folder / "base")
