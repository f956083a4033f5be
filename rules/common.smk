"""Helpers only, no rules: the settings, and functions whose names read as sentences in the rules."""

import gc
import json
import re
import shlex
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

from snakemake.exceptions import WorkflowError

if not (ROOT / "scripts/retrace").is_dir():
    raise WorkflowError(f"{ROOT}: the rules need the programs beside them; clone the repository and name its Snakefile")

sys.path.insert(0, str(ROOT / "scripts"))
from retrace.workflow import definitions
from retrace.workflow.commands import benchmarks, logs, on_devices, printed, program, run, training
from retrace.workflow.default_targets import default_targets
from retrace.workflow import jobs
from retrace.workflow.names import base_decoder
from retrace.cli import arguments_of
from retrace.sections import speed_options
from retrace.errors import UserError
from retrace.workflow.environment import prefix_of_jobs
from retrace.workflow.shards import limit_of
from retrace.workflow.declared import section_classes
from retrace.workflow.jobs import checkpoint_of
from retrace.workflow.settings import Settings
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS

# A plan is made of many objects that stay: looking through them for garbage time and again took an eighth of its time.
gc.set_threshold(200_000, 50, 100)

NAME = r"[a-z0-9]+(?:_[a-z0-9]+)*"
SCRIPTS = ROOT / "scripts"
CONFIG = ROOT / "config"

try:
    # The user's own tasks, models, checkpoints, ... lie in config/ of the folder that the run is in, or where `own` says.
    settings = Settings(config, CONFIG, Path("config"))
except UserError as error:
    raise WorkflowError(str(error)) from None


def runs_locally():
    """Whether jobs are started here, and not submitted, nor is this the Snakemake inside a submitted job."""
    return workflow.local_exec and not workflow.remote_exec


class RetraceShell(shell):
    """The shell of these rules: the prefix of their commands is none of a workflow that takes them as a module."""


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
    """The checkpoint that a round of a loop starts from."""
    return settings.previous_round(w.task, w.model, loop, int(number))


DECODED = settings.checkpoints.pattern()  # the names of all checkpoints that answer questions


def checkpoint_names(*roots):
    """A wildcard constraint: the names of checkpoints that these rules make, those of variants too."""
    return one_of(settings.checkpoints.variants(*roots))


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


# ---------------------------------------------------------------- configuration


def values_of(w):
    """The configuration as it holds for a job: for its task and model, and for what its checkpoint and decoder set."""
    return jobs.values_of(settings, w)


def section_of(w, name):
    """One section of the configuration as it holds for a job: `sft`, `dpo_st.sft`."""
    return settings.option(values_of(w), name)


def options(section=None, of=checkpoint_of):
    """A params function: the command-line words of a section, those of `speed` left out; default: of the job's decoder.

    of: a function of the wildcards that names the checkpoint whose options they are.
    """
    return lambda wildcards: [*section_argv(wildcards, section, of)[0]]


def section_argv(w, section, of=checkpoint_of):
    """See `section_argv_of`."""
    decoder = getattr(w, "decoder", None)
    return section_argv_of(w.task, jobs.model_of(settings, w), section, decoder, settings.variants(of(w), decoder))


@lru_cache(maxsize=None)
def section_argv_of(task, model, section, decoder, variants):
    """The command-line words of one section, quoted for the shell; those of the options that change no result apart.

    Asked for every job. section: None for the decoder's own.
    """
    values = settings.values_of_variants(task, model, variants)
    values = settings.option(values, section or settings.decoder(decoder).section)
    if section is None and decoder != base_decoder(decoder):
        values = values.model_copy(update={"calculator": False})
    fast = speed_options(values)
    groups = set(type(values).model_fields) - fast, fast
    return tuple([shlex.quote(word) for word in arguments_of(values, names)] for names in groups)


def task_digest(wildcards):
    """Changes with the task's meaning, not with its title or the source of its rows."""
    return definitions.of_task(settings.task(wildcards.task))


def split_digest(wildcards):
    """Changes with where a split's rows come from."""
    try:
        return definitions.of_split(settings.task(wildcards.task), wildcards.split)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def model_digest(wildcards):
    return definitions.of_model(settings.model(wildcards.model))


def examples_digest(wildcards):
    """Changes with the source of the worked examples in Learn-to-Reason's prompts."""
    authors_examples_file(wildcards.task)
    return definitions.digest(settings.task(wildcards.task).learn_to_reason.model_dump(mode="json"))


def method_seeds(wildcards):
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)


def common_seeds(wildcards):
    """The seeds of a comparison: those that both methods have."""
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method_a, wildcards.method_b)


def system_seeds(system):
    """A params function: the seeds of a system's methods."""
    return lambda wildcards: settings.seeds(wildcards.task, wildcards.model, system)


# ---------------------------------------------------------------- artifacts


def data_file(task, split):
    return f"results/data/{task}/{split}.jsonl"


def authors_examples_file(task):
    """The file of the worked examples that Learn-to-Reason's own prompts begin with."""
    if settings.task(task).learn_to_reason is None:
        raise WorkflowError(
            f"task {task} has no worked examples for Learn-to-Reason's prompts; name some in config/tasks/{task}.yaml "
            "(learn_to_reason), or set learn_to_reason.form to steps or learn_to_reason_zero_shot"
        )
    return f"results/data/{task}/learn_to_reason_examples.txt"


def run_folder(w):
    return f"results/{w.task}/{w.model}/seed{w.seed}"


def checkpoint_folder(w, checkpoint):
    """The model folder of a checkpoint; a Hub model's `base` is the same for all tasks and seeds.

    Before the first round of a loop it may be that of another checkpoint.
    """
    made = settings.weights_of(w.task, w.model, settings.standing(w.task, w.model, checkpoint))
    if made == "base" and settings.model(w.model).scratch is None:
        return f"results/models/{w.model}"
    return f"{run_folder(w)}/{made}/model"


def split_for(split):
    """An input function: the split that the system of the job's checkpoint reads as its train, dev or test."""

    def data(w):
        try:
            return data_file(w.task, settings.split(w.task, w.model, checkpoint_of(w), split))
        except UserError as error:
            raise WorkflowError(str(error)) from None

    return data


def form_option(w):
    """The words that tell a program in which form the job's checkpoint writes, if unusual."""
    return option_for_form(settings.form(w.task, w.model, checkpoint_of(w)), w.task)


def option_for_form(form, task):
    """The words that tell a script of a text form; Learn-to-Reason's brings the file of its worked examples."""
    if form == "steps":
        return ""
    return f"--form {form}:{authors_examples_file(task)}" if form == "learn_to_reason" else f"--form {form}"


def prompt_examples(w):
    """The worked examples that stand in the prompts of the checkpoint's form, where there are any."""
    with_examples = settings.form(w.task, w.model, checkpoint_of(w)) == "learn_to_reason"
    return {"examples": authors_examples_file(w.task)} if with_examples else {}


def base_model_folder(wildcards):
    return checkpoint_folder(wildcards, "base")


def generator_folder(wildcards):
    return checkpoint_folder(wildcards, wildcards.generator)


def decoded_checkpoint_folder(wildcards):
    return checkpoint_folder(wildcards, wildcards.checkpoint)


def start_folder(wildcards):
    """The model folder of what the job's checkpoint starts from, by its file in config/checkpoints."""
    named = settings.checkpoints.parse(checkpoint_of(wildcards))
    return checkpoint_folder(wildcards, named.kind.starts_from)


def part_of(w, root):
    """The checkpoint of that kind (`explicit_cot`) that the job's checkpoint is made from."""
    parts = settings.checkpoints.parse(checkpoint_of(w)).kind.made_from
    return next(name for name in parts if settings.checkpoints.root(name) == root)


def part_folder(root):
    """An input function: the model folder of a part of the job's checkpoint."""
    return lambda w: checkpoint_folder(w, part_of(w, root))


def hub_model_folder(name):
    """The folder of a model of config/models, fetched at its pinned revision."""
    return f"results/models/{name}"


def backbone_folder(section):
    """An input function: the folder of the encoder that a section's training starts from, if it is a model of ours."""

    def backbone(wildcards):
        name = section_of(wildcards, section).backbone
        return {"backbone": hub_model_folder(name)} if name in settings.models else {}

    return backbone


def optional_argument(inputs, option, name):
    """A params function: `--option FOLDER`, quoted for the shell, for an input that is there at times only."""
    return lambda wildcards: shlex.join([option, inputs(wildcards)[name]]) if name in inputs(wildcards) else ""


def guide_folder(w, generator, guide):
    """The network that was trained beside a generator, or the released one that the configuration names."""
    option = settings.checkpoints[guide].released
    released = option and settings.option(settings.for_target(w.task, w.model, f"{generator}_{guide}"), option)
    return hub_model_folder(released) if released else f"{run_folder(w)}/{generator}_{guide}/model"


def trajectories_file(w, file="trajectories.jsonl"):
    """A file of the trajectories that the job's network is trained on; a variant may share those of what it extends."""
    return f"{run_folder(w)}/{w.generator}_{settings.checkpoints.own_trajectories(w.guide)}/{file}"


def guide_section(wildcards):
    """The section of the network that guides the job's decoder; None where none does."""
    return guide_section_of(wildcards.task, wildcards.model, wildcards.decoder, jobs.variants_of(settings, wildcards))


@lru_cache(maxsize=None)
def guide_section_of(task, model, decoder, variants):
    named = settings.decoder(decoder)
    if named.guide is None:
        return None
    options = settings.option(settings.values_of_variants(task, model, variants), named.section)
    return settings.checkpoints.files.ancestors(named.guide)[-1] if getattr(options, "beta", None) != 0 else None


def guidance(wildcards):
    """Inputs that only guided decoding needs: the network, and the choices made on the development split."""
    kind = guide_section(wildcards)
    if kind is None:
        return {}
    guide = settings.decoder(wildcards.decoder).guide
    needed = {kind: guide_folder(wildcards, wildcards.checkpoint, guide)}
    if getattr(section_of(wildcards, settings.decoder(wildcards.decoder).section), "beta", None) == "choose":
        needed["choices"] = f"{run_folder(wildcards)}/{wildcards.checkpoint}_{guide}/choices.json"
    return needed


def decoder_arguments(wildcards):
    """The words that tell decode.py which algorithm, with which options and which guidance."""
    argv = [settings.decoder(wildcards.decoder).algorithm, *options()(wildcards)]
    for name, path in guidance(wildcards).items():
        argv += [f"--{name}", path]
    return argv


def corpus_files(wildcards):
    """Corpus files for a from-scratch model, where the task brings some."""
    splits = settings.task(wildcards.task).splits
    return {split: data_file(wildcards.task, split) for split in ("corpus", "corpus_dev") if split in splits}


def corpus_arguments(wildcards):
    names = {"corpus": "--corpus", "corpus_dev": "--corpus-dev"}
    return [word for split, path in corpus_files(wildcards).items() for word in (names[split], path)]
