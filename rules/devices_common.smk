"""Helpers only, no rules: which GPUs a job gets, and how a training is spread over them."""

from retrace.machine.devices import visible_devices
from retrace.training.strategies import check_strategy
from retrace.errors import UserError


def devices_here():
    """How many GPUs this machine shows."""
    global _devices
    if _devices is None:
        _devices = len(visible_devices())
    return _devices


_devices = None
# Jobs side by side never ask for more GPUs than there are, unless the user sets another limit.
devices_limit_jobs = (
    runs_on_this_machine()
    and workflow.is_main_process
    and not workflow.dryrun
    and workflow.global_resources.get("gpus").value is None
    and devices_here() > 0
)
if devices_limit_jobs:
    workflow.register_resource("gpus", devices_here())


def trained_model(wildcards, section):
    """The model that a section is about: the job's own, or another one that the section names, as backbone or as
    released; the job's own without a section."""
    if section is None:
        return settings.model(wildcards.model)
    values = getattr(values_of(wildcards), section, None)
    name = getattr(values, "released", None) or getattr(values, "backbone", None)
    return settings.model(name if name in settings.models else wildcards.model)


def larger_model(wildcards, section):
    """The larger one of the job's own model and the one of a section (trained_model); its own without a section."""
    own, trained = settings.model(wildcards.model), trained_model(wildcards, section)
    more = (trained.scratch is None, trained.parameters or 0) > (own.scratch is None, own.parameters or 0)
    return trained if more else own


def gpus_of(wildcards, wanted, section=None):
    """So many GPUs of a node; -1: one for models too large for a processor, none for those made from scratch."""
    model = larger_model(wildcards, section)
    count = int(model.scratch is None) if wanted < 0 else wanted
    limit = workflow.global_resources.get("gpus").value
    if limit is not None and not devices_limit_jobs and count > limit:
        raise WorkflowError(
            f"launch.gpus is {count} for {wildcards.model} and the run may use {limit} (--resources gpus={limit}); "
            "change one of them"
        )
    if not runs_on_this_machine() or workflow.dryrun:
        return count
    if not settings.values.require_gpu and not devices_here():
        return 0  # tried on the processor all the same
    if count > devices_here() > 0:
        raise WorkflowError(
            f"launch.gpus is {count} for {wildcards.model} and this machine has {devices_here()}; lower it, "
            "or submit to a cluster (--workflow-profile profiles/slurm)"
        )
    return count


def needs_gpu(wildcards, section=None):
    """GPUs of a job that samples, decodes or scores, beside the encoder of a section or alone: one at most."""
    return min(1, gpus_of(wildcards, values_of(wildcards).launch.gpus, section))


def to_train(section):
    """The devices of a training: resources, and further words for the launcher."""

    def placement(wildcards):
        return values_of(wildcards).launch.of(section)

    def gpus(wildcards):
        given = placement(wildcards)
        count = gpus_of(wildcards, given.gpus, section)
        training = values_of(wildcards).trainings()[section]
        try:
            check_strategy(section, training, given.strategy, given.nodes * (count or given.processes or 1))
        except UserError as error:
            raise WorkflowError(f"{wildcards.task} with {wildcards.model}: {error}") from None
        return count

    def words(wildcards):
        given = placement(wildcards)
        if given.nodes > 1 and runs_on_this_machine() and not workflow.dryrun:
            raise WorkflowError(
                f"launch.nodes is {given.nodes} for {wildcards.model} and jobs run on this machine; set it to 1, "
                "or submit to a cluster (--workflow-profile profiles/slurm)"
            )
        processes = 0 if gpus(wildcards) else given.processes
        return f"--nodes {given.nodes} --processes {processes} --strategy {given.strategy}"

    def across_nodes(value):
        """A resource of trainings on several nodes only; the SLURM plugin then leaves it to the launcher to call srun."""
        return lambda wildcards: value(placement(wildcards).nodes) if placement(wildcards).nodes > 1 else None

    return {
        "gpus": gpus,
        "launch": words,
        "nodes": across_nodes(lambda nodes: nodes),
        "tasks": across_nodes(lambda nodes: nodes),
        "tasks_per_gpu": across_nodes(lambda nodes: 0),
        "mpi": across_nodes(lambda nodes: "srun"),
    }
