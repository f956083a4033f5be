"""The sections of the check: each goes one way through the project, by its scripts as the rules call them, and says what
it measured. One that fails stops no other. Those that start processes of their own: see gpu.processes."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gpu import tokens
from gpu.measure import clean, peak_gb, steps_timed, synchronise, waiting
from gpu.world import FAMILIES, ICOT_FILE, TASK_FILE, World, has_option, quietly, words

Figures = dict[str, Any]
SECTIONS: dict[str, Callable[[World], Figures]] = {}


def section(name: str) -> Callable[[Callable[[World], Figures]], Callable[[World], Figures]]:
    def add(action: Callable[[World], Figures]) -> Callable[[World], Figures]:
        SECTIONS[name] = action
        return action

    return add


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def quick(world: World, steps: int = 3, **more: object) -> list[str]:
    """Options of a short training, in bfloat16 where there is a GPU."""
    precision = "float32" if world.device == "cpu" else "bfloat16"
    options = {"max_steps": steps, "evaluations": 1, "batch_size": 8, "device_batch_size": 8, "learning_rate": 1e-4}
    return words(**{**options, "precision": precision, **more})


def about(world: World, model: Path, **files: object) -> list[str]:
    return words(model=model, model_file=model.with_suffix(".yaml"), task_file=TASK_FILE, seed=0, **files)


def trained(world: World, name: str, main: Callable, arguments: list[str], keep: bool = False) -> Figures:
    """Run a training's script whose output is the folder `name`; its losses must be numbers. keep: the folder stays."""
    output = world / name
    with steps_timed() as figures:
        quietly(main, [*arguments, *words(state=world / f"{name}_state", output=output)])
    curve = output / "curves.jsonl"
    losses = [row["loss"] for row in rows_of(curve) if "loss" in row] if curve.exists() else [0.0]
    assert losses, f"{name}: no loss was logged"
    assert all(torch.tensor(losses).isfinite()), f"{name}: a loss is not a number"
    assert not (world / f"{name}_state").exists(), f"{name}: the state folder stayed"
    if not keep:
        shutil.rmtree(output)
    return {**figures, "memory_gb": peak_gb()}


@contextmanager
def timed() -> Iterator[dict[str, float]]:
    """Seconds of the block, under `seconds`."""
    found: dict[str, float] = {}
    synchronise()
    began = time.perf_counter()
    yield found
    synchronise()
    found["seconds"] = round(time.perf_counter() - began, 3)


def rate(count: float, clock: dict[str, float]) -> float:
    return round(count / clock["seconds"], 2)


for architecture in FAMILIES:
    section(f"tokens_{architecture}")(lambda world, name=architecture: tokens.compare(world, name))


# ---------------------------------------------------------------- GRACE


@section("sampling")
def sampling(world: World) -> Figures:
    """Wrong solutions of GSM8K's length from FLAN-T5-Large's shape; then the same under the profiler."""
    import sample_trajectories

    model = world.model("flan_t5")
    limit = 16 if world.toy else 128
    draws = {"samples_per_pass": 2 if world.toy else 4, "max_passes": 1, "incorrect": 100_000, "max_new_tokens": limit}
    arguments = [*about(world, model, data=world / "long.jsonl"), *words(**draws, batch_size="auto")]

    def run(name: str) -> None:
        quietly(sample_trajectories.main, [*arguments, *words(output=world / name)])

    run("warm.jsonl")
    clean()
    with timed() as clock:
        run("samples.jsonl")
    rows = rows_of(world / "samples.jsonl")
    same = (world / "samples.jsonl").read_bytes() == (world / "warm.jsonl").read_bytes()
    # On a GPU the rounding may follow the batch, and the batch the memory that is free.
    assert same or world.device == "cuda", "sampled again, and the samples are others"
    found = {
        "samples": len(rows),
        "same_again": same,
        "tokens_a_second": rate(sum(row["tokens"] for row in rows), clock),
    }
    return {**found, "memory_gb": peak_gb(), **waiting(lambda: run("profiled.jsonl"))}


@section("alignment")
def alignment(world: World) -> Figures:
    import align_steps
    import make_pairs

    data = words(task_file=TASK_FILE, data=world / "train.jsonl")
    given = words(
        trajectories=world / "trajectories.jsonl",
        embedder="simcse",
        embedder_folder=world.embedder(),
        max_cost=100,
        output=world / "alignments.jsonl",
    )
    with timed() as clock:
        quietly(align_steps.main, [*data, *given])
    pairs = words(alignments=world / "alignments.jsonl", seed=0, output=world / "made_pairs.jsonl")
    quietly(make_pairs.main, [*data, *pairs])
    count = len(rows_of(world / "alignments.jsonl"))
    return {"aligned": count, "seconds": clock["seconds"], "pairs": len(rows_of(world / "made_pairs.jsonl"))}


@section("sft_flan_t5")
def sft_encoder_decoder(world: World) -> Figures:
    return fine_tuning(world, "flan_t5")


@section("sft_llama3")
def sft_decoder_only(world: World) -> Figures:
    return fine_tuning(world, "llama3")


def fine_tuning(world: World, name: str) -> Figures:
    """Fine-tuning on rows of GSM8K's length: seconds a step, tokens a second; then under the profiler."""
    import train_sft

    model, batch = world.model(name, light=True), 8 if world.toy else 32
    data = words(train=world / "long.jsonl", dev=world / "few.jsonl")
    sizes = quick(world, 4 if world.toy else 12, batch_size=batch, device_batch_size=batch)
    arguments = [*about(world, model), *data, *sizes]
    clean()
    found = trained(world, f"sft_{name}", train_sft.main, arguments)
    tokenizer = world.tokenizer(FAMILIES[name], None)
    texts = [text for one in world.long for text in (one.question, world.task.solution_text(one))]
    length = sum(map(len, tokenizer(texts)["input_ids"])) / len(world.long)
    found["tokens_a_second"] = round(length * batch / found["seconds_a_step"], 1)
    if world.device == "cpu":
        return found
    clean()
    return found | waiting(lambda: trained(world, f"sft_{name}_again", train_sft.main, arguments) and None)


@section("discriminator")
def discriminator(world: World) -> Figures:
    import train_discriminator

    model = world.model("flan_t5")
    given = words(generator=model, backbone="generator", pairs=world / "pairs.jsonl", report=world / "pairs.json")
    arguments = about(world, model)[2:]  # all but --model
    return trained(world, "discriminator", train_discriminator.main, [*arguments, *given, *quick(world)], keep=True)


@section("verifier")
def verifier(world: World) -> Figures:
    import train_verifier

    model = world.model("flan_t5")
    given = words(generator=model, backbone="generator", data=world / "train.jsonl", report=world / "verifier.json")
    given += words(trajectories=world / "trajectories.jsonl")
    arguments = [*about(world, model)[2:], *given, *quick(world)]
    return trained(world, "verifier", train_verifier.main, arguments, keep=True)


@section("guided_decoding")
def guided_decoding(world: World) -> Figures:
    """20 candidates a step; then the same under the profiler. Without the section `discriminator` one is trained first."""
    import decode

    if not (world / "discriminator").exists():
        discriminator(world)
        clean()
    model = world.model("flan_t5")
    sizes = {
        "candidates": 20,
        "max_steps": 2 if world.toy else 3,
        "max_step_tokens": 8 if world.toy else 40,
        "beta": 0.5,
        "batch_size": "auto",
    }
    arguments = ["guided", *about(world, model, data=world / "few.jsonl"), *words(**sizes)]
    arguments += words(discriminator=world / "discriminator")

    def run(name: str) -> None:
        quietly(decode.main, [*arguments, *words(output=world / name)])

    run("guided_warm.jsonl")
    clean()
    with timed() as clock:
        run("guided.jsonl")
    rows = rows_of(world / "guided.jsonl")
    found = {"questions": len(rows), "tokens_a_second": rate(sum(row["tokens"] for row in rows), clock)}
    found["questions_a_second"] = rate(len(rows), clock)
    return {**found, "memory_gb": peak_gb(), **waiting(lambda: run("guided_profiled.jsonl"))}


@section("reranking")
def reranking(world: World) -> Figures:
    import decode
    import rerank

    if not (world / "verifier").exists():
        verifier(world)
    model = world.model("flan_t5")
    draws = words(samples=3, max_new_tokens=16, output=world / "several.jsonl", data=world / "dev.jsonl")
    quietly(decode.main, ["self_consistency", *about(world, model), *draws])
    given = words(predictions=world / "several.jsonl", verifier=world / "verifier", output=world / "reranked.jsonl")
    quietly(rerank.main, [*given, *words(model_file=model.with_suffix(".yaml"), task_file=TASK_FILE)])
    return {"questions": len(rows_of(world / "reranked.jsonl"))}


@section("beam_search")
def beam_search(world: World) -> Figures:
    import decode

    model = world.model("flan_t5")
    given = words(max_new_tokens=12, data=world / "dev.jsonl", output=world / "beam.jsonl")
    quietly(decode.main, ["beam", *about(world, model), *given])
    return {"questions": len(rows_of(world / "beam.jsonl"))}


# ---------------------------------------------------------------- DPO-ST, Learn-to-Reason, implicit CoT, LaTRO


@section("dpo_flan_t5")
def dpo_encoder_decoder(world: World) -> Figures:
    return preferences(world, "flan_t5")


@section("dpo_gptj_lora")
def dpo_decoder_only(world: World) -> Figures:
    return preferences(world, "gptj", lora_rank=4)


def preferences(world: World, name: str, **more: object) -> Figures:
    import train_dpo

    given = words(pairs=world / "preferences.jsonl", report=world / f"dpo_{name}.json")
    arguments = [*about(world, world.model(name, light=True)), *given, *quick(world, **more)]
    return trained(world, f"dpo_{name}", train_dpo.main, arguments)


@section("learn_to_reason")
def learn_to_reason(world: World) -> Figures:
    """The checkpoint is chosen by greedy answers, decoded in the middle of the training."""
    import train_learn_to_reason

    given = {name: world / f"{name}.jsonl" for name in ("train", "dev", "rationales", "marks")}
    arguments = [*about(world, world.model("gptj", light=True)), *words(**given, report=world / "lessons.json")]
    arguments += quick(world, keep="accuracy", answer_tokens=16)
    found = trained(world, "learn_to_reason", train_learn_to_reason.main, arguments, keep=True)
    measured = [row["dev_accuracy"] for row in rows_of(world / "learn_to_reason/curves.jsonl") if "dev_accuracy" in row]
    assert measured, "no answers were graded"
    return {**found, "dev_accuracy": measured[-1]}


@section("implicit_cot")
def implicit_cot(world: World) -> Figures:
    """All stages on GPT-2's shape, and answers of the coupled pair."""
    import cache_states
    import decode
    import train_cot
    import train_icot
    import train_icot_emulator
    import train_icot_student

    model = world.model("gpt2", "float32")
    data = words(train=world / "icot_train.jsonl", dev=world / "icot_dev.jsonl", task_file=ICOT_FILE)
    base = [*data, *words(seed=0), *quick(world)]
    named = words(model=model, model_file=model.with_suffix(".yaml"))
    found = {"no_cot": trained(world, "no_cot", train_cot.main, [*base, *named, "--layout", "no_cot"])}
    found["teacher"] = trained(world, "teacher", train_cot.main, [*base, *named, "--layout", "explicit_cot"], keep=True)
    quietly(cache_states.main, [*data, *words(teacher=world / "teacher", output=world / "states")])
    stage = [*base, *words(model=model, teacher=world / "teacher", states=world / "states")]
    found["student"] = trained(world, "student", train_icot_student.main, stage, keep=True)
    found["emulator"] = trained(world, "emulator", train_icot_emulator.main, stage, keep=True)
    both = words(student=world / "student", emulator=world / "emulator")
    found["coupled"] = trained(world, "icot", train_icot.main, [*base, *both], keep=True)
    asked = words(data=world / "icot_dev.jsonl", task_file=ICOT_FILE, seed=0, max_new_tokens=8)
    answers = words(model=world / "icot", model_file=model.with_suffix(".yaml"), output=world / "icot.jsonl")
    with timed() as clock:
        quietly(decode.main, ["implicit", *asked, *answers])
    return {**found, "answers_a_second": rate(len(rows_of(world / "icot.jsonl")), clock)}


@section("latro")
def latro(world: World) -> Figures:
    """Phi-3.5's shape, all weights; seconds a step, then under the profiler."""
    return rationales(world, "latro", {})


@section("latro_lora")
def latro_lora(world: World) -> Figures:
    import train_latro

    if not has_option(train_latro.main, "lora_rank"):
        return {"note": "latro.lora_rank is not there"}
    return rationales(world, "latro_lora", {"lora_rank": 8})


def rationales(world: World, name: str, more: dict[str, object]) -> Figures:
    import train_latro

    sizes = {
        "batch_size": 8,
        "device_batch_size": 4,
        "rationales": 4,
        "max_rationale_tokens": 12,
        "max_answer_tokens": 8,
    }
    if not world.toy:
        sizes |= {"batch_size": 32, "device_batch_size": 16, "rationales": 8, "max_rationale_tokens": 96}
    arguments = [*about(world, world.model("phi35")), *quick(world, 3 if world.toy else 5, **{**sizes, **more})]
    arguments += words(train=world / "train.jsonl", compare=world / "dev.jsonl", evaluation_questions=8)

    def run(output: str) -> Figures:
        reports = words(curves=world / f"{output}.curves.jsonl", report=world / f"{output}.json")
        found = trained(world, output, train_latro.main, [*arguments, *reports])
        curve = [row for row in rows_of(world / f"{output}.curves.jsonl") if "reward" in row]
        assert all(torch.tensor([row["reward"] for row in curve]).isfinite())
        return found

    clean()
    found = run(name)
    if "seconds_a_step" in found:
        found["rationales_a_second"] = round(sizes["batch_size"] / found["seconds_a_step"], 2)
    if world.device == "cpu":
        return found
    clean()
    return found | waiting(lambda: run(f"{name}_again") and None)
