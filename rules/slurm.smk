"""SLURM resources of every rule. Included last, because it modifies all rules defined before it."""

from retrace.machine.cluster import slurm_resources
from retrace.machine.site_checks import Job, check_site


def resource_value(resource, wildcards, context, otherwise):
    """Value of a rule's resource for a job; `otherwise` if the rule does not set it."""
    return (resource.evaluate(wildcards, **context).value if resource else None) or otherwise


def slurm_resource(name, gpus, nodes):
    """Resources function: one SLURM resource, computed from the job's GPUs and nodes."""
    return lambda wildcards, **context: slurm_resources(
        settings.values.slurm,
        resource_value(gpus, wildcards, context, 0),
        resource_value(nodes, wildcards, context, 1),
    )[name]


def set_slurm_resources():
    """Set the site's partition, account and GPU request on every rule that is not local.

    Values from a rule, the profile or `--set-resources` take precedence.
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
    """The request that a job will make to SLURM."""
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
    """Before the first submission: stop if SLURM or its nodes cannot run the planned jobs."""
    if workflow.local_exec or workflow.executor_plugin.name != "slurm":
        return
    if not settings.values.slurm:
        raise WorkflowError(
            "the configuration has no section `slurm`: use --workflow-profile profiles/slurm, and if you use "
            "--configfile too, put the site's file first: --configfile profiles/slurm/site.yaml YOURS"
        )
    submitted = [job for job in workflow.dag.needrun_jobs() if not job.is_local]
    jobs = [slurm_job(job) for job in submitted]
    jobs.sort(key=lambda job: (job.rule, job.about))  # name the same job each time among equal requests
    check_site(jobs, settings.values.slurm, Path.cwd(), [SCRIPTS, Path(sys.executable)])
    if settings.values.slurm.offline_nodes:
        planned = [(job.rule.name, job.wildcards) for job in submitted]
        preflight.prefetch_models(settings, planned, "for nodes without a network")
