"""Concatenate the parts of a file, atomically.

    python scripts/gather_rows.py shards/test_0.jsonl shards/test_1.jsonl --output test.jsonl --timings

In: the parts in order; with --timings also the timing file next to each (NAME.timing.jsonl) and the candidates of guided
decoding, where they were kept (NAME.candidates.jsonl.gz); with --counts also its counts (NAME.counts.jsonl).
Out: --output, and the gathered files next to it. Partial rows of killed jobs (state/NAME_*.jsonl, for
a different number of shards) are removed.
"""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from retrace import cli


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("parts", nargs="+", help="files, in order")
    parser.add_argument("--output", required=True, help="file to write")
    parser.add_argument("--timings", action="store_true", help="also gather timings and candidates next to the parts")
    parser.add_argument("--counts", action="store_true", help="also gather the counts next to the parts")
    args = parser.parse_args(arguments)

    from retrace.machine.storage import candidates_path, counts_path, timing_path

    parts = [Path(part) for part in args.parts]
    if args.timings:
        gather([timing_path(part) for part in parts], timing_path(args.output))
        gather_candidates(parts, args.output)
    if args.counts:
        gather([counts_path(part) for part in parts], counts_path(args.output))
    gather(parts, Path(args.output))
    forget_leftovers(parts[0])
    if args.timings:
        for part in parts:
            candidates_path(part).unlink(missing_ok=True)


def gather(parts: Sequence[Path], output: Path) -> None:
    """Write the parts in order."""
    from retrace.machine.storage import atomic_path

    with atomic_path(output) as temporary, open(temporary, "wb") as handle:
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, handle)


def gather_candidates(parts: Sequence[Path], output: str) -> None:
    """Write the candidates of all parts next to `output`, compressed again: the bytes do not depend on the parts.

    If no part has any, an existing file is kept only if it belongs to these predictions: a job that is killed after
    gathering runs again.
    """
    from retrace.evaluation.candidates import belong_to, read_candidates
    from retrace.machine.storage import candidates_path, iter_jsonl, write_jsonl
    from retrace.schemas import Prediction

    having = [part for part in parts if candidates_path(part).exists()]
    target = candidates_path(output)
    if len(having) == len(parts):
        write_jsonl(target, (row for part in parts for row in read_candidates(part)))
    elif having:
        print(f"note: {parts[0].parent}: only {len(having)} of {len(parts)} shards kept their candidates; left out")
        target.unlink(missing_ok=True)
    elif target.exists():
        rows = [row for part in parts for row in iter_jsonl(part, Prediction)]
        if not belong_to(list(read_candidates(output)), rows):
            target.unlink()


def forget_leftovers(part: Path) -> None:
    """Remove the partial rows of this step's jobs, all of which are done."""
    state, step = part.parent / "state", part.stem.rpartition("_")[0]
    for left in [*state.glob(f"{step}_*{part.suffix}"), *state.glob(f".{step}_*")]:
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        state.rmdir()


if __name__ == "__main__":
    cli.run(main)
