"""How often the right step is chosen among N samples: the discriminator's purpose, measured in isolation.

For each held-out context (question and right steps before) N candidate steps are sampled from the generator. A candidate
is right if it says the same as the reference step there (`Task.step_correct`). The contexts are those of held-out
training pairs: places where the generator has been wrong at least once, and so harder than the average step.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch

from retrace.decoding.batch_size import in_batches
from retrace.decoding.guided import GuidedDecoder, Path, choose_steps
from retrace.decoding.options import Guided
from retrace.decoding.random_streams import row_keys
from retrace.decoding.setup import Generator
from retrace.decoding.state import State
from retrace.evaluation.intervals import wilson
from retrace.models.discriminator import StepDiscriminator
from retrace.schemas import Pair
from retrace.text.encoding import text_ids


class Context(NamedTuple):
    """Where a step is to be written."""

    example_id: str
    question: str
    prefix: tuple[str, ...]
    reference: str


def held_out_contexts(pairs: Sequence[Pair]) -> list[Context]:
    """The distinct contexts of the pairs with split `dev`, in their order; the first reference step counts."""
    contexts: dict[tuple[str, tuple[str, ...]], Context] = {}
    for pair in pairs:
        if pair.split == "dev":
            prefix = tuple(pair.prefix)
            contexts.setdefault((pair.question, prefix), Context(pair.example_id, pair.question, prefix, pair.positive))
    return list(contexts.values())


def measure_step_choice(
    generator: Generator,
    discriminator: StepDiscriminator,
    contexts: Sequence[Context],
    options: Guided,
    seed: int,
) -> dict[str, Any]:
    """Shares of contexts in which the right step is chosen, each {"right", "share", "low", "high"}.

    discriminator: by its score alone (beta 1). language_model: by its own probability (beta 0). any: some candidate is
    right, which is what a perfect choice would reach. random: a candidate drawn at random (a mean, no interval).
    """
    guided = GuidedDecoder(generator, discriminator, options, seed)
    count = options.candidates
    counts = {"discriminator": 0, "language_model": 0, "any": 0}
    share = 0.0
    guided.fit(generator.decoder.encode([generator.prompt(context.question) for context in contexts]))

    def measured(batch: Sequence[Context], rows: int) -> list[tuple[list[bool], list[int]]]:
        guided.allow(rows)
        return _choices(guided, generator, batch, seed)

    # The engine appends to all rows of a batch or to none: contexts with and without steps before go apart.
    for begun in (False, True):
        group = sorted(
            (context for context in contexts if bool(context.prefix) == begun),
            key=lambda context: len(context.question),
        )
        for _, found in in_batches(group, guided.rows, count, measured, least=count):
            for right, choices in found:
                counts["discriminator"] += right[choices[0]]
                counts["language_model"] += right[choices[1]]
                counts["any"] += any(right)
                share += sum(right) / len(right)
    return {
        "contexts": len(contexts),
        "candidates": count,
        "temperature": options.temperature,
        **{name: _share(right, len(contexts)) for name, right in counts.items()},
        "random": share / len(contexts),
    }


def _name(context: Context) -> str:
    return f"{context.example_id} step {len(context.prefix)}"


def _choices(
    guided: GuidedDecoder, generator: Generator, batch: Sequence[Context], seed: int
) -> list[tuple[list[bool], list[int]]]:
    """For each context which candidates are right, and the choices of discriminator and language model."""
    count = guided.options.candidates
    state, prefixes = _read(guided, generator, batch)
    keys = row_keys(seed, [_name(context) for context in batch for _ in range(count)], list(range(count)) * len(batch))
    found = guided.writer.write(
        state,
        keys.view(len(batch), count),
        torch.zeros(len(batch), dtype=torch.long),
        torch.full((len(batch),), guided.options.max_step_tokens),
        [[] for _ in batch],
    )
    paths = [Path(index, 0, [0, 1], tokens=prefix) for index, prefix in enumerate(prefixes)]
    questions = [context.question for context in batch]
    choices, *_ = choose_steps(guided.judge, paths, questions, found, [1.0, 0.0], guided.options)
    rights = []
    for index, context in enumerate(batch):
        texts = [
            guided.writer.text.text(row[:length])
            for row, length in zip(found.tokens[index].tolist(), found.lengths[index].tolist(), strict=True)
            if length
        ]
        rights.append([_is_right(generator.task, text, context) for text in texts])
    return list(zip(rights, choices, strict=True))


def _read(guided: GuidedDecoder, generator: Generator, batch: Sequence[Context]) -> tuple[State, list[list[int]]]:
    """The state behind question and prefix of each context, and the prefix's token ids."""
    decoder = generator.decoder
    prompts = [generator.prompt(context.question) for context in batch]
    texts = [generator.task.join_steps(list(context.prefix)) for context in batch]
    tokenized = text_ids(decoder.tokenizer, texts)
    names = [_name(context) for context in batch]
    if decoder.family == "decoder_only":
        # A prompt is tokenized with its solution, as in training.
        joined = [f"{prompt} {text}".strip() for prompt, text in zip(prompts, texts, strict=True)]
        return decoder.prefill(decoder.encode(joined, names, guided.options.max_step_tokens)), tokenized
    state = decoder.prefill(decoder.encode(prompts, names))
    if batch[0].prefix:
        decoder.append(state, tokenized)
    return state, tokenized


def _is_right(task: Any, text: str, context: Context) -> bool:
    """Whether a candidate is one step, and says what the reference says. An answer is no step."""
    steps = task.split_steps(text)
    return len(steps) == 1 and bool(task.step_correct(steps[0], context.reference, list(context.prefix)))


def _share(right: int, total: int) -> dict[str, float]:
    low, high = wilson(right, total)
    return {"right": right, "share": right / total, "low": low, "high": high}
