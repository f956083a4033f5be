"""Measuring the speed of the three ways of implicit chain of thought: what is divided by what, and what was cut off."""

import pytest

from retrace.prompting.separated import whole_text
from retrace.systems.icot import speed
from retrace.tasks.long_multiplication import example_of
from retrace.workflow.settings import Settings
from unit.implicit_world import CONFIG, task

TICKS = {"no_cot": 1, "explicit_cot": 8, "icot": 2}  # of the clock, a call


def measured(batch_sizes: list[int], truncated: int = 0) -> dict[str, list[speed.Timing]]:
    """Timings by a clock that goes on with the questions answered; the explicit way's answers may be cut off."""
    now = [0]

    def way(name: str) -> speed.Answer:
        def answer(numbers, batch_size: int) -> speed.Written:
            now[0] += TICKS[name]
            return speed.Written(10 * len(numbers), truncated if name == "explicit_cot" else 0)

        return answer

    return speed.measure({name: way(name) for name in TICKS}, 4, batch_sizes, 2, lambda: now[0])


def test_the_ratio_of_latencies_is_that_at_batch_size_1_or_none() -> None:
    assert speed.latency_ratio(measured([1, 16])) == 4
    assert speed.latency_ratio(measured([16, 1])) == 4
    assert speed.latency_ratio(measured([16, 64])) is None


def test_without_baselines_nothing_is_divided_and_the_document_says_so() -> None:
    alone = speed.measure({"icot": lambda numbers, size: speed.Written(len(numbers), 0)}, 4, [1, 4], 1)
    assert [one.normalised for one in alone["icot"]] == [None, None]
    assert speed.latency_ratio(alone) is None
    assert list(speed.missing_ways(alone)) == ["no_cot", "explicit_cot"]
    assert "icot.released_student" in speed.missing_ways(alone)["no_cot"]
    assert speed.missing_ways(measured([1])) == {}


def test_a_way_that_was_cut_off_is_named_with_the_mend() -> None:
    assert speed.notes_on_truncated(measured([1, 16]), 4, 64) == []
    timings = measured([1, 16], truncated=3)
    assert [one.truncated for one in timings["explicit_cot"]] == [3, 3]
    assert [one.truncated for one in timings["icot"]] == [0, 0]
    (note,) = speed.notes_on_truncated(timings, 4, 64)
    assert note.startswith("explicit_cot: 3 of 4 answers were cut off at 64 token(s)")
    assert note.endswith("raise icot_speed.max_new_tokens")


@pytest.mark.parametrize("digits", [2, 3, 4, 5])
@pytest.mark.parametrize("preset", ["tiny", "small", "paper"])
def test_the_presets_leave_room_for_explicit_answers_to_multiplications(preset: str, digits: int) -> None:
    low = 10 ** (digits - 1)
    example = example_of(low + 1, low + 2, digits, "x", "test", "s")
    end = "</s>"
    answer = task(digits).written_answer(example)
    words = whole_text(example.question, task(digits).reasoning_text(example), answer, end).split()
    values = Settings({"preset": preset}, CONFIG).for_target(f"mult_{digits}x{digits}", "tiny_gpt2")
    assert len(words) - words.index(end) - 1 <= values.icot_speed.max_new_tokens
