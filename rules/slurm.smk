"""What SLURM is told of every job. Helpers only, included last: it goes over the rules that are there by then."""

from retrace.cluster import told_to_slurm
from retrace.site_checks import Job, refuse_for_slurm


def told(name, gpus):
    """A resources function: what SLURM is told under that name, by the GPUs that the job asks for."""
    return lambda wildcards, **context: told_to_slurm(
        settings.values.slurm, gpus.evaluate(wildcards, **context).value or 0
    )[name]


def send_rules_to_slurm():
    """Give every rule that is no local one the partition, the account and the GPUs as the site names them.

    What a rule, the profile or `--set-resources` says stands.
    """
    for each in workflow.rules:
        if each.name in workflow._localrules:
            continue
        for name, value in told_to_slurm(settings.values.slurm, 0).items():
            by_gpus = "gpus" in each.resources
            each.resources.setdefault(name, told(name, each.resources["gpus"]) if by_gpus else value)


if settings.values.slurm:
    send_rules_to_slurm()


# ---------------------------------------------------------------- before the first job


def weights_of(wildcards):
    """Memory in MB that the weights of the job's model take; 0 where it has none or a tiny one."""
    name = getattr(wildcards, "model", None)
    if name not in settings.models:
        return 0
    model = settings.model(name)
    return int((model.parameters or 0) * (4 if model.dtype == "float32" else 2) / 1e6)


def as_asked(job):
    """What SLURM will be asked for."""
    gpus = job.resources.get("gpus", 0)
    names = told_to_slurm(settings.values.slurm, 0)
    return Job(
        job.rule.name,
        ", ".join(job.wildcards),
        told={name: job.resources.get(name) for name in names},
        gpus=gpus,
        threads=job.threads,
        memory_mb=job.resources.get("mem_mb", 0),
        minutes=job.resources.get("runtime", 0),
        weights_mb=weights_of(job.wildcards),
    )


def refuse_what_slurm_cannot_run():
    """Before the first job is submitted: stop where SLURM or its nodes cannot run what is to come."""
    if workflow.local_exec or workflow.executor_plugin.name != "slurm":
        return
    if not settings.values.slurm:
        raise WorkflowError(
            "the configuration has no section `slurm`: use --workflow-profile profiles/slurm, and where you give "
            "--configfile too, name the site's file first: --configfile profiles/slurm/site.yaml YOURS"
        )
    jobs = [as_asked(job) for job in workflow.dag.needrun_jobs() if not job.is_local]
    try:
        refuse_for_slurm(jobs, settings.values.slurm, Path.cwd(), [SCRIPTS, Path(sys.executable)])
    except UserError as error:
        raise WorkflowError(str(error)) from None
