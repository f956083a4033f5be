"""Helpers of the rules name only what there is: a name that is misspelt would be found by the one target that needs it."""

import subprocess
import sys
from pathlib import Path

RULES = Path(__file__).parents[2] / "rules"
SNAKEMAKES_OWN = ["workflow", "config", "shell", "expand", "ancient"]
SNAKEFILES_OWN = ["ROOT", "is_module"]


def test_every_name_in_the_helpers_is_defined(tmp_path) -> None:
    first = [RULES / name for name in ("configuration_common.smk", "common.smk", "user_files_common.smk")]
    files = dict.fromkeys(
        [*first, *sorted(RULES.rglob("*_common.smk")), RULES / "environment.smk", RULES / "slurm.smk"]
    )
    whole = tmp_path / "helpers.py"
    whole.write_text("\n".join(path.read_text(encoding="utf-8") for path in files))
    own = ",".join(f'"{name}"' for name in [*SNAKEMAKES_OWN, *SNAKEFILES_OWN])
    command = ["ruff", "check", "--isolated", "--select", "F821", "--config", f"builtins=[{own}]", str(whole)]
    done = subprocess.run([str(Path(sys.executable).parent / command[0]), *command[1:]], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_system_is_found_by_its_files(copied_project, workflow_class, tmp_path) -> None:
    project = copied_project()
    (project / "rules/systems/extra_common.smk").write_text('WORD = "extra"\n')
    rule = 'rule extra:\n    output:\n        f"{WORD}.txt",\n    shell:\n        program("gather_rows", WORD)\n'
    (project / "rules/systems/extra.smk").write_text(rule)
    workflow = workflow_class(tmp_path, project).configured("preset: smoke\n")
    assert "extra.txt" in workflow.dry("extra")
