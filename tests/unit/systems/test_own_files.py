"""A system needs no edit of what is there: these are named in their own files alone."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
# Modules of the system's folder, further files of its own, and how others would name it.
SYSTEMS = {
    "rft": (
        ("__init__", "cost", "options", "selection", "system"),
        ("scripts/select_solutions.py", "config/papers/tables/dpo_st_table4.yaml"),  # which compares with it
        r"\brft\b|\brft_|Rft",
    ),
    "icot_si": (
        ("__init__", "cost", "options", "removal", "system", "train"),
        (
            "scripts/train_icot_si.py",
            "config/papers/icot_si.yaml",
            "config/papers/tables/icot_si_inference_log.yaml",
        ),
        r"icot_si|Stepwise[A-Z]",
    ),
}
PRESETS = {"rft": ("laptop", "smoke", "tiny"), "icot_si": ("paper", "small", "smoke", "tiny")}


@pytest.mark.parametrize("system", SYSTEMS)
def test_no_other_file_knows_the_system(system: str) -> None:
    modules, more, knows = SYSTEMS[system]
    own = {
        f"config/checkpoints/{system}.yaml",
        f"config/methods/{system}.yaml",
        f"rules/systems/{system}.smk",
        *more,
        *(f"config/presets/{preset}/{system}.yaml" for preset in PRESETS[system]),
        *(f"scripts/retrace/systems/{system}/{name}.py" for name in modules),
    }
    kinds = {".py", ".smk", ".yaml"}
    files = [
        path for room in ("scripts", "rules", "config") for path in (ROOT / room).rglob("*") if path.suffix in kinds
    ]
    naming = {
        str(path.relative_to(ROOT))
        for path in [*files, ROOT / "Snakefile"]
        if re.search(knows, path.read_text("utf-8"))
    }
    assert naming <= own
    assert {f"config/checkpoints/{system}.yaml", f"rules/systems/{system}.smk"} <= naming
