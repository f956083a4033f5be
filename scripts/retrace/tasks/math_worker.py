"""A separate program that compares mathematical expressions with math-verify. Run by `tasks/math_process.py`.

It reads one JSON array per line, `["same", GOLD, FOUND, SECONDS]` or `["key", ANSWER, SECONDS]`, and answers each with a
line. Its input was written by models: a tower of powers or a huge factorial may run forever inside one machine
instruction loop, where no Python handler runs. Each question therefore has its own limit on processor time, after which
the kernel ends this process; the caller notices and starts another one. Only math-verify's LaTeX parser is used, because
the one for plain text calls `eval`.
"""

import json
import logging
import os
import resource
import signal
import sys
from importlib import import_module
from typing import Any

MEMORY = 4 << 30  # bytes of address space; a number of that size is not an answer
FIGURES = 10  # significant figures of a number as key, as in retrace.tasks.base.canonical
LONGEST_KEY = 300


def parsed(answer: str) -> list[Any]:
    """The expression in an answer, as a list of one; empty where there is none."""
    from math_verify import LatexExtractionConfig, parse

    config = [LatexExtractionConfig(boxed_match_priority=0)]
    return parse(answer, config, fallback_mode="no_fallback", parsing_timeout=None)  # the process has a limit


def same(gold: str, found: str) -> bool:
    """Whether two answers are the same mathematical value."""
    from math_verify import verify

    right, ours = parsed(gold), parsed(found)
    return bool(right and ours) and verify(right, ours, timeout_seconds=None)


def key(answer: str) -> str | None:
    """The text that equal answers share; None where no expression can be read."""
    found = parsed(answer)
    text = _key(found[0]) if found else None
    return text if text and len(text) <= LONGEST_KEY else None


def _key(value: Any) -> str:
    import sympy

    if isinstance(value, sympy.Eq) and isinstance(value.lhs, sympy.Symbol):
        value = value.rhs  # x = 5 is 5, as math-verify has it
    if isinstance(value, sympy.FiniteSet) or type(value).__name__ == "FiniteSet":
        return "{" + ", ".join(sorted(map(_key, value.args))) + "}"
    if isinstance(value, sympy.Tuple):
        return "(" + ", ".join(map(_key, value.args)) + ")"
    if isinstance(value, sympy.MatrixBase):
        return f"{value.shape}[" + ", ".join(map(_key, value)) + "]"
    if isinstance(value, sympy.Rel):
        value = value.canonical
        return f"{_key(value.lhs)} {value.rel_op} {_key(value.rhs)}"
    if isinstance(value, sympy.Interval):
        opened = ("(" if value.left_open else "[", ")" if value.right_open else "]")
        return f"{opened[0]}{_key(value.start)}, {_key(value.end)}{opened[1]}"
    if not isinstance(value, sympy.Expr):
        return str(value)
    value = value.doit()
    if not value.free_symbols and value.is_number:
        real, imaginary = value.evalf(FIGURES + 5).as_real_imag()
        if real.is_Float or real.is_Rational:
            parts = [f"{float(part) + 0.0:.{FIGURES}g}" for part in (real, imaginary)]
            return parts[0] if parts[1] == "0" else f"{parts[0]}+{parts[1]}i"
    return str(sympy.simplify(sympy.expand(value)))


def answered(request: list[Any]) -> Any:
    """The answer to one request; None where nothing can be said."""
    what, *texts, seconds = request
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        return same(*texts) if what == "same" else key(*texts)
    except (Exception, RecursionError):  # from math-verify, SymPy or ANTLR, for a text that is not mathematics
        return None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def main() -> None:
    """Answer requests until the input ends."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, wherever it is
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who asks
    import_module("math_verify")  # a fault of the installation is for who started this
    # What a library prints must neither stand among the answers nor fill a pipe that nobody reads.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for stream in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    parsed("$1$")
    print(json.dumps("ready"), file=replies, flush=True)
    for line in sys.stdin:
        print(json.dumps(answered(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
