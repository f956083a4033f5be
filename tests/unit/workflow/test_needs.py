"""What jobs ask for, by the model, the section and the attempt."""

from types import SimpleNamespace

import pytest

from retrace.errors import UserError
from retrace.workflow.needs import Needs, Place, copies_of, no_gpu
from retrace.workflow.settings import Settings
from unit.evaluation_data import CONFIG

HUB = SimpleNamespace(task="gsm8k", model="flan_t5_large")
TINY = SimpleNamespace(task="arithmetic", model="tiny_t5")
LARGE = 783_150_080  # parameters of flan_t5_large


class Stopped(Exception):
    """In place of Snakemake's own error."""


def needs(devices: int = 0, here: bool = True, planning: bool = False, limit: int | None = None, **user) -> Needs:
    place = Place(here=lambda: here, planning=lambda: planning, limit=limit, count=lambda: devices)
    return Needs(Settings({"preset": "paper", **user}, CONFIG), place, Stopped)


def test_a_model_of_the_hub_takes_a_gpu_and_one_from_scratch_none() -> None:
    asked = needs(devices=1)
    assert (asked.needs_gpu(HUB), asked.needs_gpu(TINY)) == (1, 0)
    assert asked.to_decode(8)["gpus"](HUB) == 1


def test_an_encoder_of_the_hub_takes_a_gpu_beside_a_model_from_scratch() -> None:
    asked = needs(devices=1, discriminator={"released": "grace_discrim_gsm8k"})
    assert asked.needs_gpu(TINY, "discriminator") == 1
    assert asked.to_decode(8, lambda wildcards: "discriminator")["gpus"](TINY) == 1


def test_minilm_is_small_whatever_the_generator_is() -> None:
    asked = needs(devices=1, discriminator={"backbone": "minilm"}, verifier={"backbone": "generator"})
    assert asked.trained_model(HUB, "discriminator").parameters == 2.27e7
    assert asked.needs_gpu(TINY, "discriminator") == 0
    assert asked.hours(12, "discriminator")(HUB, attempt=1) == 60 < asked.hours(12, "verifier")(HUB, attempt=1)


def test_a_decoder_only_judge_is_a_second_model_in_memory() -> None:
    llama = SimpleNamespace(task="gsm8k", model="llama_7b")
    asked = needs(devices=1, discriminator={"backbone": "generator"})
    alone, guided = (asked.to_decode(8, guide)["mem_mb"](llama, attempt=1) for guide in (None, "discriminator"))
    assert guided - alone == pytest.approx(alone - 4000, rel=0.01)
    with_adapters = needs(devices=1, discriminator={"backbone": "generator", "lora_rank": 8})
    whole, adapters = (one.memory_to_train("discriminator")(llama, attempt=1) for one in (asked, with_adapters))
    assert whole - 4000 == pytest.approx(4 * (adapters - 4000), rel=0.01)


def test_without_a_device_jobs_may_try_the_processor() -> None:
    assert needs(require_gpu=False).needs_gpu(HUB) == 0
    assert needs(require_gpu=False, planning=True).needs_gpu(HUB) == 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"devices": 2}, "launch.gpus is 3 for flan_t5_large and this machine has 2"),
        ({"devices": 4, "limit": 2}, r"the run may use 2 \(--resources gpus=2\)"),
    ],
)
def test_more_gpus_than_there_are(place: dict, message: str) -> None:
    asked = needs(launch={"gpus": 3}, **place)
    with pytest.raises(Stopped, match=message):
        asked.to_train("sft")["gpus"](HUB)


def test_several_nodes_need_a_cluster() -> None:
    launch = {"gpus": 1, "nodes": 2}
    with pytest.raises(Stopped, match=r"launch\.nodes is 2"):
        needs(devices=1, launch=launch).to_train("sft")["launch"](HUB)
    asked = needs(here=False, launch=launch).to_train("sft")
    assert asked["launch"](HUB) == "--nodes 2 --processes 0 --strategy ddp"
    assert [asked[name](HUB) for name in ("nodes", "tasks", "tasks_per_gpu", "mpi")] == [2, 2, 0, "srun"]
    assert needs(here=False).to_train("sft")["mpi"](HUB) is None


def test_memory_of_a_training_counts_weights_gradients_and_moments() -> None:
    asked = needs(devices=1).memory_to_train("sft")(HUB, attempt=1)
    assert asked == pytest.approx(4000 + 4 * 4 * LARGE / 1e6, rel=0.01)


def test_memory_of_data_is_small_for_a_model_from_scratch() -> None:
    asked = needs().memory(16000)
    assert asked(TINY, attempt=1) == 4000
    assert asked(HUB, attempt=1) == 16000
    assert asked(HUB, attempt=2) > 16000


def test_hours_grow_with_the_model_and_the_attempt() -> None:
    asked = needs(devices=1)
    ten = asked.hours(10)
    assert ten(TINY, attempt=1) == 60
    assert ten(HUB, attempt=1) == 600
    assert ten(SimpleNamespace(task="gsm8k", model="gptj_6b"), attempt=1) > 4 * 600
    assert ten(HUB, attempt=2) == 1200


def test_no_job_asks_for_more_than_its_partition_allows() -> None:
    cpu = {"partition": "cpu", "hours": 1, "memory_gb": 20}
    slurm = {"cpu": cpu, "gpu": {"partition": "gpu", "hours": 20, "memory_gb": 24}}
    asked = needs(here=False, slurm=slurm)
    assert asked.hours(48)(HUB, attempt=2) == 20 * 60
    assert asked.hours(48, gpus=no_gpu)(HUB, attempt=2) == 60
    assert asked.memory(16000)(HUB, attempt=3) == 20000
    assert asked.memory(16000, asked.needs_gpu)(HUB, attempt=3) == 24000


def test_copies_of_a_model() -> None:
    assert copies_of(SimpleNamespace(parameters=1_000_000), 2) == 8.0


def test_the_usual_error_is_the_users() -> None:
    place = Place(here=lambda: True, planning=lambda: False, limit=None, count=lambda: 1)
    with pytest.raises(UserError, match="this machine has 1"):
        Needs(Settings({"preset": "paper", "launch": {"gpus": 2}}, CONFIG), place).to_train("sft")["gpus"](HUB)
