"""Helpers only, no rules: before a run (one in a folder at a time, what a killed one left, what cannot run), during it (how
far the jobs are), and after."""

from snakemake.logging import logger as snakemake_logger
from snakemake.settings.enums import Quietness

from retrace.systems.grace.embedding import check_embedder
from retrace.models.hub import local_folder
from retrace.machine.live import JobEvents
from retrace.machine.run_guard import RunGuard
from retrace.machine.tracking import check_installed

run_guard = RunGuard()


def tidy_up_after_a_killed_run():
    """Before planning: release the lock that nobody holds any more, and date files of the future back."""
    if is_module or not workflow.is_main_process:
        return
    try:
        for note in run_guard.start(unlocking="--unlock" in sys.argv):
            print(note, file=sys.stderr)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def refuse_moved_paths():
    """Stop where another workflow takes the rules with other paths: programs are told paths that no rule names."""
    modifier = workflow.modifier.path_modifier
    while modifier:
        if modifier.prefix or modifier.modifies_prefixes:
            raise WorkflowError(
                "the rules of Retrace cannot be used with `prefix` or `replace_prefix`: leave it out; results are made "
                "in results/ of the folder that Snakemake works in (--directory)"
            )
        modifier = modifier.inner_modifier


def hold_this_folder():
    """Before the first job: refuse a second run in the same folder."""
    try:
        run_guard.hold()
    except UserError as error:
        raise WorkflowError(str(error)) from None


def refuse_what_cannot_run():
    """Before the first job: stop where jobs need a GPU and this machine, on which they would run, has none."""
    if not settings.values.require_gpu or not workflow.local_exec:
        return
    needing = [job for job in workflow.dag.needrun_jobs() if job.resources.get("gpus", 0)]
    if needing and not place.devices:
        models = sorted({job.wildcards.model for job in needing})
        raise WorkflowError(
            f"{len(needing)} jobs for {', '.join(models)} need a GPU and this machine shows none. Two ways on: "
            "submit to a cluster (--workflow-profile profiles/slurm), or run the small models here "
            "(--workflow-profile profiles/tiny). To try it on the processor all the same: --config require_gpu=false"
        )


def hub_ids_of(job):
    """Models of the Hub (OWNER/NAME) that the job reads and that are no inputs, as those of config/models are."""
    named = []
    if job.rule.name == "align_steps":
        named.append(section_of(job.wildcards, "align").embedder)
    if job.rule.name == "make_pairs" and section_of(job.wildcards, "pair").step_judge == "entailment":
        named.append(section_of(job.wildcards, "pair").entailment_model)
    if job.rule.name in ("train_discriminator", "train_verifier"):
        named.append(section_of(job.wildcards, job.rule.name.removeprefix("train_")).backbone)
    return [
        name
        for name in named
        if name not in settings.models and len(Path(name).parts) == 2 and ":" not in name and not Path(name).is_dir()
    ]


def fetch_beforehand(jobs, why):
    """Fill the Hub's cache with what no rule fetches (HF_HOME, in the home folder unless you moved it)."""
    for name in sorted({name for job in jobs for name in hub_ids_of(job)}):
        print(f"note: fetching {name} into the Hub's cache, {why}", file=sys.stderr)
        hub, _, revision = name.partition("@")
        local_folder(hub, revision or None, settings.values.mirror)


def refuse_what_is_missing():
    """Before the first job: stop where a step that comes late would find no embedder, or no model of the Hub."""
    jobs = list(workflow.dag.needrun_jobs())
    try:
        if not workflow.deployment_settings.deployment_method:  # else the packages are in the jobs' own environment
            for job in jobs:
                if job.rule.name == "align_steps" and not section_of(job.wildcards, "align").skip_alignment:
                    given = section_of(job.wildcards, "align")
                    check_embedder(given.embedder, given.embedder_url)
        if workflow.local_exec:
            fetch_beforehand(jobs, "so that a wrong name is known before the first job")
    except UserError as error:
        raise WorkflowError(str(error)) from None


def refuse_missing_trackers():
    """Before the first job: stop where trainings shall report to a tracker that is not installed."""
    if workflow.deployment_settings.deployment_method:
        return  # jobs have an environment of their own; each training looks there
    try:
        check_installed(settings.values.logging.to)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def follow_the_jobs():
    """From the first job on: one line a running job, and the error of each that fails, whatever else is quiet."""
    if not workflow.is_main_process:
        return
    quiet = workflow.output_settings.quiet or set()
    # A logger plugin that draws on the terminal is left alone.
    plain = any(handler.name == "DefaultStreamHandler" for handler in snakemake_logger.handlers)
    shows = plain and not quiet & {Quietness.ALL, Quietness.PROGRESS}
    JobEvents(sys.stderr, shows).attach(snakemake_logger)


def show_measured_results():
    """Print what was measured, for the result files that were asked for."""
    targets = targets_asked_for() or default_targets(settings)
    found = [target for target in targets if target.endswith(".json") and Path(target).exists()]
    if found:
        subprocess.run([sys.executable, str(SCRIPTS / "show_results.py"), *found], check=False)


refuse_moved_paths()
tidy_up_after_a_killed_run()
