"""Sections of the check that start processes of their own: the launcher, what is killed and goes on, and Snakemake.

Whoever imports SECTIONS from here has those of gpu.sections, too.
"""

import os
import subprocess
import sys
import time

from safetensors.torch import load_file

from gpu.sections import SECTIONS, Figures, about, quick, rows_of, section, timed
from gpu.world import PROJECT, World, quietly, words

__all__ = ["SECTIONS"]
SCRIPTS = PROJECT / "scripts"


def environment() -> dict[str, str]:
    """Of a process that has the project's packages in reach."""
    paths = [str(SCRIPTS), str(PROJECT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "RETRACE_DEVICES": "shared"}


def started(*arguments: object, good: bool = True) -> subprocess.CompletedProcess[str]:
    """A process of this Python with the project's packages in reach."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    if good and done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no words"])[-1])
    return done


def launched(world: World, *arguments: object, good: bool = True) -> subprocess.CompletedProcess[str]:
    """The same by the launcher, on one device."""
    return started(SCRIPTS / "launch.py", "--gpus", int(world.device == "cuda"), *arguments, good=good)


@section("launch")
def launch(world: World) -> Figures:
    """A training on one device, as a rule starts it; the process must have had the GPU."""
    model = world.model("gpt2", "float32")
    given = words(
        train=world / "train.jsonl", dev=world / "dev.jsonl", state=world / "l_state", output=world / "launched"
    )
    with timed() as clock:
        done = launched(world, SCRIPTS / "train_sft.py", *about(world, model), *given, *quick(world))
    assert world.device == "cpu" or "this job has GPU" in done.stderr, done.stderr[-400:]
    return {"seconds": clock["seconds"]}


@section("restarts")
def restarts(world: World) -> Figures:
    """A training that is killed goes on at its last saved step and ends with the weights of an undisturbed one."""
    script, found = PROJECT / "tests/unit/tiny_trainers.py", {}
    names = ["sft_encoder_decoder"] if world.toy else ["sft_encoder_decoder", "latro"]
    launched(world, script, *names, "--folder", world / "undisturbed")
    for name in names:
        killed = launched(world, script, name, "--folder", world / "killed", "--kill-at", 6, good=False)
        assert killed.returncode, f"{name}: was to be killed"
    again = launched(world, script, *names, "--folder", world / "killed")
    assert "resuming at " in again.stderr
    for name in names:
        one, other = (load_file(world / kind / name / "model/model.safetensors") for kind in ("undisturbed", "killed"))
        far = max(float((one[key].float() - other[key].float()).abs().max()) for key in one)
        found[name] = far
        assert far <= (0 if world.device == "cpu" else 1e-4), f"{name}: weights differ by {far}"
    return {"largest_difference": found}


@section("killed_decoding")
def killed_decoding(world: World) -> Figures:
    """A decode.py that is killed goes on behind its last answer and ends with the rows of an undisturbed one."""
    import decode

    # One question at a time: on a GPU the rounding may follow the batch.
    sizes = words(max_new_tokens=24, batch_size=1)
    model = world.model("gpt2", "float32")
    given = ["greedy", *about(world, model, data=world / "dev.jsonl"), *sizes]
    whole, output = world / "whole.jsonl", world / "decoded" / "killed.jsonl"
    quietly(decode.main, [*given, "--output", str(whole)])
    state = output.parent / "state" / output.name
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [str(SCRIPTS / "decode.py"), *given, "--output", str(output)]
    with subprocess.Popen([sys.executable, *command], env=environment(), **nowhere) as process:
        try:
            while not state.is_file() or state.read_bytes().count(b"\n") < 4:
                assert process.poll() is None, "ended before it could be killed"
                time.sleep(0.002)
        finally:
            process.kill()
    assert not output.exists(), "ended before it was killed"
    again = started(*command)
    assert "rows of an earlier run" in again.stderr, "began anew"
    assert output.read_bytes() == whole.read_bytes(), "the rows are others"
    return {"questions": len(rows_of(output))}


@section("workflow")
def workflow(world: World) -> Figures:
    """Snakemake makes a checkpoint of the smoke preset, its training on the GPU."""
    from importlib.util import find_spec

    if find_spec("snakemake") is None:
        raise RuntimeError("snakemake is not installed (--wheels DIR)")
    folder = world / "workflow"
    (folder / "config").mkdir(parents=True)
    gpus = int(world.device == "cuda")
    (folder / "config/config.yaml").write_text(f"preset: smoke\nlaunch: {{gpus: {gpus}}}\n")
    result = "results/arithmetic/tiny_t5/seed0/base/model"
    words = ["--snakefile", PROJECT / "Snakefile", "--directory", folder, "--cores", "2", result]
    with timed() as clock:
        started("-m", "snakemake", *words)
    assert (folder / result).exists()
    logs = [file.read_text(encoding="utf-8") for file in (folder / "logs").rglob("*.log")]
    on_gpu = sum("this job has GPU" in text for text in logs)
    assert world.device == "cpu" or on_gpu, "no job had the GPU"
    return {"seconds": clock["seconds"], "jobs": len(logs), "jobs_on_gpu": on_gpu}
