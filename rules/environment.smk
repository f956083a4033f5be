"""Environment of all programs and caching between workflows. Included after the rules, which it modifies."""

@lru_cache(maxsize=None)
def shell_yaml_path(kind, name):
    """Path of a task, model, ... YAML as a shell expression; the user's own files are in another folder."""
    return f"${'RETRACE_OWN' if settings.is_own(kind, name) else 'RETRACE_CONFIG'}/{kind}/{name}.yaml"


NAMED_FILES = {
    "task_file": lambda w: shell_yaml_path("tasks", w.task),
    "model_file": lambda w: shell_yaml_path("models", w.model),
}

for each in workflow.modifier.rules:
    for name, path in NAMED_FILES.items():
        if f"{{params.{name}}}" in (each.shellcmd or ""):
            each.set_params(**{name: path})
    if each.shellcmd and each.conda_env is None:  # a rule's own environment takes precedence
        each.conda_env = str(ROOT / "envs/retrace.yaml")
    # `--cache RULE`: Snakemake rejects cached rules with a benchmark, because a restored job would not write one.
    if each.name in (workflow.workflow_settings.cache or ()):
        each._benchmark = None
