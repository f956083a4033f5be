"""Put the parts of a file together, whole or not at all.

    python scripts/gather_rows.py shards/test_0.jsonl shards/test_1.jsonl --output test.jsonl --timings

In: the parts in their order; with --timings also the timing file that lies beside each (NAME.timing.jsonl), with
--counts what its job counted (NAME.counts.jsonl).
Out: --output, and the gathered files beside it. What killed jobs had kept of parts beside these (state/NAME_*.jsonl, of
another number of shards) is removed.
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
    parser.add_argument("--timings", action="store_true", help="gather the timing files beside the parts, too")
    parser.add_argument("--counts", action="store_true", help="gather the counts beside the parts, too")
    args = parser.parse_args(arguments)

    from retrace.machine.storage import counts_path, timing_path

    parts = [Path(part) for part in args.parts]
    if args.timings:
        gather([timing_path(part) for part in parts], timing_path(args.output))
    if args.counts:
        gather([counts_path(part) for part in parts], counts_path(args.output))
    gather(parts, Path(args.output))
    forget_leftovers(parts[0])


def gather(parts: Sequence[Path], output: Path) -> None:
    """Write the parts one behind the other."""
    from retrace.machine.storage import atomic_path

    with atomic_path(output) as temporary, open(temporary, "wb") as handle:
        for part in parts:
            with open(part, "rb") as source:
                shutil.copyfileobj(source, handle)


def forget_leftovers(part: Path) -> None:
    """Remove what jobs of the same step have kept of their rows: all of them are done."""
    state, step = part.parent / "state", part.stem.rpartition("_")[0]
    for left in [*state.glob(f"{step}_*{part.suffix}"), *state.glob(f".{step}_*")]:
        left.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        state.rmdir()


if __name__ == "__main__":
    cli.run(main)
