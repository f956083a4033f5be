"""Helpers of GRACE only, no rules: what sampling shows and finds, embedder, entailment model, discriminator, and what
guides decoding."""

from retrace.systems.grace.reach import what_cannot_be_found


def shows_examples(wildcards):
    """Whether the prompts of the job's generator hold worked examples, as those of frozen models do."""
    form = settings.form(wildcards.task, wildcards.model, wildcards.generator)
    return settings.model(wildcards.model).generator == "base" and form == "steps"


def the_drawn_examples(wildcards):
    """The worked examples that each pass of sampling draws from, where it shall: those for sampling, or else those of
    the prompts, or else the training questions."""
    wanted, task = settings.for_target(wildcards.task, wildcards.model).sample, settings.task(wildcards.task)
    if not wanted.demonstrations_per_pass or not shows_examples(wildcards):
        return {}
    apart = [name for name in (SAMPLING_DEMONSTRATIONS, DEMONSTRATIONS) if definitions.examples_apart(task, name)]
    return {"demonstrations": data_of(wildcards.task, [*apart, "train"][0])}


def options_of_trajectories(wildcards):
    """The words of `sample`; what cannot be found with them is said while planning."""
    say_what_cannot_be_found(wildcards.task, wildcards.model, wildcards.generator)
    section = section_of(wildcards, "sample")
    if not the_drawn_examples(wildcards):
        section = section.model_copy(update={"demonstrations_per_pass": 0})
    return arguments_of(section, set(type(section).model_fields) - speed_options(section))


@lru_cache(maxsize=None)
def say_what_cannot_be_found(task, model, generator):
    if not workflow.is_main_process:
        return
    values, split = settings.for_target(task, model), settings.split(task, model, generator, "train")
    limit = limit_of(settings, task, split)
    if note := what_cannot_be_found(settings.task(task), split, limit, values.sample):
        print(f"note: {model} on {task}: {note}", file=sys.stderr)


def what_was_sampled(wildcards):
    """What sampling looked for and found, one file a seed, for results that rest on a network trained on it."""
    method = settings.method(wildcards.method)
    trained = settings.checkpoint(wildcards.task, wildcards.model, wildcards.method)
    guided = guide_of(wildcards.task, wildcards.model, method.decoder) is not None
    released = settings.for_target(wildcards.task, wildcards.model).discriminator.released
    if method.decoder != "verifier" and (not guided or released):
        return {}
    folders = [f"results/{wildcards.task}/{wildcards.model}/seed{seed}" for seed in seeds_of_the_method(wildcards)]
    return {"sampling": [f"{folder}/{trained}_discriminator/trajectories.counts.jsonl" for folder in folders]}


def sampling_score_arguments(wildcards):
    files = what_was_sampled(wildcards).get("sampling", [])
    return ["--sampling", *files] if files else []


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


def judge_needs_gpu(wildcards):
    """An entailment model takes a GPU where the other models do; the task's own rule for right steps takes none."""
    pair = settings.for_target(wildcards.task, wildcards.model).pair
    return needs_gpu(wildcards) if pair.step_judge == "entailment" else 0


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
