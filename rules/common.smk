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
from retrace.workflow.names import helped_decoder, round_of, system_of
from retrace.cli import arguments_of
from retrace.sections import speed_options
from retrace.errors import UserError
from retrace.workflow.environment import prefix_of_jobs
from retrace.workflow.shards import limit_of
from retrace.workflow.settings import Settings, section_classes
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS

# A plan is made of many objects that stay: looking through them for garbage time and again took an eighth of its time.
gc.set_threshold(200_000, 50, 100)

NAME = r"[a-z0-9]+(?:_[a-z0-9]+)*"
SCRIPTS = ROOT / "scripts"
CONFIG = ROOT / "config"
GUIDED_DECODERS = ["grace", "grace_self_consistency", "stepwise"]
SECTIONS_OF_DECODERS = {"samples": "dpo_st.samples"}  # where they are not called as the decoder
# What decode.py calls a decoder, if not by its name.
COMMANDS = {
    **dict.fromkeys(GUIDED_DECODERS, "guided"),
    "samples": "self_consistency",
}

try:
    settings = Settings(config, CONFIG)
except UserError as error:
    raise WorkflowError(str(error)) from None


def runs_on_this_machine():
    """Whether jobs are started here, and not submitted, nor is this the Snakemake inside a submitted job."""
    return workflow.local_exec and not workflow.remote_exec


class RetraceShell(shell):
    """The shell of these rules: the prefix of their commands is none of a workflow that takes them as a module."""


RetraceShell.prefix(
    prefix_of_jobs(
        settings,
        ROOT,
        here=runs_on_this_machine(),
        on_node=workflow.remote_exec,
        own_packages=not workflow.deployment_settings.deployment_method,
    )
)
shell = RetraceShell


def round_before(w, loop, number):
    """The checkpoint that a round of a loop starts from."""
    return settings.round_before(w.task, w.model, loop, int(number))


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


# ---------------------------------------------------------------- configuration


def section_of(wildcards, name):
    """One section of the configuration, as it holds for the job's task and model: `sft`, `dpo_st.sft`, or a decoder's,
    with its calculator switched off where the decoder's name says so."""
    model = getattr(wildcards, "model", None) or settings.headline_model(wildcards.task)
    section = settings.for_target(wildcards.task, model)
    for part in SECTIONS_OF_DECODERS.get(helped_decoder(name), helped_decoder(name)).split("."):
        section = getattr(section, part)
    return section if name == helped_decoder(name) else section.model_copy(update={"calculator": False})


def options(section):
    """A params function: the command-line words of one section, those of `speed` left out."""

    return lambda wildcards: [*words_of(wildcards.task, getattr(wildcards, "model", None), section)[0]]


@lru_cache(maxsize=None)
def words_of(task, model, section):
    """The command-line words of one section, quoted for the shell; those of the options that change no result apart.

    Asked for every job.
    """
    values = section_of(SimpleNamespace(task=task, model=model), section)
    fast = speed_options(values)
    groups = set(type(values).model_fields) - fast, fast
    return tuple([shlex.quote(word) for word in arguments_of(values, names)] for names in groups)


def what_defines_the_task(wildcards):
    """Changes with the task's meaning, not with its title or the source of its rows."""
    return definitions.of_task(settings.task(wildcards.task))


def what_defines_the_split(wildcards):
    """Changes with where a split's rows come from."""
    try:
        return definitions.of_split(settings.task(wildcards.task), wildcards.split)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def what_defines_the_model(wildcards):
    return definitions.of_model(settings.model(wildcards.model))


def where_the_examples_are(wildcards):
    """Changes with the source of the worked examples in Learn-to-Reason's prompts."""
    examples_of_the_authors(wildcards.task)
    return definitions.digest(settings.task(wildcards.task).learn_to_reason.model_dump(mode="json"))


def seeds_of_the_method(wildcards):
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method)


def seeds_of_both(wildcards):
    """The seeds of a comparison: those that both methods have."""
    return settings.seeds_of(wildcards.task, wildcards.model, wildcards.method_a, wildcards.method_b)


def seeds_of_system(system):
    """A params function: the seeds of a system's methods."""
    return lambda wildcards: settings.seeds(wildcards.task, wildcards.model, system)


# ---------------------------------------------------------------- artifacts


def data_of(task, split):
    return f"results/data/{task}/{split}.jsonl"


def examples_of_the_authors(task):
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

    In Learn-to-Reason's own form the student before the first round is the base model, asked in that form.
    """
    untaught = system_of(checkpoint) == "learn_to_reason" and round_of(checkpoint) == 0
    made = settings.untaught(w.task, w.model) if untaught else checkpoint
    if made == "base" and settings.model(w.model).scratch is None:
        return f"results/models/{w.model}"
    return f"{run_folder(w)}/{made}/model"


def split_for(split, checkpoint="generator"):
    """An input function: the split that the system of the job's checkpoint reads as its train, dev or test."""
    return lambda w: data_of(w.task, settings.split(w.task, w.model, getattr(w, checkpoint), split))


def text_form(checkpoint="generator"):
    """A params function: the words that tell a program in which form the job's checkpoint writes, if unusual."""
    return lambda w: words_of_form(settings.form(w.task, w.model, getattr(w, checkpoint)), w.task)


def words_of_form(form, task):
    """The words that tell a script of a text form; Learn-to-Reason's brings the file of its worked examples."""
    if form == "steps":
        return ""
    return f"--form {form}:{examples_of_the_authors(task)}" if form == "learn_to_reason" else f"--form {form}"


def examples_in_prompts(checkpoint):
    """An input function: the worked examples that stand in the prompts of a checkpoint's form, where there are any.

    checkpoint: the wildcard that names it, or a function that does.
    """

    def examples(w):
        name = checkpoint(w) if callable(checkpoint) else getattr(w, checkpoint)
        with_examples = settings.form(w.task, w.model, name) == "learn_to_reason"
        return {"examples": examples_of_the_authors(w.task)} if with_examples else {}

    return examples


def the_base_model(wildcards):
    return checkpoint_folder(wildcards, "base")


def the_generator(wildcards):
    return checkpoint_folder(wildcards, wildcards.generator)


def the_decoded_checkpoint(wildcards):
    return checkpoint_folder(wildcards, wildcards.checkpoint)


def pinned(name):
    """The folder of a model of config/models, fetched at its pinned revision."""
    return f"results/models/{name}"


def the_backbone(section):
    """An input function: the folder of the encoder that a section's training starts from, if it is a model of ours."""

    def backbone(wildcards):
        name = getattr(settings.for_target(wildcards.task, wildcards.model), section).backbone
        return {"backbone": pinned(name)} if name in settings.models else {}

    return backbone


def option_from(inputs, option, name):
    """A params function: `--option FOLDER`, quoted for the shell, for an input that is there at times only."""
    return lambda wildcards: shlex.join([option, inputs(wildcards)[name]]) if name in inputs(wildcards) else ""


def decoder_arguments(wildcards):
    """The words that tell decode.py which decoder, with which options and which guidance."""
    decoder = helped_decoder(wildcards.decoder)
    words = [COMMANDS.get(decoder, decoder), *options(wildcards.decoder)(wildcards)]
    for name, path in guidance(wildcards).items():
        words += [f"--{name}", path]
    return words


def the_related_corpus(wildcards):
    """Corpus files for a from-scratch model, where the task brings some."""
    splits = settings.task(wildcards.task).splits
    return {split: data_of(wildcards.task, split) for split in ("corpus", "corpus_dev") if split in splits}


def corpus_arguments(wildcards):
    names = {"corpus": "--corpus", "corpus_dev": "--corpus-dev"}
    return [word for split, path in the_related_corpus(wildcards).items() for word in (names[split], path)]
