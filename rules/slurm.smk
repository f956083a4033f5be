"""What SLURM is told of every job. Helpers only, included last: it goes over the rules that are there by then."""

from retrace.machine.cluster import slurm_resources
from retrace.machine.site_checks import Job, check_site


def resource_value(resource, wildcards, context, otherwise):
    """What a rule's resource comes to for a job; `otherwise` where the rule has none, or says nothing here."""
    return (resource.evaluate(wildcards, **context).value if resource else None) or otherwise


def slurm_resource(name, gpus, nodes):
    """A resources function: what SLURM is told under that name, by the GPUs and the nodes that the job asks for."""
    return lambda wildcards, **context: slurm_resources(
        settings.values.slurm,
        resource_value(gpus, wildcards, context, 0),
        resource_value(nodes, wildcards, context, 1),
    )[name]


def set_slurm_resources():
    """Give every rule that is no local one the partition, the account and the GPUs as the site names them.

    What a rule, the profile or `--set-resources` says stands.
    """
    for each in workflow.modifier.rules:
        if each.name in workflow._localrules:
            continue
        own = dict(each.resources)
        for name, value in slurm_resources(settings.values.slurm, 0).items():
            if name not in own or name == "nodes":
                by_job = "gpus" in own or "nodes" in own
                each.resources[name] = slurm_resource(name, own.get("gpus"), own.get("nodes")) if by_job else value


if settings.values.slurm:
    set_slurm_resources()


# ---------------------------------------------------------------- before the first job


def slurm_job(job):
    """What SLURM will be asked for."""
    return Job(
        job.rule.name,
        ", ".join(job.wildcards),
        told={name: job.resources.get(name) for name in slurm_resources(settings.values.slurm, 0)},
        gpus=job.resources.get("gpus", 0),
        threads=job.threads,
        memory_mb=job.resources.get("mem_mb", 0),
        minutes=job.resources.get("runtime", 0),
        weights_mb=needs.weights_mb(job.rule.name, job.wildcards),
    )


def check_slurm_jobs():
    """Before the first job is submitted: stop where SLURM or its nodes cannot run what is to come."""
    if workflow.local_exec or workflow.executor_plugin.name != "slurm":
        return
    if not settings.values.slurm:
        raise WorkflowError(
            "the configuration has no section `slurm`: use --workflow-profile profiles/slurm, and where you give "
            "--configfile too, name the site's file first: --configfile profiles/slurm/site.yaml YOURS"
        )
    submitted = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    jobs = [slurm_job(job) for job in submitted]
    jobs.sort(key=lambda job: (job.rule, job.about))  # of jobs that ask for the same the same one is named each time
    check_site(jobs, settings.values.slurm, Path.cwd(), [SCRIPTS, Path(sys.executable)])
    if settings.values.slurm.offline_nodes:
        planned = [(job.rule.name, job.wildcards) for job in submitted]
        preflight.prefetch_models(settings, planned, "for nodes without a network")
