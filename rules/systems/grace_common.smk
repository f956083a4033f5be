"""Helpers of GRACE only, no rules: what sampling shows and finds, embedder, entailment model, discriminator, and what
guides decoding."""

from retrace.systems.grace.reach import unreachable_note


def has_prompt_examples(wildcards):
    """Whether the prompts of the job's generator hold worked examples, as those of frozen models do."""
    form = settings.form(wildcards.task, wildcards.model, wildcards.generator)
    return settings.model(wildcards.model).generator == "base" and form == "steps"


def drawn_examples(wildcards):
    """The worked examples that each pass of sampling draws from, where it shall: those for sampling, or else those of
    the prompts, or else the training questions."""
    wanted, task = values_of(wildcards).sample, settings.task(wildcards.task)
    if not wanted.demonstrations_per_pass or not has_prompt_examples(wildcards):
        return {}
    apart = [name for name in (SAMPLING_DEMONSTRATIONS, DEMONSTRATIONS) if definitions.examples_apart(task, name)]
    return {"demonstrations": data_file(wildcards.task, [*apart, "train"][0])}


def sampling_arguments(wildcards):
    """The words of `sample`; what cannot be found with them is said while planning."""
    variants = jobs.variants_of(settings, wildcards)
    warn_unreachable(wildcards.task, wildcards.model, wildcards.generator, variants)
    section = section_of(wildcards, "sample")
    if not drawn_examples(wildcards):
        section = section.model_copy(update={"demonstrations_per_pass": 0})
    return arguments_of(section, set(type(section).model_fields) - speed_options(section))


@lru_cache(maxsize=None)
def warn_unreachable(task, model, generator, variants):
    if not workflow.is_main_process:
        return
    values, split = settings.values_of_variants(task, model, variants), settings.split(task, model, generator, "train")
    limit = limit_of(settings, task, split)
    if note := unreachable_note(settings.task(task), split, limit, values.sample):
        print(f"note: {model} on {task}: {note}", file=sys.stderr)


def use_option(wildcards):
    """A params function: how a model is tried out once it is fetched; most need no trial."""
    if wildcards.model in settings.named("align.embedder"):
        return "--used-as embedder"
    return "--used-as discriminator" if wildcards.model in settings.named("discriminator.released") else ""


def embedder_folder(wildcards):
    """The folder of the embedder, where it is a model of ours."""
    name = values_of(wildcards).align.embedder
    return {"embedder": hub_model_folder(name)} if name in settings.models else {}


def entailment_model_folder(wildcards):
    """The folder of the model that judges symbolic steps, where one shall and is a model of ours."""
    pair = values_of(wildcards).pair
    used = pair.step_judge == "entailment" and pair.entailment_model in settings.models
    return {"entailment_model": hub_model_folder(pair.entailment_model)} if used else {}


def judge_needs_gpu(wildcards):
    """An entailment model takes a GPU where the other models do; the task's own rule for right steps takes none."""
    pair = values_of(wildcards).pair
    return needs_gpu(wildcards) if pair.step_judge == "entailment" else 0


def discriminator_folder(wildcards):
    return guide_folder(wildcards, wildcards.generator, wildcards.guide)


def training_report(wildcards):
    """Pair accuracies, where the discriminator was trained here and is no released one."""
    if values_of(wildcards).discriminator.released:
        return {}
    return {"report": f"{run_folder(wildcards)}/{wildcards.generator}_{wildcards.guide}/pair_accuracy.json"}


def sweep_arguments(wildcards):
    sweep = values_of(wildcards).sweep
    argv = ["--limit", str(sweep.limit), "--betas", *map(str, sweep.betas)]
    return argv + (["--temperatures", *map(str, sweep.temperatures)] if sweep.temperatures else [])
