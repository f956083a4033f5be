"""Hooks before, during and after a run: locking, checks, progress and printed results. Defines no rules."""

from snakemake.cli import get_argument_parser
from snakemake.logging import logger as snakemake_logger
from snakemake.settings.enums import Quietness

from retrace.machine.live import JobEvents
from retrace.machine.run_guard import RunGuard
from retrace.machine.tracking import check_installed
from retrace.workflow import preflight

run_guard = RunGuard()


def command_line():
    """The parsed command line, which Snakemake does not expose while it reads the rules.

    None inside a job, and when another workflow imports these rules.
    """
    if is_module or not workflow.is_main_process or "snakemake" not in sys.argv[0]:
        return None
    return get_argument_parser().parse_known_args(sys.argv[1:])[0]


def clean_up_killed_run():
    """Before planning: release a stale lock, and report anything else that a killed run left behind."""
    args = command_line()
    if args is None:
        return
    try:
        for note in run_guard.start(unlocking=args.unlock, dry_run=args.dryrun):
            print(note, file=sys.stderr)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def check_path_prefix():
    """Reject a path prefix set by an importing workflow: programs also use paths that no rule declares."""
    modifier = workflow.modifier.path_modifier
    while modifier:
        if modifier.prefix or modifier.modifies_prefixes:
            raise WorkflowError(
                "the rules of Retrace cannot be used with `prefix` or `replace_prefix`: leave it out; results are made "
                "in results/ of the folder that Snakemake works in (--directory)"
            )
        modifier = modifier.inner_modifier


def lock_run_folder():
    """Before the first job: lock the working folder against a second run."""
    try:
        run_guard.hold()
    except UserError as error:
        raise WorkflowError(str(error)) from None


def check_requirements():
    """Before the first job: check that GPUs, embedders, Hub models and experiment trackers are available."""
    jobs = list(workflow.dag.needrun_jobs())
    planned = [(job.rule.name, job.wildcards) for job in jobs]
    packages_are_ours = (
        not workflow.deployment_settings.deployment_method
    )  # otherwise jobs run in their own environment
    try:
        if settings.values.require_gpu and workflow.local_exec:
            preflight.check_gpus([job.wildcards.model for job in jobs if job.resources.get("gpus", 0)], place.devices)
        if packages_are_ours:
            check_installed(settings.values.logging.to)
        check_slurm_jobs()
        if packages_are_ours:
            preflight.check_embedders(settings, planned)
            preflight.check_backbones(settings, planned)
        if workflow.local_exec:
            why = "so that a wrong name is found before the first job"
            preflight.prefetch_models(settings, planned, why)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def show_progress():
    """From the first job on: one progress line per running job, and the error of each job that fails."""
    if not workflow.is_main_process:
        return
    quiet = workflow.output_settings.quiet or set()
    # Leave the terminal to a logger plugin that draws on it.
    plain = any(handler.name == "DefaultStreamHandler" for handler in snakemake_logger.handlers)
    shows = plain and not quiet & {Quietness.ALL, Quietness.PROGRESS}
    JobEvents(sys.stderr, shows).attach(snakemake_logger)


def print_results():
    """Print the measured values of the requested result files, and where the report is."""
    targets = requested_files() or default_targets(settings)
    found = [target for target in targets if target.endswith((".json", REPORT)) and Path(target).exists()]
    if found:
        subprocess.run([sys.executable, str(SCRIPTS / "show_results.py"), *found], check=False)


check_path_prefix()
clean_up_killed_run()
