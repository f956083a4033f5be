"""What a checkpoint's model card measures: which checkpoint answers, and by which decoders."""

from dataclasses import dataclass

from retrace.errors import UserError
from retrace.evaluation.model_card import SCORED_FILE, Calculator
from retrace.workflow.names import WITHOUT_CALCULATOR
from retrace.workflow.settings import Settings


@dataclass(frozen=True)
class Measured:
    """checkpoint: the one that answers, which a discriminator guides. split: whose questions. decoders: each with what it
    does about the calculator."""

    checkpoint: str
    split: str
    decoders: dict[str, Calculator]


def measured(settings: Settings, task: str, model: str, checkpoint: str) -> Measured:
    """What the card of a checkpoint measures. Raises UserError for one that answers nothing by itself, and for a
    combination that does not work."""
    named = settings.checkpoints.parse(checkpoint)
    if named is None:
        shown = ", ".join(settings.checkpoints.shown)
        raise UserError(f"checkpoint {checkpoint!r} is unknown; valid: {shown}")
    if named.kind.stage_of:
        raise UserError(
            f"{checkpoint} is a part of {named.kind.stage_of}, and answers nothing by itself; its folder has a card, and "
            f"{named.kind.stage_of}/{SCORED_FILE} is the one with scores"
        )
    answering = named.generator or checkpoint
    if named.generator:
        guided = [name for name in settings.decoder_files if settings.decoder(name).guide == named.kind.name]
        if not guided:
            raise UserError(
                f"no decoder uses {named.kind.name}, so that there is nothing to measure; see config/decoders"
            )
        decoder = guided[0]
    else:
        decoder = named.kind.decoder or "greedy"
    resolved = settings.checkpoint(task, model, f"{answering}_{decoder}")
    base = settings.model(model)
    if not named.generator and base.scratch is None and settings.weights_of(task, model, resolved) == "base":
        raise UserError(
            f"{checkpoint} has the weights of the model {model}, whose card is with its own files; how it does is in "
            f"results/{task}/{model}/{resolved}_{decoder}_acc.json"
        )
    answers = settings.checkpoints.parse(resolved)
    computes = answers is not None and answers.kind.computations and settings.task(task).calculator and not base.chat
    decoders: dict[str, Calculator] = {decoder: "none"}
    if computes and not settings.decoder(decoder).never_calculates:
        decoders = {decoder: "with", decoder + WITHOUT_CALCULATOR: "without"}
    elif computes and settings.decoder(decoder).reranks:
        decoders = {decoder: "with"}  # the samples that it ranks were drawn with it
    return Measured(resolved, settings.split(task, model, resolved, "test"), decoders)
