"""A system needs no edit of what is there: rejection-sampling fine-tuning is named in its own files alone."""

import re
from pathlib import Path

KNOWS = re.compile(r"\brft\b|\brft_|Rft")
ROOT = Path(__file__).parents[4]
OWN = {
    "config/checkpoints/rft.yaml",
    "config/methods/rft.yaml",
    "config/presets/laptop/rft.yaml",
    "config/presets/smoke/rft.yaml",
    "config/presets/tiny/rft.yaml",
    "rules/systems/rft.smk",
    "scripts/select_solutions.py",
    *(f"scripts/retrace/systems/rft/{name}.py" for name in ("__init__", "cost", "options", "selection", "system")),
}


def test_no_other_file_knows_the_system() -> None:
    kinds = {".py", ".smk", ".yaml"}
    files = [
        path for room in ("scripts", "rules", "config") for path in (ROOT / room).rglob("*") if path.suffix in kinds
    ]
    naming = {
        str(path.relative_to(ROOT)) for path in [*files, ROOT / "Snakefile"] if KNOWS.search(path.read_text("utf-8"))
    }
    assert naming <= OWN
    assert {"config/checkpoints/rft.yaml", "rules/systems/rft.smk"} <= naming
