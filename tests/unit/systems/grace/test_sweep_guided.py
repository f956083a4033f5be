"""The two scripts that measure a discriminator: the sweep on the development split, and the choice of steps."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).parents[4] / "scripts"))
from guided_world import make_discriminator, make_examples, make_generator

import measure_step_choice
import sweep_guided
from retrace.decoding.options import Guided
from retrace.decoding.step_choice import Context, held_out_contexts
from retrace.decoding.step_choice import measure_step_choice as measure
from retrace.errors import UserError
from retrace.evaluation.intervals import wilson
from retrace.machine.progress import last_progress
from retrace.machine.storage import write_json, write_jsonl
from retrace.schemas import Pair, SamplingCounts
from suites import first_daily
from unit.guided_rows import decode_guided

torch.set_num_threads(1)
OPTIONS = ["--candidates", "3", "--max-steps", "2", "--max-step-tokens", "6", "--calculator", "false"]


@pytest.fixture(scope="module", params=first_daily(["encoder_decoder", "decoder_only"]))
def generator(request):
    return make_generator("small", request.param)


@pytest.fixture(scope="module")
def files(generator, tmp_path_factory):
    """Everything that the scripts read, on disk."""
    folder = tmp_path_factory.mktemp("files")
    decoder = generator.decoder
    head = decoder.model.get_output_embeddings()
    head.bias = None  # the layout on disk has none
    decoder.model.save_pretrained(folder / "model")
    decoder.tokenizer.save_pretrained(folder / "model")
    make_discriminator(generator, "small").save(folder / "discriminator", "discriminator")
    (folder / "random.yaml").write_text(yaml.safe_dump(generator.config.model_dump(exclude_none=True)))
    (folder / "arithmetic.yaml").write_text(yaml.safe_dump(generator.task.config.model_dump(exclude_none=True)))
    write_jsonl(folder / "dev.jsonl", make_examples(6))
    write_jsonl(folder / "pairs.jsonl", PAIRS)
    write_json(folder / "report.json", {"pair_accuracy": 0.5})
    return folder


def pair(split, prefix, positive, question="Tom has 3 pens. How many?"):
    return Pair(example_id="a", split=split, question=question, prefix=prefix, positive=positive, negative="<<9+9=18>>")


PAIRS = [
    pair("train", [], "<<1+1=2>>"),
    pair("dev", [], "<<3+5=8>>"),
    pair("dev", [], "<<3+5=8>>"),
    pair("dev", ["<<3+5=8>>"], "<<8-2=6>>"),
    pair("dev", [], "<<4+4=8>>", "Ann has 4 pens. How many?"),
]


def common(files):
    words = [
        "--model",
        files / "model",
        "--model-file",
        files / "random.yaml",
        "--task-file",
        files / "arithmetic.yaml",
    ]
    return [*map(str, [*words, "--discriminator", files / "discriminator"]), "--seed", "0", *OPTIONS]


def test_sweep_writes_all_points_and_the_chosen_one(files):
    out, choices = files / "sweep.json", files / "choices.json"
    words = ["--data", files / "dev.jsonl", "--output", out, "--choices", choices, "--limit", 4]
    sweep_guided.main([*common(files), *map(str, words), "--betas", "0.5", "0", "--temperatures", "1.0", "0.5"])
    found = json.loads(out.read_text())
    assert [(p["temperature"], p["beta"]) for p in found["points"]] == [(0.5, 0), (0.5, 0.5), (1.0, 0), (1.0, 0.5)]
    assert {point["n"] for point in found["points"]} == {4}
    for point in found["points"]:
        assert (point["low"], point["high"]) == wilson(round(point["accuracy"] * 4), 4)
    assert found["chosen"] in found["points"]
    assert json.loads(choices.read_text()) == {key: found["chosen"][key] for key in ("beta", "temperature")}


def test_sweep_says_how_far_it_is(files, capsys):
    words = ["--data", files / "dev.jsonl", "--output", files / "s.json", "--choices", files / "c.json", "--limit", 3]
    sweep_guided.main([*common(files), *map(str, words), "--betas", "0", "--temperatures", "1.0", "0.5"])
    assert re.fullmatch(r"6/6 questions at 2 temperatures  \d+ s left", last_progress(capsys.readouterr().err))


def test_without_temperatures_the_decoders_own_is_used(files):
    words = ["--data", files / "dev.jsonl", "--output", files / "s.json", "--choices", files / "c.json", "--limit", 2]
    sweep_guided.main([*common(files), *map(str, words), "--betas", "0", "--temperature", "0.9"])
    assert [point["temperature"] for point in json.loads((files / "s.json").read_text())["points"]] == [0.9]


def test_sweep_counts_what_decoding_alone_gets_right(generator):
    examples = make_examples(6)
    options = Guided(candidates=3, max_steps=2, max_step_tokens=6, temperature=0.8)
    discriminator = make_discriminator(generator, "small")
    # Gold answers that some decoded solutions hit, so that there is something to count.
    alone = list(decode_guided(generator, discriminator, examples, options.model_copy(update={"beta": 1.0}), 0))
    examples = [
        example.model_copy(update={"answer": f"#### {line.answer}", "final_answer": line.answer})
        if line.answer and index % 2
        else example
        for index, (example, line) in enumerate(zip(examples, alone, strict=True))
    ]
    points = sweep_guided.measure(generator, discriminator, examples, options, [0.0, 1.0], [0.8], 0)
    for point in points:
        beta = {"beta": point["beta"]}
        lines = decode_guided(generator, discriminator, examples, options.model_copy(update=beta), 0)
        assert point["accuracy"] * 6 == pytest.approx(sum(line.correct for line in lines))


def test_of_equal_points_the_one_that_leans_on_least_is_chosen():
    points = [
        {"beta": beta, "temperature": temperature, "accuracy": accuracy}
        for beta, temperature, accuracy in [(0.8, 0.5, 0.4), (0.5, 1.0, 0.4), (0.5, 0.7, 0.4), (0.2, 0.7, 0.3)]
    ]
    assert sweep_guided.best_point(points) == points[2]


def test_contexts_are_held_out_and_distinct():
    contexts = held_out_contexts(PAIRS)
    assert [(context.prefix, context.reference) for context in contexts] == [
        ((), "<<3+5=8>>"),
        (("<<3+5=8>>",), "<<8-2=6>>"),
        ((), "<<4+4=8>>"),
    ]


def test_step_choice_counts_what_guided_decoding_chooses(generator):
    """A generator that writes nothing but small equations; its first step by either rule is what is counted."""
    tokenizer, task = generator.decoder.tokenizer, generator.task
    head = generator.decoder.model.get_output_embeddings()
    weight, bias = head.weight.data.clone(), head.bias
    # Other tests of this module may have taken the bias away; this one sets both.
    head.weight.data.zero_()
    head.bias = torch.nn.Parameter(torch.full((head.out_features,), -30.0))
    for text in ("=", "5", "7", task.delimiter):
        head.bias.data[tokenizer.convert_tokens_to_ids(text)] = 0.0
    try:
        options = Guided(candidates=12, max_step_tokens=6, temperature=1.0, top_p=1.0, beta=0.0, max_steps=1)
        examples = make_examples(30)
        discriminator = make_discriminator(generator, "small")
        contexts = [Context(example.id, example.question, (), "<<1+4=5>>") for example in examples]
        report = measure(generator, discriminator, contexts, options, 0)
        # The same random numbers: those of the name that a context has.
        named = [example.model_copy(update={"id": f"{example.id} step 0"}) for example in examples]
        for name, beta in (("language_model", 0.0), ("discriminator", 1.0)):
            chosen = decode_guided(generator, discriminator, named, options.model_copy(update={"beta": beta}), 0)
            steps = [task.split_steps(line.samples[0].text) for line in chosen]
            right = sum(len(step) == 1 and task.step_correct(step[0], "<<1+4=5>>") for step in steps)
            assert report[name]["right"] == right, name
            assert (report[name]["low"], report[name]["high"]) == wilson(right, 30)
            assert report[name]["share"] == right / 30
        assert 0 < report["any"]["right"] < 30
        assert report["discriminator"]["right"] + report["language_model"]["right"] > 0
        assert 0 < report["random"] < report["any"]["share"]
    finally:
        head.weight.data, head.bias = weight, bias


def test_step_choice_script(files):
    words = [
        "--pairs",
        files / "pairs.jsonl",
        "--output",
        files / "choice.json",
        "--training-report",
        files / "report.json",
        "--sampling",
        files / "counts.jsonl",
    ]
    counts = dict.fromkeys(SamplingCounts.model_fields, 1) | {"wanted_incorrect": 7, "reached": False}
    write_jsonl(files / "counts.jsonl", [SamplingCounts(**counts)] * 2)
    measure_step_choice.main([*common(files), *map(str, words)])
    written = json.loads((files / "choice.json").read_text())
    assert (written["sampling"]["unique_incorrect"], written["sampling"]["wanted_incorrect"]) == (2, 14)
    assert written["step_choice"]["contexts"] == 3
    assert written["pair_accuracy"] == 0.5


def test_no_held_out_pairs_is_an_error(files):
    write_jsonl(files / "train.jsonl", PAIRS[:1])
    words = [
        "--pairs",
        files / "train.jsonl",
        "--output",
        files / "choice.json",
        "--training-report",
        files / "report.json",
    ]
    with pytest.raises(UserError, match=r"train\.jsonl: no pair has split 'dev'"):
        measure_step_choice.main([*common(files), *map(str, words)])
