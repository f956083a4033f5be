"""Stepwise decoding, guided by a discriminator (GRACE section 3.3) or by the language model alone (beta 0)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from retrace.decoding.algorithms import Algorithm, Drawn, Files, register_algorithm
from retrace.decoding.options import Guided, GuidedVote, KeptGuided, Stepwise
from retrace.errors import UserError

if TYPE_CHECKING:
    from retrace.decoding.setup import Generator
    from retrace.schemas import Example


def with_choices(options: Guided, files: Files) -> Guided:
    """The options with the values chosen on the development split, if beta is `choose`.

    Raises UserError for a missing or broken file of choices, and where a discriminator is needed and not given.
    """
    if options.beta == "choose":
        options = _chosen(options, files["choices"])
    if options.beta and not files["discriminator"]:
        raise UserError(f"--beta {options.beta}: needs the step discriminator; add --discriminator, or --beta 0")
    return options


def _chosen(options: Guided, path: str | None) -> Guided:
    if path is None:
        raise UserError("--beta choose: needs --choices, the JSON that sweep_guided.py makes; or give --beta a number")
    from retrace.machine.storage import read_json

    chosen = read_json(path)
    try:
        return type(options).model_validate(
            options.model_dump() | {name: chosen[name] for name in ("beta", "temperature")}
        )
    except (KeyError, TypeError, ValueError) as error:
        fault = str(error).split("\n")[0]
        raise UserError(f"{path}: needs numbers beta and temperature ({fault}); make it again by its rule") from None


def guided_samples(
    generator: "Generator", options: Guided, examples: "Sequence[Example]", seed: int, files: Files
) -> Iterator[Drawn]:
    """Solutions written step by step, each step chosen among candidates."""
    from retrace.decoding.guided import solve_for_betas
    from retrace.models.discriminator import load_discriminator

    folder = files.get("discriminator")
    judge = load_discriminator(folder, generator.decoder.device, options.exact) if options.beta and folder else None
    keep = isinstance(options, KeptGuided) and options.keep_candidates == "always"
    for index, (found,) in solve_for_betas(generator, judge, examples, options, [options.beta], seed, keep):
        yield Drawn(index, found.samples, found.seconds or 0.0, found.tokens, found.candidates)


register_algorithm(
    Algorithm(
        "guided",
        Guided,
        sample=guided_samples,
        run_options=KeptGuided,
        sections={"stepwise": Stepwise, "grace": Guided, "grace_self_consistency": GuidedVote},
        needs={
            "discriminator": "folder of the step discriminator; not needed where beta is 0",
            "choices": "JSON with the chosen beta and temperature; needed where beta is choose",
        },
        complete=with_choices,
        several_ends=False,
        in_steps=True,
    )
)
