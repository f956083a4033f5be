"""A logger plugin of Snakemake that prints every planned job as one line of JSON, for programs that read a dry run.

    PYTHONPATH=scripts/snakemake_plugins snakemake --dry-run --logger retrace-jobs results/gsm8k/grace_acc.json

Standard output: one job a line (rule, wildcards, threads, resources, input, output, benchmark, the shell command with
every option resolved). Standard error: errors as text. Everything else that Snakemake would print is left out.
"""

import json
import logging
import os
import sys
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


def described(record: logging.LogRecord) -> dict[str, Any]:
    """What a program needs to know of a planned job."""
    resources = {name: value for name, value in dict(record.resources.items()).items() if isinstance(value, int | str)}
    return {
        "rule": record.rule_name,
        "wildcards": dict(record.wildcards or {}),
        "threads": record.threads,
        "resources": resources,
        "input": [str(file) for file in record.input],
        "output": [str(file) for file in record.output],
        "benchmark": record.benchmark and str(record.benchmark),
        "command": record.shellcmd or "",
    }


class LogHandler(LogHandlerBase):
    """Writes to standard output in place of Snakemake's own text."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if getattr(record, "event", None) == LogEvent.JOB_INFO:
                sys.stdout.write(json.dumps(described(record)) + "\n")
            elif record.levelno >= logging.ERROR:
                sys.stderr.write(record.getMessage() + "\n")
        except BrokenPipeError:  # the reader has seen enough
            sys.stdout = open(os.devnull, "w")
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        sys.stdout.flush()

    @property
    def writes_to_stream(self) -> bool:
        return True

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True

    @property
    def has_formatter(self) -> bool:
        return True

    @property
    def needs_rulegraph(self) -> bool:
        return False
