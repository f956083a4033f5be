"""The cache of teacher states: contents, fingerprints, room, and the option to do without."""

import json
import shutil

import numpy as np
import pytest
import torch

from retrace.errors import UserError
from retrace.prompting.layouts import write_layout
from retrace.systems.icot import states as module
from retrace.systems.icot.networks import teacher_states
from retrace.systems.icot.options import TeacherStates
from retrace.systems.icot.states import (
    CachedStates,
    ComputedStates,
    open_states,
    read_record,
    size_of,
    teacher_fingerprint,
    write_states,
)
from retrace.training.separated_rows import reasoning_batch
from unit.implicit_world import LAYERS, WIDTH, base, examples, rows_of, save_base, tokenizer

OPTIONS = TeacherStates(rows_at_once=4)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Rows of two lengths, a teacher's folder, and a cache of several shards."""
    monkeypatch.setattr(module, "SHARD_BYTES", 2 * LAYERS * WIDTH * 7)  # seven rows
    rows = rows_of(tmp_path, [*examples(9), *examples(9, digits=3)])
    teacher = save_base(tmp_path / "teacher")
    write_layout(teacher, "explicit_cot")
    write_states(tmp_path / "train", base(), teacher_fingerprint(teacher), rows, OPTIONS, 0)
    return tmp_path, rows, teacher


def opened(world, options: TeacherStates = OPTIONS, layers: int = LAYERS, width: int = WIDTH, rows=None):
    folder, own, teacher = world
    return open_states(folder, teacher, {"train": rows or own}, options, layers, width, tokenizer())["train"]


def test_the_cache_holds_the_teachers_states(world, capsys) -> None:
    folder, rows, _ = world
    assert sorted(path.name for path in (folder / "train").iterdir()) == [
        "states.json",
        *(f"states_0000{number}.bfloat16" for number in range(3)),
    ]
    source = opened(world)
    for numbers in ([0, 17, 3, 9], [5]):
        batch = reasoning_batch(rows, numbers, 0)
        expected = teacher_states(base(), batch["teacher_ids"], batch["first"], batch["second"])
        found = source(source.batch(numbers))
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, atol=0.02, rtol=0.01)  # bfloat16
        assert torch.equal(found, found.bfloat16().float())


def test_the_size_is_told_beforehand(world, capsys, monkeypatch) -> None:
    folder, rows, _ = world
    assert size_of(18, LAYERS, WIDTH) == 18 * 3 * 16 * 2
    assert sum(path.stat().st_size for path in (folder / "train").glob("*.bfloat16")) == size_of(18, LAYERS, WIDTH)
    capsys.readouterr()
    write_states(folder / "more", base(), "x", rows, OPTIONS, 0)
    assert "18 rows x 3 layers x 16 x 2 bytes = 0.000 GB in more" in capsys.readouterr().out.splitlines()[0]
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 100))
    with pytest.raises(UserError, match=r"states take 0.0 GB and 0.0 GB are free; free some space, or compute them in"):
        write_states(folder / "full", base(), "x", rows, OPTIONS, 0)
    assert not (folder / "full").exists()


def test_computed_states_are_the_same_within_rounding(world) -> None:
    _folder, rows, teacher = world
    computed = open_states(None, teacher, {"train": rows}, OPTIONS, LAYERS, WIDTH, tokenizer())["train"]
    assert isinstance(computed, ComputedStates)
    cached = opened(world)
    numbers = [1, 12, 2]
    torch.testing.assert_close(computed(computed.batch(numbers)), cached(cached.batch(numbers)), atol=0.02, rtol=0.01)
    assert not any(weight.requires_grad for weight in computed.teacher.parameters())


def test_a_cache_of_another_teacher_is_refused(world) -> None:
    _folder, _, teacher = world
    shutil.rmtree(teacher)
    save_base(teacher, seed=5)
    write_layout(teacher, "explicit_cot")
    with pytest.raises(UserError, match="train: the cache of teacher states was made by another teacher; delete it"):
        opened(world)


def test_a_cache_of_other_data_is_refused(world) -> None:
    folder, _, _ = world
    other = rows_of(folder, [*examples(9), *examples(9, "dev", digits=3)], name="other")
    with pytest.raises(UserError, match="was made from other data"):
        opened(world, rows=other)
    swapped = rows_of(folder, [*examples(9)[::-1], *examples(9, digits=3)], name="swapped")
    with pytest.raises(UserError, match="was made from other data"):
        opened(world, rows=swapped)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"subset": "top_row"}, "holds the subset diagonal, top_row is wanted"),
        ({"delta": 2}, "was made with delta dynamic, 2 is wanted"),
        ({"official_positions": True}, "was made with another value of `official`"),
        ({"teacher_precision": "bfloat16"}, "was computed in float32, bfloat16 is wanted"),
    ],
)
def test_a_cache_of_other_options_is_refused(world, options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(world, TeacherStates(**options))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("layers", "width"), [(2, WIDTH), (LAYERS, 32)])
def test_a_teacher_of_another_size_is_refused(world, cached: bool, layers: int, width: int) -> None:
    folder, rows, teacher = world
    with pytest.raises(UserError, match=f"3 layers of width 16, but the student has {layers} of width {width}"):
        open_states(folder if cached else None, teacher, {"train": rows}, OPTIONS, layers, width, tokenizer())


def test_a_folder_that_is_no_teacher_is_refused(world) -> None:
    _folder, _, teacher = world
    write_layout(teacher, "no_cot")
    with pytest.raises(UserError, match="teacher: no teacher: it was trained on the layout no_cot, not explicit_cot"):
        opened(world)
    (teacher / "layout.json").unlink()
    with pytest.raises(UserError, match="it was trained on the layout of other methods"):
        opened(world)


def test_another_tokenizer_is_refused(world) -> None:
    _folder, rows, teacher = world
    other = tokenizer()
    other.add_tokens(["extra"])
    with pytest.raises(UserError, match="the teacher's tokenizer is not the student's"):
        open_states(None, teacher, {"train": rows}, OPTIONS, LAYERS, WIDTH, other)


@pytest.mark.parametrize("fault", ["missing", "cut", "no_record", "bad_record"])
def test_a_damaged_cache_is_found(world, fault: str) -> None:
    folder, _, _ = world
    shard, record = folder / "train" / "states_00001.bfloat16", folder / "train" / "states.json"
    if fault == "missing":
        shard.unlink()
    elif fault == "cut":
        shard.write_bytes(shard.read_bytes()[:-2])
    elif fault == "no_record":
        record.unlink()
    else:
        record.write_text(json.dumps({**json.loads(record.read_text()), "layers": 0}))
    names = {"missing": "states_00001.bfloat16: missing or cut off", "cut": "missing or cut off"}
    names |= {
        "no_record": r"no cache of teacher states \(states.json is missing\)",
        "bad_record": "states.json: layers:",
    }
    with pytest.raises(UserError, match=names[fault]):
        opened(world)


def test_the_record_says_what_the_cache_is(world) -> None:
    record = read_record(world[0] / "train")
    assert (record.rows, record.layers, record.width, record.shard_rows) == (18, LAYERS, WIDTH, 7)
    assert record.data == world[1].fingerprint()


def test_rows_are_read_in_any_order_and_more_than_once(world) -> None:
    source = opened(world)
    assert isinstance(source, CachedStates)
    numbers = [16, 0, 0, 8, 15]
    one = source.batch(numbers)["states"]
    each = torch.cat([source.batch([number])["states"] for number in numbers])
    assert torch.equal(one, each)
    assert np.asarray(one.float()).std() > 0.5


def test_fingerprints_tell_teacher_rows_options_and_rounding(world) -> None:
    folder, rows, teacher = world
    changes = [{"subset": "top_row"}, {"delta": 2}, {"official_positions": True}, {"teacher_precision": "bfloat16"}]
    computed = [ComputedStates(base(), rows, TeacherStates(**change), 0).fingerprint() for change in [{}, *changes]]
    others = [
        ComputedStates(base(seed=5), rows, OPTIONS, 0).fingerprint(),
        ComputedStates(base(), rows_of(folder, examples(9), name="fewer"), OPTIONS, 0).fingerprint(),
        opened(world).fingerprint(),
    ]
    assert len({*computed, *others}) == 8
    # What changes the speed alone does not count, nor does where the teacher comes from.
    same = open_states(None, teacher, {"train": rows}, OPTIONS, LAYERS, WIDTH, tokenizer())["train"]
    assert same.fingerprint() == computed[0]
    assert opened(world).fingerprint() == opened(world, TeacherStates(rows_at_once=7)).fingerprint()
