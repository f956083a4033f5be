"""How long a job takes from its start to its first useful line: the interpreter and the imports of its script.

    python tests/benchmarks/benchmark_job_start.py
    python tests/benchmarks/benchmark_job_start.py --repeat 5 decode train_sft

Each script's own import statements, those of its `main` among them, are run in a fresh interpreter; the least processor
time of the repetitions counts, so that other work on the machine does not. Prints one line of JSON: for each script the
processor and wall seconds and the heavy libraries that it loads, beside an empty interpreter and single libraries.
"""

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from measured_run import run

PROJECT = Path(__file__).resolve().parents[2]
HEAVY = (
    "torch",
    "transformers",
    "sentence_transformers",
    "accelerate",
    "datasets",
    "trl",
    "scipy",
    "sklearn",
    "pandas",
)
ALONE = {
    "nothing": "",
    "torch": "import torch",
    "Trainer": "from transformers import Trainer",
    "snakemake": "import snakemake.cli",
}


def imports_of(script: Path) -> str:
    """All import statements of a script, those of its functions among them, in their order."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    places = [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef))]
    found = [node for place in places for node in place.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(ast.unparse(node) for node in found)


def measure(code: str, repeat: int) -> dict:
    """Least processor and wall seconds of a fresh interpreter that runs `code`, and the heavy modules that it loads."""
    shown = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    runs = [run([sys.executable, "-c", shown]) for _ in range(repeat)]
    best = min(runs, key=lambda one: one["cpu_seconds"])
    loads = best.pop("printed").split()
    return {**best, "loads": loads}


def submitted_job(repeat: int) -> dict:
    """The Snakemake that starts in every submitted job: it plans that one job. Here without running it."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "config").mkdir()
        (Path(name) / "config" / "config.yaml").write_text("preset: paper\n")
        words = ["--snakefile", str(PROJECT / "Snakefile"), "--target-jobs", "prepare_data:task=gsm8k,split=test"]
        words += [
            "--allowed-rules",
            "prepare_data",
            "--force",
            "--mode",
            "remote",
            "--nolock",
            "--no-hooks",
            "--dry-run",
        ]
        runs = [run([sys.executable, "-m", "snakemake", *words, "--cores", "1"], name) for _ in range(repeat)]
    best = min(runs, key=lambda one: one["cpu_seconds"])
    best.pop("printed")
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scripts", nargs="*", help="names without .py (default: all that rules call)")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    words = [sys.executable, str(PROJECT / "tests/workflow/list_rules.py"), str(PROJECT / "Snakefile")]
    called = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    names = args.scripts or sorted(
        script.stem for script in (PROJECT / "scripts").glob("*.py") if f"$RETRACE_SCRIPTS/{script.name}" in called
    )
    found = {name: measure(code, args.repeat) for name, code in ALONE.items()}
    found |= {name: measure(imports_of(PROJECT / "scripts" / f"{name}.py"), args.repeat) for name in names}
    if not args.scripts:
        found["snakemake in a submitted job"] = submitted_job(args.repeat)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
