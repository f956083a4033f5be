"""What a training cannot do by its strategy is refused while jobs are planned, not after the work before it."""

import pytest

from retrace.errors import UserError
from retrace.training.strategies import check_strategy
from retrace.workflow.configuration import Configuration

DIVIDED = ("zero2", "zero3", "zero2_offload", "zero3_offload", "fsdp")


def check(name: str, strategy: str, world: int, **values: object) -> None:
    trainings = Configuration().trainings()
    check_strategy(name, trainings[name].model_copy(update=values), strategy, world)


@pytest.mark.parametrize(
    ("name", "values", "strategies", "message"),
    [
        (
            "icot",
            {"keep_each": True},
            DIVIDED,
            r"icot\.keep_each: true under launch\.strategy {}: .*icot\.strategy to ddp",
        ),
        ("icot_student", {"keep_each": True}, DIVIDED, r"icot_student\.keep_each: true .*or keep_each to false"),
        (
            "latro",
            {"lora_rank": 8},
            DIVIDED[:-1],
            r"latro\.lora_rank: 8 under launch\.strategy {}: adapters are not divided",
        ),
        (
            "dpo_st_sft",
            {"lora_rank": 4},
            DIVIDED,
            r"dpo_st\.sft\.lora_rank: 4 .*trainings\.dpo_st_sft\.strategy to ddp",
        ),
        (
            "sft",
            {"optim": "adamw_8bit"},
            DIVIDED,
            r"sft\.optim: adamw_8bit under launch\.strategy {}: .*optim to adamw",
        ),
        (
            "sft",
            {"keep": "accuracy"},
            ["fsdp"],
            r"sft\.keep: accuracy under launch\.strategy .*it does not support decoding answers; set .* zero3, zero2 or ddp",
        ),
        (
            "learn_to_reason",
            {"keep": "accuracy"},
            ["fsdp"],
            r"learn_to_reason\.keep: accuracy under launch\.strategy fsdp",
        ),
        ("latro", {}, ["fsdp"], r"latro\.rationales: \d+ under launch\.strategy fsdp: it does not support sampling"),
    ],
)
def test_what_cannot_be_divided(name: str, values: dict, strategies: list[str], message: str) -> None:
    for strategy in strategies:
        with pytest.raises(UserError, match=message.format(strategy)):
            check(name, strategy, 2, **values)
    for strategy in {"none", "ddp", *DIVIDED} - set(strategies) - {"fsdp"}:
        check(name, strategy, 2, **values)
    # One process has nobody to divide the model with; offloading moves it all the same.
    for strategy in ("ddp", "zero2", "zero3", "fsdp"):
        check(name, strategy, 1, **values)
    for strategy in set(strategies) & {"zero2_offload", "zero3_offload"}:
        with pytest.raises(UserError, match=message.format(strategy)):
            check(name, strategy, 1, **values)


def test_all_else_is_divided() -> None:
    for name in set(Configuration().trainings()) - {"latro"}:
        for strategy in DIVIDED:
            check(name, strategy, 8)
