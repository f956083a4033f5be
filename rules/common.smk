"""Helpers only, no rules: the settings, and functions whose names read as sentences in the rules."""

import gc
import hashlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from retrace.cli import arguments_of
from retrace.config_types import speed_options
from retrace.errors import UserError
from retrace.evaluation.reported import sections_behind
from retrace.settings import Settings, section_classes

# A plan is made of many objects that stay: looking through them for garbage time and again took an eighth of its time.
gc.set_threshold(200_000, 50, 100)

NAME = r"[a-z0-9]+(?:_[a-z0-9]+)*"
SCRIPTS = Path(workflow.basedir) / "scripts"
CONFIG = Path(workflow.basedir) / "config"
SPLITS_ELSEWHERE = {"data", "models", "tables", "figures", "dag", "report", "matrix"}
GUIDED_DECODERS = {
    "grace": "grace",
    "grace_self_consistency": "grace_self_consistency",
    "stepwise": "stepwise",
}

try:
    settings = Settings(config, CONFIG)
except UserError as error:
    raise WorkflowError(str(error)) from None


def runs_on_this_machine():
    """Whether jobs are started here, and not submitted, nor is this the Snakemake inside a submitted job."""
    return workflow.local_exec and not workflow.remote_exec


def environment_of_jobs():
    """Shell words that every command starts with.

    Paths are handed over here and not as parameters of the rules: a checkout or mirror that moved redoes nothing.
    """
    values = {
        "RETRACE_SCRIPTS": SCRIPTS,
        "RETRACE_CONFIG": CONFIG,
        # Jobs on this machine take its GPUs by locks; those of a cluster have what it granted.
        "RETRACE_DEVICES": "shared" if runs_on_this_machine() else "allocated",
        "RETRACE_REQUIRE_GPU": "yes" if settings.values.require_gpu else "no",
    }
    if settings.values.mirror:
        values["RETRACE_MIRROR"] = settings.values.mirror
    # True in a job on a node; what stays on the login node may download.
    if workflow.remote_exec and settings.values.slurm and settings.values.slurm.offline_nodes:
        values["HF_HUB_OFFLINE"] = 1
    words = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in values.items())
    # Jobs find the interpreter that runs Snakemake, also where its environment was not activated; conda has its own.
    path = "" if workflow.deployment_settings.deployment_method else f' PATH="{Path(sys.executable).parent}:$PATH"'
    return f"set -euo pipefail; export {words}{path}; "


shell.prefix(environment_of_jobs())

# ---------------------------------------------------------------- targets


def targets_asked_for():
    """Result files on the command line (Snakemake reads the rules before it looks at its targets)."""
    return [word for word in sys.argv[1:] if word.startswith("results/")]


def explain_wrong_targets():
    """Stop with the valid names where a target's task, model or method is none."""
    for target in targets_asked_for():
        parts = Path(target).parts
        if len(parts) < 3 or parts[0] != "results" or parts[1] in SPLITS_ELSEWHERE:
            continue
        try:
            settings.task(parts[1])
            if len(parts) == 3 and parts[2].endswith("_acc.json"):
                settings.method(parts[2].removesuffix("_acc.json"))
            if len(parts) > 3:
                settings.generator_model(parts[2])
            if len(parts) == 4 and parts[3].endswith("_acc.json"):
                settings.method(parts[3].removesuffix("_acc.json"))
            if len(parts) == 5 and parts[3] == "compare" and "_vs_" in parts[4]:
                for method in parts[4].removesuffix(".json").split("_vs_", 1):
                    settings.method(method)
        except UserError as error:
            raise WorkflowError(f"{target}: {error}") from None


explain_wrong_targets()

FAMILY = [
    "greedy",
    "beam",
    "self_consistency",
    "verifier",
    "stepwise",
    "grace",
    "grace_self_consistency",
]
RIVALS = ["greedy", "self_consistency", "stepwise"]


def default_targets():
    """What `snakemake` alone builds: the paper's table, or the embedded default where the preset is a small one."""
    model = settings.values.headline_models["default"]
    if settings.model(model).scratch is None:
        return ["results/tables/grace_table1.html"]
    model = settings.headline_model("arithmetic")
    folder = f"results/arithmetic/{model}"
    return [
        *[
            f"{folder}/seed{seed}/{settings.generator('arithmetic', model)}_discriminator/report.json"
            for seed in seeds()
        ],
        *[f"{folder}/{method}_acc.json" for method in FAMILY],
        *[f"{folder}/compare/grace_vs_{rival}.json" for rival in RIVALS],
        f"{folder}/grace_beta_sweep.svg",
        "results/configuration.yaml",
    ]


def one_of(names):
    """A wildcard constraint: exactly these names."""
    return "(?:" + "|".join(re.escape(name) for name in names) + ")"


# ---------------------------------------------------------------- configuration


def section_of(wildcards, name):
    """One section of the configuration, as it holds for the job's task and model."""
    model = getattr(wildcards, "model", None) or settings.headline_model(wildcards.task)
    return getattr(settings.for_target(wildcards.task, model), name)


def options(section):
    """A params function: the command-line words of one section, those of `speed` left out."""

    def words(wildcards):
        values = section_of(wildcards, section)
        return arguments_of(values, set(type(values).model_fields) - speed_options(values))

    return words


def speed(section=None):
    """A params function: the words of the options that change no result; section: default, that of the job's decoder.

    Snakemake does not compare parameters that ask for the threads, so that changing these redoes nothing.
    """

    def words(wildcards, threads):
        values = section_of(wildcards, section or wildcards.decoder)
        return arguments_of(values, speed_options(values))

    return words


def digest(value):
    """Short checksum of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def what_defines_the_task(wildcards):
    """Changes with the task's meaning, not with its title: a parameter, so that jobs run again when it changes.

    Where the rows come from is left out: a job sees another split by its input.
    """
    task = settings.task(wildcards.task)
    return digest(task.model_dump(mode="json", exclude={"title", "about", "paper_names", "rows", "splits"}))


def what_defines_the_split(wildcards):
    """Changes with where a split's rows come from."""
    splits = settings.task(wildcards.task).splits
    source = splits.get(wildcards.split)
    if source is None:
        raise WorkflowError(f"task {wildcards.task} has no split {wildcards.split}; it has {', '.join(splits)}")
    origin = splits[source.part_of].model_dump(mode="json") if source.part_of else None
    return digest([source.model_dump(mode="json"), origin])


def what_defines_the_model(wildcards):
    model = settings.model(wildcards.model)
    return digest(model.model_dump(mode="json", exclude={"title", "paper_names", "parameters", "license_note"}))


def limit_of(wildcards):
    """How many rows of this split are used; -1: all."""
    return getattr(settings.values.limits, wildcards.split, -1)


def seeds():
    return settings.values.seeds


# ---------------------------------------------------------------- artifacts


def data_of(task, split):
    return f"results/data/{task}/{split}.jsonl"


def shards_of(pattern, count):
    """The files of all shards of a step, in their order."""
    return expand(pattern, shard=range(count))


def run_folder(w):
    return f"results/{w.task}/{w.model}/seed{w.seed}"


def checkpoint_folder(w, checkpoint):
    """The model folder of a checkpoint; a Hub model's `base` is the same for all tasks and seeds."""
    if checkpoint == "base" and settings.model(w.model).scratch is None:
        return f"results/models/{w.model}"
    return f"{run_folder(w)}/{checkpoint}/model"


def the_base_model(wildcards):
    return checkpoint_folder(wildcards, "base")


def the_generator(wildcards):
    return checkpoint_folder(wildcards, wildcards.generator)


def the_decoded_checkpoint(wildcards):
    return checkpoint_folder(wildcards, wildcards.checkpoint)


def pinned(name):
    """The folder of a model of config/models, fetched at its pinned revision."""
    return f"results/models/{name}"


def the_embedder(wildcards):
    """The folder of the embedder, where it is a model of ours."""
    name = settings.for_target(wildcards.task, wildcards.model).align.embedder
    return {"embedder": pinned(name)} if name in settings.models else {}


def the_entailment_model(wildcards):
    """The folder of the model that judges symbolic steps, where one shall and is a model of ours."""
    pair = settings.for_target(wildcards.task, wildcards.model).pair
    used = pair.step_judge == "entailment" and pair.entailment_model in settings.models
    return {"entailment_model": pinned(pair.entailment_model)} if used else {}


def the_backbone(section):
    """An input function: the folder of the encoder that a section's training starts from, where it is a model of ours."""

    def backbone(wildcards):
        name = getattr(settings.for_target(wildcards.task, wildcards.model), section).backbone
        return {"backbone": pinned(name)} if name in settings.models else {}

    return backbone


def option_from(inputs, option, name):
    """A params function: `--option FOLDER` for an input that is there at times only."""
    return lambda wildcards: (f"{option} {inputs(wildcards)[name]}" if name in inputs(wildcards) else "")


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


def guided_options(wildcards):
    return getattr(
        settings.for_target(wildcards.task, wildcards.model),
        GUIDED_DECODERS[wildcards.decoder],
    )


def guidance(wildcards):
    """Inputs that only guided decoding needs: the discriminator, and the choices made on the development split."""
    if wildcards.decoder not in GUIDED_DECODERS or guided_options(wildcards).beta == 0:
        return {}
    needed = {"discriminator": discriminator_folder(wildcards, wildcards.checkpoint)}
    if guided_options(wildcards).beta == "choose":
        needed["choices"] = f"{run_folder(wildcards)}/{wildcards.checkpoint}_discriminator/choices.json"
    return needed


def decoder_arguments(wildcards):
    """The words that tell decode.py which decoder, with which options and which guidance."""
    words = ["guided" if wildcards.decoder in GUIDED_DECODERS else wildcards.decoder]
    words += options(wildcards.decoder)(wildcards)
    for name, path in guidance(wildcards).items():
        words += [f"--{name}", path]
    return words


def sweep_arguments(wildcards):
    sweep = settings.for_target(wildcards.task, wildcards.model).sweep
    words = ["--limit", str(sweep.limit), "--betas", *map(str, sweep.betas)]
    return words + (["--temperatures", *map(str, sweep.temperatures)] if sweep.temperatures else [])


def the_related_corpus(wildcards):
    """Corpus files for a from-scratch model, where the task brings some."""
    splits = settings.task(wildcards.task).splits
    return {split: data_of(wildcards.task, split) for split in ("corpus", "corpus_dev") if split in splits}


def corpus_arguments(wildcards):
    names = {"corpus": "--corpus", "corpus_dev": "--corpus-dev"}
    return [word for split, path in the_related_corpus(wildcards).items() for word in (names[split], path)]


# ---------------------------------------------------------------- before and after


def refuse_what_cannot_run():
    """Before the first job: stop where jobs need a GPU and this machine, on which they would run, has none."""
    if not settings.values.require_gpu or not workflow.local_exec:
        return
    needing = [job for job in workflow.dag.needrun_jobs() if job.resources.get("gpus", 0)]
    if needing and not devices_here():
        models = sorted({job.wildcards.model for job in needing})
        raise WorkflowError(
            f"{len(needing)} jobs for {', '.join(models)} need a GPU and this machine shows none. Two ways on: "
            "submit to a cluster (--workflow-profile profiles/slurm), or run the small models here "
            "(--workflow-profile profiles/tiny). To try it on the processor all the same: --config require_gpu=false"
        )


def show_measured_results():
    """Print what was measured, for the result files that were asked for."""
    targets = targets_asked_for() or default_targets()
    found = [target for target in targets if target.endswith(".json") and Path(target).exists()]
    if found:
        subprocess.run([sys.executable, str(SCRIPTS / "show_results.py"), *found], check=False)
