"""Checks of requested targets, included last, so that a wrong one is explained before Snakemake searches for a rule."""

import os

from retrace.workflow.targets import FORMS_IN_WORDS, Targets


def requested_targets():
    """Targets on the command line, as typed."""
    args = command_line()
    return (args and args.targets) or []


def requested_files():
    """Result files on the command line, as normalized paths (`./results/...` becomes `results/...`)."""
    relative = [os.path.normpath(word) for word in requested_targets() if not os.path.isabs(word)]
    return [word for word in relative if word.startswith("results/")]


def check_targets():
    """Stop with the valid names if a target's task, model, method, table or path is unknown or does not fit."""
    targets = Targets(settings)
    names = [each.name for each in workflow.rules if not each.has_wildcards()]
    try:
        for word in requested_targets():
            if reason := targets.explain_word(word, Path.cwd(), names):
                raise UserError(f"{word}: {reason}")
        # Faults that input functions would come upon are said here, in short.
        if "data" in requested_targets():
            settings.all_tasks()
        by_default = workflow.is_main_process and not is_module and not requested_targets()
        for target in default_targets(settings) if by_default else ():
            targets.check(target)
        for target in requested_files():
            targets.check(target)
            if not any(each.is_producer(target) for each in workflow.rules):
                raise UserError(f"{target}: no rule makes this file; {FORMS_IN_WORDS}")
    except UserError as error:
        raise WorkflowError(str(error)) from None


def show_faults():
    """Say which YAMLs are left out because they are faulty; what needs one is refused."""
    if workflow.is_main_process:
        for fault in settings.faults():
            print(f"note: left out, since nothing here needs it: {fault}", file=sys.stderr)


check_targets()
show_faults()
