"""Several processes train like one: every trainer, by every strategy, on the CPU.

Two runs sum the same numbers in another order: losses (written with six digits) and weights agree to `TOLERANCE`.
"""

import json
import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from retrace.errors import UserError
from retrace.models.options import ScratchModel
from retrace.models.scratch import build_model
from retrace.models.share import Share, measuring_together, share
from retrace.training import parallel
from unit import tiny_trainers
from unit.tiny_models import tiny_generator
from unit.tiny_trainers import EXAMPLES, TASK, TRAINERS
from workflow_fixtures import WARM

COMPILED = "compiled"  # what DeepSpeed had a compiler make
LAUNCHER = Path(parallel.__file__).parents[2] / "launch.py"
TOLERANCE = 1e-5
# They reset the optimizer during training; its first step scales every gradient to the same size, including rounding noise.
RESETTING = {"icot_si"}
# LaTRO's loss is a small difference of terms as large as its rewards.
SIZES = {"latro": 17.0}
REFUSED = {("latro", "fsdp"), ("learn_to_reason_accuracy", "fsdp")}  # no answers are decoded under it
STRATEGIES = ("ddp", "zero2", "zero3", "fsdp")
OFFLOADING = ("zero2_offload", "zero3_offload")
STEPS = 4  # beyond the first epoch, which is three


def launched(
    names: list[str], folder: Path, strategy: str, processes: int = 2, expect: int = 0, **options: str
) -> subprocess.CompletedProcess:
    """Trainers by the launcher, one after the other; state and model of each in `folder`/NAME."""
    python = str(WARM.python())  # that has imported torch and transformers, for each process once more
    trained = [tiny_trainers.__file__, *names, "--folder", str(folder)]
    trained += [word for option, value in options.items() for word in (f"--{option.replace('_', '-')}", value)]
    if strategy == "fsdp":
        # The launcher refuses FSDP without GPUs, as accelerate passes it over there in silence; torch itself can do it.
        words = [python, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        words += [*trained, "--fsdp-on-cpu"]
    else:
        words = [python, str(LAUNCHER), "--processes", str(processes), "--strategy", strategy, *trained]
    values = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    values |= {"OMP_NUM_THREADS": "1", "RETRACE_STRATEGY": strategy, "TORCH_EXTENSIONS_DIR": str(folder / COMPILED)}
    limit = 180 + 20 * len(names)
    done = subprocess.run(words, env=values, capture_output=True, text=True, check=False, timeout=limit)
    assert done.returncode == expect, done.stderr[-3000:]
    return done


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Of all parts that a checkpoint has."""
    files = sorted((folder / "model").rglob("model.safetensors"))
    return {f"{file.parent.name}.{name}": weight for file in files for name, weight in load_file(file).items()}


def curve(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "model" / "curve.json").read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process makes of a trainer, made once: its folder and the model."""

    @cache
    def run(name: str, steps: int = STEPS) -> tuple[Path, nn.Module]:
        folder = tmp_path_factory.mktemp(name)
        trainer = TRAINERS[name]
        model, logged = trainer.train(folder / "state", max_steps=steps)
        trainer.save(model, logged, folder / "model")
        (folder / "model" / "curve.json").write_text(json.dumps(logged))
        return folder, model

    return run


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What two processes make of all trainers by a strategy, made once: the folder of a trainer."""

    @cache
    def run(strategy: str) -> Path | Exception:
        folder = tmp_path_factory.mktemp(strategy)
        try:
            names = [name for name in TRAINERS if (name, strategy) not in REFUSED]
            launched(names, folder, strategy, options=json.dumps({"max_steps": STEPS}))
        except (AssertionError, subprocess.TimeoutExpired) as error:
            return error  # so that the other trainers' tests need not wait for the same
        return folder

    def made(strategy: str, name: str) -> Path:
        folder = run(strategy)
        if isinstance(folder, Exception):
            raise folder
        return folder / name

    return made


def assert_near(one: torch.Tensor, other: torch.Tensor, name: str, place: str) -> None:
    """Weights agree; of a trainer that resets its optimizer, all but one in a hundred, and these nearly."""
    gap = (one - other).abs()
    near = gap <= TOLERANCE
    assert near.all() or (name in RESETTING and near.float().mean() >= 0.99 and gap.max() <= 10 * TOLERANCE), place


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "strategy"),
    [
        (name, strategy)
        for name in TRAINERS
        for strategy in STRATEGIES
        if (name, strategy) not in REFUSED  # see test_decoding_under_fsdp_is_refused
    ],
)
def test_two_processes_train_like_one(alone, together, name: str, strategy: str) -> None:
    """The same batch of 16 as 4 passes of 4, or as 2 passes of 4 in each of two processes."""
    two = together(strategy, name)
    one, model = alone(name)
    ours, theirs = curve(two), curve(one)
    losses = [row["loss"] for row in theirs if "loss" in row]
    assert len(losses) == STEPS
    assert len(ours) == len(losses) + (3 if name == "latro" else 2)  # measurements; LaTRO measures the start, too
    for mine, other in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(other, rel=TOLERANCE, abs=TOLERANCE * SIZES.get(name, 1.0))
    assert losses[0] != losses[-1]
    mine, other = weights(two), weights(one)
    assert mine.keys() == other.keys()
    for place in mine:
        assert_near(mine[place], other[place], name, place)
    # The folder is one of ours: it loads, and with nothing missing.
    loaded = TRAINERS[name].load(two / "model").state_dict()
    assert loaded.keys() == model.state_dict().keys()
    for place, weight in model.state_dict().items():
        assert_near(loaded[place].to(weight.dtype), weight, name, place)
    # ... nothing was compiled for it, ...
    assert not (two.parent / COMPILED).exists()
    # ... and the work was divided as asked.
    saved = two / "state" / f"checkpoint-{STEPS}"
    parts = {"zero2": f"global_step{STEPS}/*optim_states.pt", "zero3": f"global_step{STEPS}/*model_states.pt"}
    if strategy in parts:
        assert len(list(saved.glob(parts[strategy]))) == 2
    assert (saved / "pytorch_model_fsdp.bin").exists() == (strategy == "fsdp")
    assert len(list(saved.glob("rng_state_*.pth"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("strategy", OFFLOADING)
def test_one_process_that_offloads_trains_like_one_that_does_not(alone, tmp_path, strategy: str) -> None:
    """A processor has nowhere to offload to, but DeepSpeed takes the settings there, and trains alike."""
    names = ["sft_decoder_only", "latro"]
    launched(names, tmp_path, strategy, processes=1, options=json.dumps({"max_steps": STEPS}))
    for name in names:
        mine, other = weights(tmp_path / name), weights(alone(name)[0])
        assert mine.keys() == other.keys()
        for place in mine:
            assert torch.allclose(mine[place], other[place], rtol=0, atol=TOLERANCE), place
        saved = tmp_path / name / "state" / f"checkpoint-{STEPS}"
        assert list(saved.glob(f"global_step{STEPS}/*optim_states.pt"))
    assert not (tmp_path / COMPILED).exists()


@pytest.mark.parametrize("name", [name for name, strategy in REFUSED if strategy == "fsdp"])
def test_decoding_under_fsdp_is_refused(monkeypatch, tmp_path, name: str) -> None:
    monkeypatch.setenv("RETRACE_STRATEGY", "fsdp")
    with pytest.raises(UserError, match=r"launch\.strategy fsdp .* use zero3, zero2 or ddp"):
        TRAINERS[name].train(tmp_path)


@pytest.mark.slow
def test_latro_under_zero3_trains_alone_and_where_one_process_has_only_empty_rationales(tmp_path) -> None:
    """Alone in its processes, so that nothing but its reference model, divided too, is loaded before the training."""
    options = '{"max_steps": 1, "evaluations": 1, "device_batch_size": 8}'
    launched(["latro"], tmp_path, "zero3", silent="1", options=options)
    step = next(row for row in curve(tmp_path / "latro") if "loss" in row)
    assert step["rationale_length"] > 0  # the other process's


def test_the_reward_of_unfinished_rationales_is_a_multiple_of_all_processes_mean(tmp_path) -> None:
    changes = {"max_steps": 1, "evaluations": 1, "unfinished": "batch_mean", "max_rationale_tokens": 24}
    launched(["latro"], tmp_path, "ddp", options=json.dumps(changes))
    _, alone = TRAINERS["latro"].train(tmp_path / "alone", **changes)
    theirs = next(row for row in alone if "loss" in row)
    ours = next(row for row in curve(tmp_path / "latro") if "loss" in row)
    assert 0 < theirs["finished_share"] < 1
    assert ours == pytest.approx(theirs, rel=TOLERANCE, abs=TOLERANCE * SIZES["latro"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "zero2", "zero3", "fsdp"])
def test_killed_processes_go_on_to_the_same_weights(tmp_path, strategy: str) -> None:
    """With dropout, for which each process has random numbers of its own; killed after step 5, saved at step 4."""
    options = {"dropout": "0.2", "options": '{"evaluations": 4}'}
    name = "sft_encoder_decoder"
    launched([name], tmp_path / "whole", strategy, **options)
    killed = 1 if strategy == "fsdp" else 128 + signal.SIGKILL  # torchrun's own status is 1
    launched([name], tmp_path / "cut", strategy, expect=killed, kill_at="5", **options)
    assert not (tmp_path / "cut" / name / "model").exists()
    done = launched([name], tmp_path / "cut", strategy, **options)
    assert "resuming at" in done.stderr
    assert "checkpoint-4" in done.stderr
    whole, cut = weights(tmp_path / "whole" / name), weights(tmp_path / "cut" / name)
    assert all(torch.equal(whole[place], cut[place]) for place in whole)


@pytest.mark.slow
def test_a_training_goes_on_with_another_number_of_processes(alone, tmp_path) -> None:
    name, options = "sft_decoder_only", {"options": '{"evaluations": 4}'}
    launched([name], tmp_path, "ddp", expect=128 + signal.SIGKILL, kill_at="5", **options)
    done = launched([name], tmp_path, "ddp", processes=1, **options)
    assert "resuming at" in done.stderr
    one, other = weights(tmp_path / name), weights(alone(name, steps=8)[0])
    for place in one:
        assert torch.allclose(one[place], other[place], rtol=0, atol=TOLERANCE), place


@pytest.mark.slow
def test_a_divided_state_of_another_number_of_processes_is_thrown_away(tmp_path) -> None:
    name, options = "sft_decoder_only", {"options": '{"evaluations": 4}'}
    launched([name], tmp_path, "zero2", expect=128 + signal.SIGKILL, kill_at="5", **options)
    done = launched([name], tmp_path, "zero2", processes=1, **options)
    assert "different options or data; training starts over" in done.stderr
    assert [row["step"] for row in curve(tmp_path / name) if "loss" in row] == list(range(1, 9))


# ---------------------------------------------------------------- the parts


def test_settings_of_the_strategies(monkeypatch) -> None:
    monkeypatch.setenv("DS_ACCELERATOR", "cpu")  # as the launcher does it
    from accelerate.utils import DeepSpeedPlugin
    from deepspeed import DeepSpeedConfig
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    assert parallel.strategy_options() == {}
    for name in ("zero2", "zero3"):
        monkeypatch.setenv("RETRACE_STRATEGY", name)
        file = Path(parallel.strategy_options()["deepspeed"])
        assert json.loads(file.read_text())["zero_optimization"]["stage"] == int(name[-1])
        assert parallel.is_sharded()
    for name in OFFLOADING:
        monkeypatch.setenv("RETRACE_STRATEGY", name)
        file = parallel.strategy_options()["deepspeed"]
        settings = HfTrainerDeepSpeedConfig(file)
        assert settings.is_offload()
        assert settings.is_zero3() == (name == "zero3_offload")
        # torch's own AdamW computes on the processor; DeepSpeed's would have to be compiled on each machine first.
        assert settings.get_value("zero_force_ds_cpu_optimizer") is False
        plugin = DeepSpeedPlugin(hf_ds_config=file)
        assert (plugin.zero_stage, plugin.offload_optimizer_device) == (int(name[4]), "cpu")
        assert (plugin.offload_param_device == "cpu") == settings.is_zero3()
        filled = settings.config | {"train_batch_size": 1, "train_micro_batch_size_per_gpu": 1}
        filled |= {"gradient_accumulation_steps": 1, "gradient_clipping": 1.0, "bf16": {"enabled": True}, "fp16": {}}
        read = DeepSpeedConfig(filled).zero_config
        assert (read.stage, read.offload_optimizer.device) == (plugin.zero_stage, "cpu")
        assert parallel.is_sharded()
    monkeypatch.setenv("RETRACE_STRATEGY", "fsdp")
    assert parallel.strategy_options()["fsdp"] is True
    assert json.loads(Path(parallel.strategy_options()["fsdp_config"]).read_text())["version"] == 2
    monkeypatch.setenv("RETRACE_STRATEGY", "zero3")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    monkeypatch.delitem(sys.modules, "deepspeed", raising=False)
    with pytest.raises(UserError, match=r"zero3 needs DeepSpeed: pip install -r envs/requirements\.txt"):
        parallel.strategy_options()


def test_turns_are_equally_many_and_each_item_counts_once() -> None:
    for items in range(1, 9):
        for processes in (1, 2, 3, 5):
            turns = [list(Share(index, processes).turns(range(items))) for index in range(processes)]
            assert len({len(part) for part in turns}) == 1
            counted = sorted(item for part in turns for item, counts in part if counts)
            assert counted == list(range(items))
    assert list(Share().turns([])) == []


def test_one_process_measures_all_by_itself() -> None:
    with measuring_together(torch.device("cpu")):
        assert share() == Share()
    values = torch.tensor([1.0])
    assert share().total(values) is values


@pytest.mark.parametrize("family", ["encoder_decoder", "decoder_only"])
def test_a_divided_model_becomes_whole_again(tmp_path, family: str) -> None:
    model, tokenizer = tiny_generator(TASK, EXAMPLES, family)
    outline = parallel.outline_of(model)
    assert all(weight.is_meta for weight in outline.parameters())
    other = build_model(ScratchModel(width=16, layers=1, heads=2, feedforward=32, positions=128), family, tokenizer, 7)
    other.save_pretrained(tmp_path)
    for weight in model.parameters():
        weight.data = torch.empty(0)  # as ZeRO-3 leaves it
    parallel.restore_whole(model, outline, tmp_path)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), other.parameters(), strict=True))
    assert model.state_dict().keys() == other.state_dict().keys()
    assert parallel.tied_names(model) == parallel.tied_names(other)
    assert any(len(names) > 1 for names in parallel.tied_names(model))
    ids = torch.tensor([[5, 6, 7]])
    given = {"input_ids": ids} | ({"decoder_input_ids": ids} if family == "encoder_decoder" else {})
    with torch.no_grad():
        assert torch.equal(model.eval()(**given).logits, other.eval()(**given).logits)


def test_weights_in_several_files_and_a_missing_one(tmp_path) -> None:
    model, _ = tiny_generator(TASK, EXAMPLES)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    parallel.restore_whole(model, parallel.outline_of(model), tmp_path)
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    larger, _ = tiny_generator(TASK, EXAMPLES, "decoder_only")
    with pytest.raises(UserError, match=r"weight transformer\.wte\.weight is missing"):
        parallel.restore_whole(larger, parallel.outline_of(larger), tmp_path)
