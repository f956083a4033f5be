"""Plain algorithms: greedy decoding, beam search and majority vote over samples, with or without worked examples."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from retrace.decoding.algorithms import Algorithm, Drawn, Files, register_algorithm
from retrace.decoding.options import Beam, FewShot, FewShotMajority, Greedy, Majority, SelfConsistency

if TYPE_CHECKING:
    from retrace.decoding.sampling import Answers
    from retrace.decoding.setup import Generator
    from retrace.schemas import Example


def most_probable(
    generator: "Generator", options: Any, examples: "Sequence[Example]", seed: int, files: Files
) -> Iterator[Drawn]:
    """One solution per question, by greedy decoding."""
    from retrace.decoding.sampling import generate

    prompts, keys, shared = _asked(generator, options, examples)
    return _judged(generator, examples, generate(generator.decoder, prompts, keys, seed=seed, **shared))


def free_samples(
    generator: "Generator", options: Any, examples: "Sequence[Example]", seed: int, files: Files
) -> Iterator[Drawn]:
    """`options.samples` independent solutions per question, with the options' temperature, top k and top p."""
    from retrace.decoding.sampling import generate

    prompts, keys, shared = _asked(generator, options, examples)
    shared |= {name: getattr(options, name) for name in ("samples", "temperature", "top_k", "top_p")}
    return _judged(generator, examples, generate(generator.decoder, prompts, keys, seed=seed, **shared))


def best_beam(
    generator: "Generator", options: Any, examples: "Sequence[Example]", seed: int, files: Files
) -> Iterator[Drawn]:
    """One solution per question, by beam search."""
    from retrace.decoding.beam import beam_search

    prompts, keys, shared = _asked(generator, options, examples)
    shared |= {"beams": options.beams, "length_penalty": options.length_penalty}
    return _judged(generator, examples, beam_search(generator.decoder, prompts, keys, **shared))


def _asked(
    generator: "Generator", options: Any, examples: "Sequence[Example]"
) -> tuple[list[str], list[str], dict[str, Any]]:
    """Prompts, ids and the common arguments of all searches."""
    shared: dict[str, Any] = {
        "max_new_tokens": options.max_new_tokens,
        "calculator": generator.calculator,
        "batch_size": options.batch_size,
        "stops": generator.stops,
    }
    return [generator.prompt(example.question) for example in examples], [example.id for example in examples], shared


def _judged(generator: "Generator", examples: "Sequence[Example]", answers: "Iterator[Answers]") -> Iterator[Drawn]:
    """Convert answers to samples graded by the task."""
    from retrace.decoding.vote import make_sample

    for answer in answers:
        example = examples[answer.index]
        samples = [make_sample(generator.task, example, one.text, one.tokens, one.logprob) for one in answer.samples]
        yield Drawn(answer.index, samples, answer.seconds)


register_algorithm(Algorithm("greedy", Greedy, sample=most_probable))
register_algorithm(Algorithm("beam", Beam, sample=best_beam, several_ends=False))
register_algorithm(
    Algorithm(
        "self_consistency",
        SelfConsistency,
        sample=free_samples,
        sections={"self_consistency": SelfConsistency, "maj": Majority},
    )
)
register_algorithm(Algorithm("few_shot", FewShot, sample=most_probable))
register_algorithm(Algorithm("few_shot_maj", FewShotMajority, sample=free_samples))
