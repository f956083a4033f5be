"""Go every way of this project that computes on a GPU once, with random models of the papers' architectures.

    tests/gpu/run [--toy] [--only SECTION...] [--output FILE] [--wheels DIR]

Prints a line a section and writes all figures as JSON (default: gpu_check.json in $OUT or this folder), again after each
section. Exit status 1 where a section failed. Needs no network. See tests/gpu/README.md.
"""

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2] / "scripts")]
# Of all that is run here: no network, and the processor where there is no GPU.
ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "RETRACE_REQUIRE_GPU": "no"}
# Seconds: the whole is to stay below 8 minutes, also where the longest section begins just before the limit.
WHOLE, ALLOWANCE = 480, 100
LIMIT = WHOLE - ALLOWANCE - 5


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--toy", action="store_true", help="small models; always so where there is no GPU")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="these sections (default: all)")
    parser.add_argument("--output", type=Path, help="JSON of figures")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help=f"seconds after which no section begins (default {LIMIT})"
    )
    parser.add_argument(
        "--allowance",
        type=float,
        default=ALLOWANCE,
        help=f"seconds after which a section is broken off (default {ALLOWANCE})",
    )
    parser.add_argument("--list", action="store_true", help="name the sections and stop")
    args = parser.parse_args(arguments)
    began = time.perf_counter()
    os.environ.update(ENVIRONMENT)
    import torch

    torch.set_num_threads(max(1, min(8, os.cpu_count() or 1)) if torch.cuda.is_available() else 1)
    from gpu.processes import SECTIONS
    from gpu.world import World

    if args.list:
        print("\n".join(SECTIONS))
        return 0
    names = args.only or list(SECTIONS)
    if unknown := set(names) - set(SECTIONS):
        parser.error(f"no section {sorted(unknown)[0]!r}; there are {', '.join(SECTIONS)}")
    output = args.output or Path(os.environ.get("OUT", ".")) / "gpu_check.json"
    with tempfile.TemporaryDirectory(prefix="retrace_gpu_") as folder:
        world = World(Path(folder) / "world", args.toy or not torch.cuda.is_available())
        report = {**machine(), "toy": world.toy, "sections": {}}
        for name in names:
            if time.perf_counter() - began > args.limit:
                found: dict[str, Any] = {"ok": False, "error": f"not begun: {args.limit:g} s are over (--limit)"}
            else:
                found = tried(SECTIONS[name], world, args.allowance)
            report["sections"][name] = found
            report["seconds"] = round(time.perf_counter() - began, 1)
            output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
            print(f"{'ok    ' if found['ok'] else 'FAILED'} {name}  {json.dumps(found)}", flush=True)
    failed = [name for name, found in report["sections"].items() if not found["ok"]]
    print(f"{len(names) - len(failed)} sections passed, {len(failed)} failed in {report['seconds']} s: {output}")
    return 1 if failed else 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    import torch
    import transformers

    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name(0) if gpu else f"CPU ({platform.machine()})",
        "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1) if gpu else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


@contextmanager
def broken_off_after(seconds: float) -> Iterator[None]:
    """Raises TimeoutError inside the block when its time is over."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"broken off after {seconds:g} s (--allowance)")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def tried(action: Any, world: Any, allowance: float) -> dict[str, Any]:
    """The figures of a section, or its error."""
    from gpu.measure import clean

    clean()
    began = time.perf_counter()
    # What scripts say would stand between the lines of the sections.
    with open(os.devnull, "w") as nowhere, Redirected(nowhere):
        try:
            with broken_off_after(allowance):
                found = {"ok": True, **action(world)}
        except Exception as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[-1]
            found = {
                "ok": False,
                "error": f"{type(error).__name__}: {said}"[:500],
                "trace": traceback.format_exc()[-3000:],
            }
    return {**found, "section_seconds": round(time.perf_counter() - began, 2)}


class Redirected:
    """Sends what is printed elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        self.kept = sys.stdout, sys.stderr
        sys.stdout = sys.stderr = self.stream

    def __exit__(self, *_: object) -> None:
        sys.stdout, sys.stderr = self.kept


if __name__ == "__main__":
    sys.exit(main())
