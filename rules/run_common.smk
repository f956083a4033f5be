"""Helpers only, no rules: before a run (one in a folder at a time, what a killed one left, what cannot run), during it (how
far the jobs are), and after."""

from snakemake.logging import logger as snakemake_logger
from snakemake.settings.enums import Quietness

from retrace.live import JobEvents
from retrace.run_guard import RunGuard
from retrace.tracking import check_installed

run_guard = RunGuard()


def tidy_up_after_a_killed_run():
    """Before planning: release the lock that nobody holds any more, and date files of the future back."""
    if not workflow.is_main_process:
        return
    try:
        for note in run_guard.start(unlocking="--unlock" in sys.argv):
            print(note, file=sys.stderr)
    except UserError as error:
        raise WorkflowError(str(error)) from None


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
    if needing and not devices_here():
        models = sorted({job.wildcards.model for job in needing})
        raise WorkflowError(
            f"{len(needing)} jobs for {', '.join(models)} need a GPU and this machine shows none. Two ways on: "
            "submit to a cluster (--workflow-profile profiles/slurm), or run the small models here "
            "(--workflow-profile profiles/tiny). To try it on the processor all the same: --config require_gpu=false"
        )


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
    targets = targets_asked_for() or default_targets()
    found = [target for target in targets if target.endswith(".json") and Path(target).exists()]
    if found:
        subprocess.run([sys.executable, str(SCRIPTS / "show_results.py"), *found], check=False)


tidy_up_after_a_killed_run()
