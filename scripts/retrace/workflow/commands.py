"""Templates that the rules are written with: the paths of one run and the commands of its programs.

Snakemake fills in what stands in braces with small letters; names in capitals stand for the arguments below, which nearly
all programs take. `$RETRACE_SCRIPTS`, `$RETRACE_CONFIG` and `$RETRACE_OWN` are set by the prefix of every command
(rules/common.smk), so that a checkout that moved changes no command and redoes nothing. The parameters `task_file` and
`model_file` are given to the rules that need them by rules/environment.smk.
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
    """A file or folder of one run, which has a task, a model and a seed: `sft/model`."""
    return f"results/{_RUN}/{path}"


def logs(path: str) -> str:
    """A log of one run."""
    return f"logs/{_RUN}/{path}"


def benchmarks(path: str) -> str:
    """A benchmark record of one run."""
    return f"benchmarks/{_RUN}/{path}"


def program(*words: str) -> str:
    """The command that starts a program of scripts/; what it prints goes to the job's log.

    Args:
        words: The program without `.py` and its arguments, in any number of strings.

    Raises:
        KeyError: A name in capitals is none of ARGUMENTS.
    """
    return _command("", words)


def on_devices(*words: str) -> str:
    """As `program`, on the GPU that the job asks for."""
    return _command(_LAUNCHER, words)


def training(*words: str) -> str:
    """As `program`, in as many processes as the job asks for, with what every training takes.

    That stands first: of an option that is given twice, the rule's own value holds.
    """
    name, _, arguments = " ".join(words).partition(" ")
    common = "{TASK} {SEED} --state {params.state} {OPTIONS}"
    return _command(_LAUNCHER + "{resources.launch} ", [name, common, arguments])


def printed(*words: str) -> str:
    """As `program`; what it prints is shown and stands in the log, too."""
    return _command("", words, "2> {log} | tee -a {log}")


def _command(launcher: str, words: Iterable[str], output: str = "> {log} 2>&1") -> str:
    name, _, arguments = " ".join(words).partition(" ")
    resolved = _CAPITALS.sub(lambda match: ARGUMENTS[match[1]], arguments)
    return f"python {launcher}$RETRACE_SCRIPTS/{name}.py {resolved} {output}"
