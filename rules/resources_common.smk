"""Resources and params shared by many rules. Defines no rules."""

from retrace.machine.devices import visible_devices
from retrace.workflow.needs import SMALL_JOB, Needs, Place, copies_of, no_gpu

place = Place(
    here=runs_locally,
    planning=lambda: workflow.dryrun,
    limit=workflow.global_resources.get("gpus").value,
    count=lambda: len(visible_devices()),
)
# Concurrent jobs never request more GPUs than this machine has, unless the user sets another limit.
if place.here() and workflow.is_main_process and not place.planning() and place.limit is None and place.devices > 0:
    workflow.register_resource("gpus", place.devices)

needs = Needs(settings, place, WorkflowError)
gpus_of, needs_gpu = needs.gpus_of, needs.needs_gpu
to_train, training_needs, to_decode, hours = needs.to_train, needs.training_needs, needs.to_decode, needs.hours
memory, memory_of, memory_to_train, megabytes = needs.memory, needs.memory_of, needs.memory_to_train, needs.megabytes


def common_params(section=None):
    """Params of nearly all jobs: digests of task and model, and the options of a section."""
    argv = {"options": options(section), "speed": speed(section)} if section else {}
    return {"task": task_digest, "model": model_digest, **argv}


def training_params(folder, section, names_model=True, files=None):
    """Params of a training: those of `common_params`, and the folder of its trainer state.

    names_model: whether the rule's command has `{MODEL}`; otherwise the model's YAML is added for the model card alone.
    files: gives further files of the user's that it reads.
    """

    def without_effect(wildcards, threads):
        return [*speed(section)(wildcards, threads), *card_arguments(wildcards, names_model)]

    noticed = {"model": noticing(model_digest, files)} if files else {}
    return {**common_params(section), **noticed, "state": f"{folder}/state", "speed": without_effect}


def card_arguments(wildcards, names_model):
    """Arguments of a training that only its model card tells: checkpoint, system, preset, and the base model.

    They stand where what only changes speed stands, so that a change here (another preset with the same options) trains
    nothing again.
    """
    name = checkpoint_of(wildcards) or "base"
    told = {"--checkpoint": name, "--system": settings.checkpoints.system_of(name), "--preset": settings.preset_name}
    words = [word for option, value in told.items() for word in (option, shlex.quote(value))]
    return words if names_model else [*words, "--model-file", shell_yaml_path("models", wildcards.model)]


def speed(section=None):
    """Params function: arguments that only change speed.

    Snakemake does not compare params that depend on the threads, so that changing these reruns nothing.

    Args:
        section: Dotted name of the section; by default that of the job's decoder.
    """

    def argv(wildcards, threads):
        return [*section_argv(wildcards, section)[1]]

    return argv


def decoding_speed(wildcards, threads):
    """Params function: `speed`, and whether guided decoding keeps its candidates, which changes no prediction."""
    algorithm = settings.decoder_files.algorithm(base_decoder(wildcards.decoder))
    keeps = ["--keep-candidates", settings.values.keep_candidates]
    return [
        *speed()(wildcards, threads),
        *(keeps if "keep_candidates" in algorithm.command_options.model_fields else []),
    ]
