"""Helpers of GRACE: prompts and options of sampling, alignment models, discriminator and sweep. Defines no rules."""

from retrace.systems.grace.reach import unreachable_note


def has_prompt_examples(wildcards):
    """Whether the prompts of the job's generator have worked examples, as those of frozen models do."""
    form = settings.form(wildcards.task, wildcards.model, wildcards.generator)
    return settings.model(wildcards.model).generator == "base" and form == "steps"


def drawn_examples(wildcards):
    """Input function: the worked examples that each sampling pass draws from, if it draws any.

    In order of preference: those for sampling, those of the prompts, the training questions.
    """
    wanted, task = values_of(wildcards).sample, settings.task(wildcards.task)
    if not wanted.demonstrations_per_pass or not has_prompt_examples(wildcards):
        return {}
    apart = [name for name in (SAMPLING_DEMONSTRATIONS, DEMONSTRATIONS) if definitions.examples_apart(task, name)]
    return {"demonstrations": data_file(wildcards.task, [*apart, "train"][0])}


def sampling_arguments(wildcards):
    """Params function: arguments of section `sample`; warns while planning if they cannot find enough solutions."""
    variants = jobs.variants_of(settings, wildcards)
    warn_unreachable(wildcards.task, wildcards.model, wildcards.generator, variants)
    section = section_of(wildcards, "sample")
    if not drawn_examples(wildcards):
        section = section.model_copy(update={"demonstrations_per_pass": 0})
    return arguments_of(section, set(type(section).model_fields) - speed_options(section))


@lru_cache(maxsize=None)
def warn_unreachable(task, model, generator, variants):
    """Print a note, once, if the configured number of wrong solutions cannot be reached."""
    if not workflow.is_main_process:
        return
    values, split = settings.values_of_variants(task, model, variants), settings.split(task, model, generator, "train")
    limit = limit_of(settings, task, split)
    if note := unreachable_note(settings.task(task), split, limit, values.sample):
        print(f"note: {model} on {task}: {note}", file=sys.stderr)


def use_option(wildcards):
    """Params function: the `--used-as` argument for a fetched model that needs a trial run; empty for most."""
    if wildcards.model in settings.named("align.embedder"):
        return "--used-as embedder"
    return "--used-as discriminator" if wildcards.model in settings.named("discriminator.released") else ""


def embedder_folder(wildcards):
    """Input function: folder of the embedder, if it is a model in config/models."""
    name = values_of(wildcards).align.embedder
    return {"embedder": hub_model_folder(name)} if settings.has_model(name) else {}


def entailment_model_folder(wildcards):
    """Input function: folder of the entailment model, if one judges steps and it is a model in config/models."""
    pair = values_of(wildcards).pair
    used = pair.step_judge == "entailment" and settings.has_model(pair.entailment_model)
    return {"entailment_model": hub_model_folder(pair.entailment_model)} if used else {}


entailment_argument = optional_argument(entailment_model_folder, "--entailment-model", "entailment_model")


def files_of_entailment_model(wildcards):
    """The files of the entailment model, if one judges steps and it is a folder of the user's."""
    used = values_of(wildcards).pair.step_judge == "entailment"
    return files_of_options("pair.entailment_model")(wildcards) if used else []


def family_of_model(wildcards):
    """Params function: the family of the job's model."""
    return settings.model(wildcards.model).family


def judge_needs_gpu(wildcards):
    """Resources function: an entailment model needs a GPU like any other model; the task's own step check needs none."""
    pair = values_of(wildcards).pair
    return needs_gpu(wildcards) if pair.step_judge == "entailment" else 0


def discriminator_folder(wildcards):
    """Model folder of the job's discriminator or verifier."""
    return guide_folder(wildcards, wildcards.generator, wildcards.guide)


def training_report(wildcards):
    """Input function: pair accuracies of the discriminator, unless a released one is used."""
    if values_of(wildcards).discriminator.released:
        return {}
    return {"report": f"{run_folder(wildcards)}/{wildcards.generator}_{wildcards.guide}/pair_accuracy.json"}


def sweep_arguments(wildcards):
    """Params function: arguments of section `sweep`."""
    sweep = values_of(wildcards).sweep
    argv = ["--limit", str(sweep.limit), "--betas", *map(str, sweep.betas)]
    return argv + (["--temperatures", *map(str, sweep.temperatures)] if sweep.temperatures else [])
