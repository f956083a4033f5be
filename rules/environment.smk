"""The environment of all programs, named once. Included after the rules; what a rule says of its own stands."""

for each in workflow.modifier.rules:
    if each.shellcmd and each.conda_env is None:
        each.conda_env = str(ROOT / "envs/retrace.yaml")
