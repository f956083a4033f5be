"""Helpers only, no rules: before a run (one in a folder at a time, what a killed one left, what cannot run), and after."""

from retrace.run_guard import RunGuard

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


def show_measured_results():
    """Print what was measured, for the result files that were asked for."""
    targets = targets_asked_for() or default_targets()
    found = [target for target in targets if target.endswith(".json") and Path(target).exists()]
    if found:
        subprocess.run([sys.executable, str(SCRIPTS / "show_results.py"), *found], check=False)


tidy_up_after_a_killed_run()
