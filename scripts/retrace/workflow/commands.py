"""Building blocks of the rules: paths of a run and commands of its programs.

Snakemake fills in lower-case fields in braces; upper-case fields stand for the arguments below, which nearly all programs
take. `$RETRACE_SCRIPTS`, `$RETRACE_CONFIG` and `$RETRACE_OWN` are set by the prefix of every command
(rules/common.smk), so that moving the checkout changes no command and reruns nothing. The parameters `task_file` and
`model_file` are added to the rules that need them by rules/environment.smk.
"""

import re
from collections.abc import Iterable

ARGUMENTS = {
    "TASK": "--task-file {params.task_file}",
    "MODEL": "--model-file {params.model_file}",
    "PAPERS": "--papers $RETRACE_CONFIG/papers",
    "SEED": "--seed {wildcards.seed}",
    "SEEDS": "--seeds {params.seeds} --preset {params.preset}",
    "SHARD": "--shard {wildcards.shard} --shards {params.shards}",
    "OPTIONS": "{params.options} {params.speed}",
}
_CAPITALS = re.compile(r"\{([A-Z]+)\}")
_RUN = "{task}/{model}/seed{seed}"
_LAUNCHER = "$RETRACE_SCRIPTS/launch.py --gpus {resources.gpus} "


def run(path: str) -> str:
    """Path of a file or folder of one run (task, model and seed), for instance `sft/model`."""
    return f"results/{_RUN}/{path}"


def logs(path: str) -> str:
    """Path of a log of one run."""
    return f"logs/{_RUN}/{path}"


def benchmarks(path: str) -> str:
    """Path of a benchmark record of one run."""
    return f"benchmarks/{_RUN}/{path}"


def program(*words: str) -> str:
    """The shell command of a program in scripts/, with its output in the job's log.

    Args:
        words: The program without `.py` and its arguments, in any number of strings.

    Raises:
        KeyError: An upper-case field is not in ARGUMENTS.
    """
    return _command("", words)


def on_devices(*words: str) -> str:
    """Like `program`, on the job's GPU."""
    return _command(_LAUNCHER, words)


def training(*words: str) -> str:
    """Like `program`, in as many processes as the job requests, with the arguments of every training.

    These come first: of a repeated option, the rule's own value wins.
    """
    name, _, arguments = " ".join(words).partition(" ")
    common = "{TASK} {SEED} --state {params.state} {OPTIONS}"
    return _command(_LAUNCHER + "{resources.launch} ", [name, common, arguments])


def printed(*words: str) -> str:
    """Like `program`, but the output is also shown."""
    return _command("", words, "2> {log} | tee -a {log}")


def _command(launcher: str, words: Iterable[str], output: str = "> {log} 2>&1") -> str:
    name, _, arguments = " ".join(words).partition(" ")
    resolved = _CAPITALS.sub(lambda match: ARGUMENTS[match[1]], arguments)
    return f"python {launcher}$RETRACE_SCRIPTS/{name}.py {resolved} {output}"
