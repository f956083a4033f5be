"""Helpers only, no rules; included last: a wrong target is explained before Snakemake looks for a rule."""

from snakemake.cli import get_argument_parser


def words_asked_for():
    """The targets on the command line (Snakemake reads the rules before it looks at its targets)."""
    if not workflow.is_main_process or "snakemake" not in sys.argv[0]:
        return []
    return get_argument_parser().parse_known_args(sys.argv[1:])[0].targets or []


def targets_asked_for():
    """Result files on the command line."""
    return [word for word in words_asked_for() if word.startswith("results/")]


def explain_wrong_targets():
    """Stop with the valid names where a target's task, model, method, table or form is none, or where they do not fit."""
    targets = Targets(settings)
    rules = [rule.name for rule in workflow.rules if not rule.has_wildcards()]
    for word in map(str, words_asked_for()):
        try:
            if reason := targets.explain_word(word, Path.cwd(), rules):
                raise UserError(reason)
            if word.startswith("results/"):
                targets.check(word)
        except UserError as error:
            raise WorkflowError(f"{word}: {error}") from None


explain_wrong_targets()
