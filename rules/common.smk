"""Settings and helper functions shared by all rules. Defines no rules."""

import gc
import json
import re
import shlex
import subprocess
import sys
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

from retrace.workflow import definitions
from retrace.workflow.commands import benchmarks, logs, on_devices, printed, program, run, training
from retrace.workflow.default_targets import REPORT, compared_results, default_targets
from retrace.workflow import jobs
from retrace.workflow.names import base_decoder
from retrace.cli import arguments_of
from retrace.sections import speed_options
from retrace.workflow.environment import prefix_of_jobs
from retrace.workflow.shards import limit_of
from retrace.workflow.declared import section_classes
from retrace.workflow.jobs import checkpoint_of
from retrace.workflow.settings import Settings
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS

# The job graph is many long-lived objects: default thresholds spend an eighth of the planning time on collection.
gc.set_threshold(200_000, 50, 100)

NAME = r"[a-z0-9]+(?:_[a-z0-9]+)*"
MEASURE = r"(?:tokens|pass_at_[1-9]\d*)"
SCRIPTS = ROOT / "scripts"
CONFIG = ROOT / "config"

try:
    # The user's own tasks, models, checkpoints, ... are read from config/ in the working folder, or from `own`.
    settings = Settings(config, CONFIG, Path("config"), configuration_files)
except UserError as error:
    raise WorkflowError(str(error)) from None


def runs_locally():
    """Whether jobs run on this machine: not submitted, and not the Snakemake process inside a submitted job."""
    return workflow.local_exec and not workflow.remote_exec


class RetraceShell(shell):
    """The shell of these rules: its command prefix does not apply to a workflow that imports them as a module."""


RetraceShell.prefix(
    prefix_of_jobs(
        settings,
        ROOT,
        here=runs_locally(),
        on_node=workflow.remote_exec,
        own_packages=not workflow.deployment_settings.deployment_method,
    )
)
shell = RetraceShell


def previous_round(w, loop, number):
    """Name of the checkpoint that a round of a loop starts from."""
    return settings.previous_round(w.task, w.model, loop, int(number))


DECODED = settings.checkpoints.pattern()  # matches every checkpoint that can be decoded


def checkpoint_names(*roots):
    """Wildcard constraint: these checkpoints and their variants."""
    return one_of(settings.checkpoints.variants(*roots))


def one_of(names):
    """Wildcard constraint: exactly these names."""
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


# ---------------------------------------------------------------- configuration


# Params and input functions ask for the configuration of their job: values_of(wildcards).
values_of = partial(jobs.values_of, settings)


def section_of(w, name):
    """One section of a job's configuration, for instance `sft` or `dpo_st.sft`."""
    return settings.option(values_of(w), name)


def options(section=None, of=checkpoint_of):
    """Params function: the command-line arguments of a section that can change results.

    Args:
        section: Dotted name of the section; by default that of the job's decoder.
        of: Maps wildcards to the checkpoint whose options are used.
    """
    return lambda wildcards: [*section_argv(wildcards, section, of)[0]]


def section_argv(w, section, of=checkpoint_of):
    """Arguments of one section for a job; see `section_argv_of`."""
    decoder = getattr(w, "decoder", None)
    return section_argv_of(w.task, jobs.model_of(settings, w), section, decoder, settings.variants(of(w), decoder))


@lru_cache(maxsize=None)
def section_argv_of(task, model, section, decoder, variants):
    """Shell-quoted arguments of one section (None: the decoder's own). Cached, because every job needs them.

    Returns:
        Arguments that can change results, and arguments that only change speed.
    """
    values = settings.values_of_variants(task, model, variants)
    values = settings.option(values, section or settings.decoder(decoder).section)
    if section is None and decoder != base_decoder(decoder):
        values = values.model_copy(update={"calculator": False})
    fast = speed_options(values)
    groups = set(type(values).model_fields) - fast, fast
    return tuple([shlex.quote(word) for word in arguments_of(values, names)] for names in groups)


# Needed for every planned job.
digest_of_task = lru_cache(maxsize=None)(lambda name: definitions.of_task(settings.task(name)))
digest_of_model = lru_cache(maxsize=None)(lambda name: definitions.of_model(settings.model(name)))


def task_digest(wildcards):
    """Digest of what a task means; its title and the source of its rows do not count."""
    return digest_of_task(wildcards.task)


def split_digest(wildcards):
    """Digest of where a split's rows come from."""
    try:
        return definitions.of_split(settings.task(wildcards.task), wildcards.split)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def model_digest(wildcards):
    """Digest of a model's definition."""
    return digest_of_model(wildcards.model)


def examples_digest(wildcards):
    """Digest of the source of the worked examples in Learn-to-Reason's prompts."""
    authors_examples_file(wildcards.task)
    return definitions.digest(settings.task(wildcards.task).learn_to_reason.model_dump(mode="json"))


def method_seeds(wildcards):
    """Seeds of the job's method."""
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)


def common_seeds(wildcards):
    """Seeds that both methods of a comparison have."""
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method_a, wildcards.method_b)


def system_seeds(system):
    """Params function: the seeds of a system's methods."""
    return lambda wildcards: settings.seeds(wildcards.task, wildcards.model, system)


# ---------------------------------------------------------------- artifacts


def data_file(task, split):
    """Path of the examples of a split."""
    return f"results/data/{task}/{split}.jsonl"


def authors_examples_file(task):
    """Path of the worked examples at the start of Learn-to-Reason's own prompts."""
    if settings.task(task).learn_to_reason is None:
        raise WorkflowError(
            f"task {task} has no worked examples for Learn-to-Reason's prompts; name some in config/tasks/{task}.yaml "
            "(learn_to_reason), or set learn_to_reason.form to steps or learn_to_reason_zero_shot"
        )
    return f"results/data/{task}/learn_to_reason_examples.txt"


def all_targets(wildcards):
    """Input function: what `snakemake` alone makes."""
    try:
        return default_targets(settings)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def all_data(wildcards):
    """Input function: all splits of all tasks, and the authors' examples."""
    try:
        tasks = settings.all_tasks()
    except UserError as error:
        raise WorkflowError(str(error)) from None
    files = [data_file(task.name, split) for task in tasks for split in task.splits]
    files += [data_file(task.name, SAMPLING_DEMONSTRATIONS) for task in tasks if task.sampling_demonstrations]
    return files + [authors_examples_file(task.name) for task in tasks if task.learn_to_reason]


def run_folder(w):
    """Folder of everything trained for the job's task, model and seed."""
    return f"results/{w.task}/{w.model}/seed{w.seed}"


def checkpoint_folder(w, checkpoint):
    """Model folder of a checkpoint.

    A Hub model's `base` is shared by all tasks and seeds. Round 0 of a loop may be an alias of another checkpoint.
    """
    made = settings.weights_of(w.task, w.model, settings.standing(w.task, w.model, checkpoint))
    if made == "base" and settings.model(w.model).scratch is None:
        return f"results/models/{w.model}"
    return f"{run_folder(w)}/{made}/model"


def split_for(split):
    """Input function: the split that the system of the job's checkpoint uses as its train, dev or test split."""

    def data(w):
        try:
            return data_file(w.task, settings.split(w.task, w.model, checkpoint_of(w), split))
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return data


def form_option(w):
    """The `--form` argument for the job's checkpoint; empty for the default form."""
    return option_for_form(settings.form(w.task, w.model, checkpoint_of(w)), w.task)


def option_for_form(form, task):
    """The `--form` argument for a text form; Learn-to-Reason's includes its file of worked examples."""
    if form == "steps":
        return ""
    return f"--form {form}:{authors_examples_file(task)}" if form == "learn_to_reason" else f"--form {form}"


def prompt_examples(w):
    """Input function: the worked examples in the prompts of the checkpoint's form, if it has any."""
    with_examples = settings.form(w.task, w.model, checkpoint_of(w)) == "learn_to_reason"
    return {"examples": authors_examples_file(w.task)} if with_examples else {}


def base_model_folder(wildcards):
    """Folder of the job's base model."""
    return checkpoint_folder(wildcards, "base")


def generator_folder(wildcards):
    """Model folder of the generator that is sampled."""
    return checkpoint_folder(wildcards, wildcards.generator)


def decoded_checkpoint_folder(wildcards):
    """Model folder of the checkpoint that is decoded."""
    return checkpoint_folder(wildcards, wildcards.checkpoint)


def start_folder(wildcards):
    """Model folder that the job's checkpoint starts from (`starts_from` in config/checkpoints)."""
    named = settings.checkpoints.parse(checkpoint_of(wildcards))
    return checkpoint_folder(wildcards, named.kind.starts_from)


def part_of(w, root):
    """The checkpoint among `made_from` of the job's checkpoint that is `root` or a variant of it."""
    parts = settings.checkpoints.parse(checkpoint_of(w)).kind.made_from
    return next(name for name in parts if settings.checkpoints.root(name) == root)


def part_folder(root):
    """Input function: model folder of a checkpoint that the job's checkpoint is made from."""
    return lambda w: checkpoint_folder(w, part_of(w, root))


def hub_model_folder(name):
    """Folder of a model in config/models, fetched at its pinned revision."""
    return f"results/models/{name}"


def backbone_folder(section):
    """Input function: folder of the encoder that a training starts from, if it is a model in config/models."""

    def backbone(wildcards):
        name = section_of(wildcards, section).backbone
        return {"backbone": hub_model_folder(name)} if settings.has_model(name) else {}

    return backbone


def optional_argument(inputs, option, name):
    """Params function: shell-quoted `--option PATH` for an optional input; empty if the job does not have it."""
    return lambda wildcards: shlex.join([option, inputs(wildcards)[name]]) if name in inputs(wildcards) else ""


def guide_folder(w, generator, guide):
    """Folder of the network trained for a generator, or of the released one that the configuration names."""
    option = settings.checkpoints[guide].released
    released = option and settings.option(settings.for_target(w.task, w.model, f"{generator}_{guide}"), option)
    return hub_model_folder(released) if released else f"{run_folder(w)}/{generator}_{guide}/model"


def trajectories_file(w, file="trajectories.jsonl"):
    """A trajectories file for the job's network; a variant may share the trajectories of what it extends."""
    return f"{run_folder(w)}/{w.generator}_{settings.checkpoints.own_trajectories(w.guide)}/{file}"


def guide_section(wildcards):
    """Name of the network that guides the job's decoder; None for unguided decoding."""
    return guide_section_of(wildcards.task, wildcards.model, wildcards.decoder, jobs.variants_of(settings, wildcards))


@lru_cache(maxsize=None)
def guide_section_of(task, model, decoder, variants):
    """See `guide_section`; with beta 0 no network is needed."""
    named = settings.decoder(decoder)
    if named.guide is None:
        return None
    options = settings.option(settings.values_of_variants(task, model, variants), named.section)
    return settings.checkpoints.files.ancestors(named.guide)[-1] if getattr(options, "beta", None) != 0 else None


def guidance(wildcards):
    """Input function: what only guided decoding needs, the network and the values chosen on the development split."""
    kind = guide_section(wildcards)
    if kind is None:
        return {}
    guide = settings.decoder(wildcards.decoder).guide
    needed = {kind: guide_folder(wildcards, wildcards.checkpoint, guide)}
    if getattr(section_of(wildcards, settings.decoder(wildcards.decoder).section), "beta", None) == "choose":
        needed["choices"] = f"{run_folder(wildcards)}/{wildcards.checkpoint}_{guide}/choices.json"
    return needed


def decoder_arguments(wildcards):
    """Params function: algorithm, options and guidance as arguments of decode.py."""
    argv = [settings.decoder(wildcards.decoder).algorithm, *options()(wildcards)]
    for name, path in guidance(wildcards).items():
        argv += [f"--{name}", path]
    return argv


def corpus_files(wildcards):
    """Input function: corpus files for a model trained from scratch, if the task has any."""
    splits = settings.task(wildcards.task).splits
    return {split: data_file(wildcards.task, split) for split in ("corpus", "corpus_dev") if split in splits}


def corpus_arguments(wildcards):
    """Params function: `corpus_files` as arguments of train_base.py."""
    names = {"corpus": "--corpus", "corpus_dev": "--corpus-dev"}
    return [word for split, path in corpus_files(wildcards).items() for word in (names[split], path)]
