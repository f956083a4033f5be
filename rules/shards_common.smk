"""Helpers only, no rules: into how many jobs a step is split, and the files of all of them."""

from operator import attrgetter


def shards_of(pattern, number):
    """An input function: the files of all shards of a step, in their order; `number` says how many there are."""
    return lambda wildcards: expand(pattern, shard=range(number(wildcards)), **dict(wildcards.items()))


def number_of_shards(step, made_by, words, inputs, *names):
    """A function of the job's wildcards: as many shards as `shards` says for the step (sample, decode), or more where
    one would take longer than `shards.longest_hours` by the estimate.

    made_by: name of what makes the shards. words: a function that gives the options of the job's command; those that only change
    its speed are left out, since changing them redoes nothing. inputs: one that gives the files it reads. names: the
    wildcards, beside task and model, that make a difference.
    """
    found = {}
    what_matters = attrgetter("task", "model", *names)

    def number(wildcards):
        key = what_matters(wildcards)
        if key not in found:
            shards = values_of(wildcards).shards
            least = getattr(shards, step)
            hours = shards.longest_hours
            found[key] = number_by_estimate(least, hours, wildcards) if hours else least
        return found[key]

    def number_by_estimate(least, hours, wildcards):
        from retrace.planning.jobs import Job, options_of
        from retrace.planning.shards import shards_within
        from retrace.systems.costs import register_formulas

        register_formulas()

        task, model = wildcards.task, settings.model(wildcards.model)
        wanted = values_of(wildcards).launch.gpus
        limits = {split: limit_of(SimpleNamespace(task=task, split=split)) for split in settings.task(task).splits}
        job = Job(
            made_by,
            {"task": task, "model": wildcards.model, **{name: getattr(wildcards, name) for name in names}},
            options=options_of(map(str, [*words(wildcards), "--batch-size", "auto"])),
            # What the configuration asks for, and not what this machine has: a job on a node plans, too.
            gpus=min(1, wanted) if wanted >= 0 else int(model.scratch is None),
            threads=getattr(settings.values.threads, step),
            input=inputs(wildcards),
        )
        return shards_within(hours, least, job, limits, CONFIG)

    return number


decode_shards = number_of_shards(
    "decode",
    "decode",
    lambda w: decoder_arguments(w),
    lambda w: [data_of(w.task, w.split)],
    "checkpoint",
    "decoder",
    "split",
)
sample_shards = number_of_shards(
    "sample",
    "sample_trajectories",
    lambda w: options("sample")(w),
    lambda w: [split_for("train")(w)],
    "generator",
    "guide",
)
round_shards = number_of_shards(
    "sample",
    "sample_round",
    lambda w: [*sampled_questions(w).split(), *sampling_options(w)],
    lambda w: [split_for("train")(w)],
    "loop",
    "round",
)
