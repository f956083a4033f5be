"""The environment of all programs, named once, and what is shared between workflows. Included after the rules."""


def shell_yaml_path(kind, name):
    """The file of a task, a model, ... as commands write it: one of the user's own lies elsewhere than the shipped ones."""
    return f"${'RETRACE_OWN' if settings.is_own(kind, name) else 'RETRACE_CONFIG'}/{kind}/{name}.yaml"


NAMED_FILES = {
    "task_file": lambda w: shell_yaml_path("tasks", w.task),
    "model_file": lambda w: shell_yaml_path("models", w.model),
}

for each in workflow.modifier.rules:
    for name, words in NAMED_FILES.items():
        if f"{{params.{name}}}" in (each.shellcmd or ""):
            each.set_params(**{name: words})
    if each.shellcmd and each.conda_env is None:  # what a rule says of its own stands
        each.conda_env = str(ROOT / "envs/retrace.yaml")
    # `--cache RULE`: Snakemake refuses a rule with a benchmark, which a job that was not run could not write.
    if each.name in (workflow.workflow_settings.cache or ()):
        each._benchmark = None
