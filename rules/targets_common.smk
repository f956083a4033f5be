"""Helpers only, no rules; included last: a wrong target is explained before Snakemake looks for a rule."""

import os

from retrace.workflow.targets import FORMS_IN_WORDS, Targets


def requested_targets():
    """The targets on the command line."""
    args = command_line()
    return (args and args.targets) or []


def requested_files():
    """Result files on the command line, as Snakemake sees them (`./results/...` too)."""
    relative = [os.path.normpath(word) for word in requested_targets() if not os.path.isabs(word)]
    return [word for word in relative if word.startswith("results/")]


def check_targets():
    """Stop with the valid names where a target's task, model, method, table or form is unknown or they do not fit."""
    targets = Targets(settings)
    names = [each.name for each in workflow.rules if not each.has_wildcards()]
    try:
        for word in requested_targets():
            if reason := targets.explain_word(word, Path.cwd(), names):
                raise UserError(f"{word}: {reason}")
        for target in requested_files():
            targets.check(target)
            if not any(each.is_producer(target) for each in workflow.rules):
                raise UserError(f"{target}: no rule makes this file; {FORMS_IN_WORDS}")
    except UserError as error:
        raise WorkflowError(str(error)) from None


check_targets()
