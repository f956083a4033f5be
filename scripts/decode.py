"""Answer the questions of a split with a checkpoint and a decoder.

    python scripts/decode.py self_consistency --model results/gsm8k/tiny_t5/seed0/sft/model \\
        --model-file config/models/tiny_t5.yaml --task-file config/tasks/gsm8k.yaml \\
        --data results/data/gsm8k/test.jsonl --seed 0 --output predictions.jsonl --samples 10

`decode.py DECODER --help` shows the options of a decoder: greedy, beam, self_consistency, guided, implicit, maj, few_shot,
few_shot_maj or exam (several samples of each training question, for Learn-to-Reason).
Inputs:  --model (a checkpoint folder), --data (Example rows); for guided also --discriminator (a folder), and
         --choices (JSON with beta and temperature) where beta is `choose`.
Output:  Prediction rows in the order of the data; of shard I of N the I-th block of neighbouring rows. Beside them, in
         NAME.timing.jsonl, how long it took. On a processor neither --batch-size nor the shards change a byte.
What is answered is kept in state/NAME.jsonl beside the output until all is done: after a kill the same command goes on.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from retrace import cli
from retrace.decoding.options import Beam, Decoding, FewShot, FewShotMajority, Greedy, Guided, Majority, SelfConsistency
from retrace.errors import UserError
from retrace.systems.icot.options import Implicit
from retrace.systems.learn_to_reason.options import Exam

if TYPE_CHECKING:
    from retrace.decoding.partial import PartialFile
    from retrace.decoding.setup import Generator
    from retrace.schemas import Example, Prediction

    Answered = Iterator[tuple[int, Prediction]]

DECODERS: dict[str, type[Decoding | Implicit]] = {
    "greedy": Greedy,
    "beam": Beam,
    "self_consistency": SelfConsistency,
    "guided": Guided,
    "exam": Exam,
    "implicit": Implicit,
    "maj": Majority,
    "few_shot": FewShot,
    "few_shot_maj": FewShotMajority,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="decoder", metavar="DECODER", required=True)
    for name, section in DECODERS.items():
        kind = kinds.add_parser(
            name, parents=[cli.command(None, section)], conflict_handler="resolve", description=section.__doc__
        )
        kind.add_argument("--model", required=True, help="checkpoint folder")
        kind.add_argument("--model-file", required=True, help="the model's YAML")
        kind.add_argument("--task-file", required=True, help="the task's YAML")
        kind.add_argument("--data", required=True, help="Example rows of the split")
        kind.add_argument("--seed", type=int, required=True, help="of the random numbers")
        kind.add_argument("--shard", type=int, default=0, help="which block of the rows, from 0 (default 0)")
        kind.add_argument("--shards", type=int, default=1, help="how many blocks there are (default 1)")
        if name != "implicit":
            cli.add_form(kind)
        kind.add_argument("--output", required=True, help="Prediction rows")
        if name == "guided":
            kind.add_argument("--discriminator", help="folder of the step discriminator; not needed where beta is 0")
            kind.add_argument(
                "--choices", help="JSON with the chosen beta and temperature; needed where beta is choose"
            )
    given = parser.parse_args(arguments)
    options = cli.section_from(given, DECODERS[given.decoder])

    from retrace.decoding.partial import PartialFile, fingerprint, what_counts
    from retrace.decoding.setup import check_references, open_generator, shard_of
    from retrace.machine.storage import read_jsonl
    from retrace.models.options import load_model_config
    from retrace.schemas import Example
    from retrace.systems.icot.decoding import open_coupled
    from retrace.tasks.answer_task import in_chat
    from retrace.tasks.load import load_task

    everything = read_jsonl(given.data, Example)
    task = (
        in_chat(load_task(given.task_file)) if load_model_config(given.model_file).chat else load_task(given.task_file)
    )
    check_references(task, everything, given.data)
    if isinstance(options, Exam) and options.max_questions >= 0:
        everything = everything[: options.max_questions]
    examples = shard_of(everything, given.shard, given.shards)
    if isinstance(options, Guided):
        options = with_choices(options, given.choices)
        if options.beta and not given.discriminator:
            raise UserError(f"--beta {options.beta}: needs the step discriminator; add --discriminator, or --beta 0")
    if isinstance(options, Implicit):
        generator = open_coupled(given.model, given.model_file, given.task_file)
    else:
        shown = getattr(options, "demonstrations", 0)
        generator = open_generator(
            given.model,
            given.model_file,
            given.task_file,
            options.calculator,
            form=given.form,
            demonstrations=shown,
        )
    if generator.decoder.ends > 1 and isinstance(options, Guided | Beam):
        raise UserError(
            f"{given.model}: this checkpoint writes an end token between steps and answer; decode it with greedy or "
            "self_consistency"
        )
    prompts = [generator.prompt(example.question) for example in examples]
    depends = {"decoder": given.decoder, "seed": given.seed, "shard": [given.shard, given.shards], "prompts": prompts}
    depends |= {"options": what_counts(options), "device": generator.decoder.device.type}
    depends["form"] = getattr(given, "form", None)  # answers are read by it, too; implicit decoding has none
    files = [given.model, given.model_file, given.task_file, given.data, getattr(given, "discriminator", None)]
    predictions = answered(
        PartialFile(given.output, fingerprint(depends, [__file__, *files])),
        examples,
        partial(answers_to, generator, options, given.seed, getattr(given, "discriminator", None)),
        given.output,
    )
    right = sum(prediction.correct for prediction in predictions)
    seconds = sum(prediction.seconds or 0.0 for prediction in predictions)
    print(json.dumps({"questions": len(predictions), "correct": right, "seconds": round(seconds, 3)}))


def answered(
    kept: "PartialFile", examples: "list[Example]", answer: "Callable[[list[Example]], Answered]", output: str
) -> "list[Prediction]":
    """Answer all examples that an earlier run of this job has not answered, and write the predictions, in order.

    answer: yields the index and the prediction of each example that it is given, in any order.
    """
    from retrace.evaluation.predictions import write_predictions
    from retrace.schemas import Prediction

    predictions = {
        entry["index"]: Prediction.model_validate(entry["row"] | {"seconds": entry["seconds"]})
        for entry in kept.entries
    }
    left = [index for index in range(len(examples)) if index not in predictions]
    for place, prediction in answer([examples[index] for index in left]):
        predictions[left[place]] = prediction
        row = prediction.model_dump(mode="json")
        kept.append({"index": left[place], "seconds": prediction.seconds, "row": row})
        report(len(predictions), len(examples))
    found = [predictions[index] for index in range(len(examples))]
    write_predictions(output, found)
    kept.finish()
    return found


def answers_to(
    generator: "Generator",
    options: Decoding | Implicit,
    seed: int,
    discriminator: str | None,
    examples: "list[Example]",
) -> "Answered":
    """(index, prediction) of each example, as they are done."""
    return (
        guided(generator, options, examples, seed, discriminator)
        if isinstance(options, Guided)
        else unguided(generator, options, examples, seed)
    )


def unguided(generator: "Generator", options: Decoding | Implicit, examples: "list[Example]", seed: int) -> "Answered":
    """Greedy decoding (implicit too), beam search or self-consistency."""
    from retrace.decoding.vote import majority, make_prediction, make_sample

    prompts = [generator.prompt(example.question) for example in examples]
    shared: dict[str, Any] = {
        "max_new_tokens": options.max_new_tokens,
        "calculator": generator.calculator,
        "batch_size": options.batch_size,
        "stops": generator.stops,
    }
    keys = [example.id for example in examples]
    if isinstance(options, Beam):
        from retrace.decoding.beam import beam_search

        answers = beam_search(
            generator.decoder, prompts, keys, beams=options.beams, length_penalty=options.length_penalty, **shared
        )
    else:
        from retrace.decoding.sampling import generate

        if isinstance(options, SelfConsistency | Exam):
            shared |= {
                "samples": options.samples,
                "temperature": options.temperature,
                "top_k": options.top_k,
                "top_p": options.top_p,
            }
        answers = generate(generator.decoder, prompts, keys, seed=seed, **shared)
    for answer in answers:
        example = examples[answer.index]
        samples = [make_sample(generator.task, example, one.text, one.tokens, one.logprob) for one in answer.samples]
        chosen = majority([sample.answer for sample in samples], generator.task.canonical)
        yield answer.index, make_prediction(example, samples, chosen, answer.seconds)


def report(done: int, total: int) -> None:
    """A line of progress on stderr now and then, with the seconds left."""
    from retrace.machine.progress import say

    say(done, total, "questions", sys.stderr)


def with_choices(options: Guided, path: str | None) -> Guided:
    """The options with what was chosen on the development split, where beta is `choose`."""
    if options.beta != "choose":
        return options
    if path is None:
        raise UserError("--beta choose: needs --choices, the JSON that sweep_guided.py makes; or give --beta a number")
    from retrace.machine.storage import read_json

    chosen = read_json(path)
    try:
        return Guided.model_validate(options.model_dump() | {name: chosen[name] for name in ("beta", "temperature")})
    except (KeyError, TypeError, ValueError) as error:
        fault = str(error).split("\n")[0]
        raise UserError(f"{path}: needs numbers beta and temperature ({fault}); make it again by its rule") from None


def guided(
    generator: "Generator", options: Guided, examples: "list[Example]", seed: int, discriminator: str | None
) -> "Answered":
    """Stepwise decoding."""
    from retrace.decoding.guided import solve_for_betas
    from retrace.models.discriminator import load_discriminator

    judge = load_discriminator(discriminator, generator.decoder.device) if options.beta else None
    for index, (prediction,) in solve_for_betas(generator, judge, examples, options, [options.beta], seed):
        yield index, prediction


if __name__ == "__main__":
    cli.run(main)
