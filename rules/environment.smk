"""The environment of all programs, named once, and what is shared between workflows. Included after the rules."""

for each in workflow.modifier.rules:
    if each.shellcmd and each.conda_env is None:  # what a rule says of its own stands
        each.conda_env = str(ROOT / "envs/retrace.yaml")
    # `--cache RULE`: Snakemake refuses a rule with a benchmark, which a job that was not run could not write.
    if each.name in (workflow.workflow_settings.cache or ()):
        each._benchmark = None
