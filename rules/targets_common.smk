"""Helpers only, no rules; included last: a wrong target is explained before Snakemake looks for a rule."""

import os

from retrace.workflow.targets import FORMS_IN_WORDS, Targets


def words_asked_for():
    """The targets on the command line."""
    asked = asked_for()
    return (asked and asked.targets) or []


def targets_asked_for():
    """Result files on the command line, as Snakemake sees them (`./results/...` too)."""
    relative = [os.path.normpath(word) for word in words_asked_for() if not os.path.isabs(word)]
    return [word for word in relative if word.startswith("results/")]


def explain_wrong_targets():
    """Stop with the valid names where a target's task, model, method, table or form is unknown or they do not fit."""
    targets = Targets(settings)
    names = [each.name for each in workflow.rules if not each.has_wildcards()]
    try:
        for word in words_asked_for():
            if reason := targets.explain_word(word, Path.cwd(), names):
                raise UserError(f"{word}: {reason}")
        for target in targets_asked_for():
            targets.check(target)
            if not any(each.is_producer(target) for each in workflow.rules):
                raise UserError(f"{target}: no rule makes this file; {FORMS_IN_WORDS}")
    except UserError as error:
        raise WorkflowError(str(error)) from None


explain_wrong_targets()
