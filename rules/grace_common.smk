"""Helpers of GRACE only, no rules: embedder, entailment model, discriminator and what guides decoding."""


def what_it_is_used_as(wildcards):
    """A params function: how a model is tried out once it is fetched; most need no trial."""
    if wildcards.model in settings.named("align.embedder"):
        return "--used-as embedder"
    return "--used-as discriminator" if wildcards.model in settings.named("discriminator.released") else ""


def the_embedder(wildcards):
    """The folder of the embedder, where it is a model of ours."""
    name = settings.for_target(wildcards.task, wildcards.model).align.embedder
    return {"embedder": pinned(name)} if name in settings.models else {}


def the_entailment_model(wildcards):
    """The folder of the model that judges symbolic steps, where one shall and is a model of ours."""
    pair = settings.for_target(wildcards.task, wildcards.model).pair
    used = pair.step_judge == "entailment" and pair.entailment_model in settings.models
    return {"entailment_model": pinned(pair.entailment_model)} if used else {}


def discriminator_folder(w, generator):
    """The discriminator that was trained for a generator, or the released one that the configuration names."""
    released = settings.for_target(w.task, w.model).discriminator.released
    return pinned(released) if released else f"{run_folder(w)}/{generator}_discriminator/model"


def the_discriminator(wildcards):
    return discriminator_folder(wildcards, wildcards.generator)


def training_report(wildcards):
    """Pair accuracies, where the discriminator was trained here and is no released one."""
    if settings.for_target(wildcards.task, wildcards.model).discriminator.released:
        return {}
    return {"report": f"{run_folder(wildcards)}/{wildcards.generator}_discriminator/pair_accuracy.json"}


def the_guide(wildcards):
    """The section of the encoder that guides the job's decoder; None where none does."""
    return guide_of(wildcards.task, wildcards.model, wildcards.decoder)


@lru_cache(maxsize=None)
def guide_of(task, model, decoder):
    guided = helped_decoder(decoder) in GUIDED_DECODERS
    return (
        "discriminator" if guided and section_of(SimpleNamespace(task=task, model=model), decoder).beta != 0 else None
    )


def guidance(wildcards):
    """Inputs that only guided decoding needs: the discriminator, and the choices made on the development split."""
    if guide_of(wildcards.task, wildcards.model, wildcards.decoder) is None:
        return {}
    needed = {"discriminator": discriminator_folder(wildcards, wildcards.checkpoint)}
    if section_of(wildcards, wildcards.decoder).beta == "choose":
        needed["choices"] = f"{run_folder(wildcards)}/{wildcards.checkpoint}_discriminator/choices.json"
    return needed


def sweep_arguments(wildcards):
    sweep = settings.for_target(wildcards.task, wildcards.model).sweep
    words = ["--limit", str(sweep.limit), "--betas", *map(str, sweep.betas)]
    return words + (["--temperatures", *map(str, sweep.temperatures)] if sweep.temperatures else [])
