"""Bad input as a user meets it: the real scripts, one line that names file, place and mend, and nothing half-written.

What one module refuses is tested beside it: malformed rows, splits and answers (test_formats, test_prepare_data,
test_storage), downloads (test_download, test_hub), similarities (test_align_steps, test_embedding), bombs and loops
(test_calculator, test_programs), long questions (test_engine, test_sampling, test_sft), damaged checkpoints (test_load,
test_discriminator). Here stands what crosses modules.
"""

import copy
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import align_steps
import decode
import make_pairs
import rerank
import sample_trajectories
import train_discriminator
import train_verifier
from retrace.decoding.setup import open_generator
from retrace.errors import UserError
from retrace.machine.storage import atomic_path, iter_jsonl, read_json, read_jsonl, write_json, write_jsonl
from retrace.models.discriminator import StepDiscriminator
from retrace.models.load import check_delimiter, check_family, check_tokenizer, load_model
from retrace.schemas import Alignment, Example, Pair, Prediction, Trajectory
from unit.tiny_generators import examples, learned, write_project
from unit.tiny_models import arithmetic_task

SCRIPTS = Path(__file__).parents[3] / "scripts"
PAIR = {"question": "Q?", "prefix": [], "positive": "<<1+1=2>>2", "negative": "<<1+1=3>>3"}


@pytest.fixture
def project(tmp_path) -> Path:
    write_project(tmp_path, "encoder_decoder")
    return tmp_path


def words(project: Path, *names: str, **changes: str) -> list[str]:
    files = {
        "model": "model",
        "generator": "model",
        "model-file": "tiny.yaml",
        "task-file": "toy.yaml",
        "data": "test.jsonl",
        **{name.replace("_", "-"): file for name, file in changes.items()},
    }
    return [word for name in names for word in (f"--{name}", str(project / files[name]))]


def decoding(project: Path, **changes: str) -> list[str]:
    return [*words(project, "model", "model-file", "task-file", "data", **changes), "--seed", "0"]


def refused(main, arguments: list[str], output: Path) -> str:
    with pytest.raises(UserError) as caught:
        main([*arguments, "--output", str(output)])
    assert not output.exists()
    assert not list(output.parent.glob(f".{output.name}.*"))
    return str(caught.value)


def damaged(project: Path, name: str, change) -> str:
    """A copy of the project's model with every weight changed."""
    shutil.copytree(project / "model", project / name)
    weights = load_file(project / "model" / "model.safetensors")
    save_file(
        {key: change(value) for key, value in weights.items()}, project / name / "model.safetensors", {"format": "pt"}
    )
    return name


# ---------------------------------------------------------------- rows


def test_what_cannot_be_read_as_rows_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"cannot be read: is a folder, a file is expected"):
        read_jsonl(tmp_path, Example)
    with pytest.raises(UserError, match=r"cannot be read: is a folder"):
        read_json(tmp_path)
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, examples()[:1])
    file.write_bytes(file.read_bytes() + b'{"id": "\xff"}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:2: not UTF-8 text \(byte 9 of the line\).*rebuild"):
        read_jsonl(file, Example)
    assert next(iter_jsonl(file, Example)).id == "toy-0"  # rows before it are fine
    file.write_text("[" * 100_000 + "\n")
    with pytest.raises(UserError, match=r"rows\.jsonl:1: .*recursion limit"):
        read_jsonl(file, Example)
    with pytest.raises(UserError, match=r"rows\.jsonl: not JSON \(nested too deeply\)"):
        read_json(file)


@pytest.mark.parametrize(
    ("main", "option", "row"),
    [
        (align_steps.main, "trajectories", Trajectory(
            example_id="toy-0", text="#### 1", steps=[], final_answer="1", correct=False, tokens=3, logprob=-1,
            sampling_seed=0,
        )),
        (make_pairs.main, "alignments", Alignment(example_id="toy-0", trajectory=["a"], reference=["b"], cost=1)),
        (train_discriminator.main, "pairs", Pair(example_id="toy-0", split="train", **PAIR)),
        (train_verifier.main, "trajectories", Trajectory(
            example_id="toy-0", text="#### 1", steps=[], final_answer="1", correct=False, tokens=3, logprob=-1,
            sampling_seed=0,
        )),
        (rerank.main, "predictions", Prediction(
            example_id="toy-0", question="Q?", gold="1", chosen=0, answer=None, correct=False, correct_strict=False,
            tokens=1, seconds=0,
            samples=[{"text": "", "answer": None, "correct": False, "correct_strict": False, "tokens": 1, "logprob": 0}],
        )),
    ],
)  # fmt: skip
def test_a_truncated_file_stops_every_script_that_reads_it(project, main, option, row) -> None:
    file = project / "rows.jsonl"
    write_jsonl(file, [row, row])
    file.write_bytes(file.read_bytes()[:-9])
    needed = {
        align_steps.main: words(project, "task-file", "data"),
        make_pairs.main: [*words(project, "task-file", "data"), "--seed", "0"],
        train_discriminator.main: words(project, "generator", "model-file", "task-file"),
        train_verifier.main: words(project, "generator", "model-file", "task-file", "data"),
        rerank.main: [*words(project, "model-file", "task-file"), "--verifier", str(project)],
    }[main]
    if "--generator" in needed:
        needed += ["--seed", "0", "--state", str(project / "state"), "--report", str(project / "r.json")]
    message = refused(main, [*needed, f"--{option}", str(file)], project / "out")
    assert message.startswith(f"{file}:2: the last line is cut off; delete the file and rebuild it")


@pytest.mark.parametrize("main", [lambda given: decode.main(["greedy", *given]), sample_trajectories.main])
def test_a_reference_without_a_value_is_found_before_decoding(project, main) -> None:
    rows = examples()
    rows[2] = rows[2].model_copy(update={"answer": "he has #### none", "final_answer": "none"})
    write_jsonl(project / "test.jsonl", rows)
    message = refused(main, decoding(project, model="not even there"), project / "out.jsonl")
    assert message.startswith(f"{project}/test.jsonl:3: the reference solution has no '#### number'")
    assert message.endswith("mend the data")


def test_an_empty_split_stops_decoding(project) -> None:
    (project / "test.jsonl").write_text("")
    message = refused(lambda given: decode.main(["greedy", *given]), decoding(project), project / "out.jsonl")
    assert message.startswith(f"{project}/test.jsonl: holds no Example rows; check the split")


# ---------------------------------------------------------------- checkpoints


def test_a_delimiter_that_is_no_token_stops_decoding_and_training(project) -> None:
    text = (project / "toy.yaml").read_text()
    (project / "toy.yaml").write_text(text + 'delimiter: "雨"\n')
    said = rf"{project}/model: the step delimiter '雨' of task toy is no token of this tokenizer; choose another"
    for main in (lambda given: decode.main(["greedy", *given]), sample_trajectories.main):
        assert refused(main, decoding(project), project / "out.jsonl").startswith(said)
    write_jsonl(
        project / "pairs.jsonl", [Pair(example_id=f"toy-{split}", split=split, **PAIR) for split in ("train", "dev")]
    )
    given = words(project, "generator", "model-file", "task-file", "pairs", pairs="pairs.jsonl")
    given += ["--seed", "0", "--state", str(project / "state"), "--report", str(project / "report.json")]
    assert refused(train_discriminator.main, given, project / "disc").startswith(said)
    assert not (project / "state").exists()  # said before the training, not after it


def t5_like_tokenizer():
    """As T5's: a sentencepiece tokenizer without '<', whose unknown token stands for it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["<pad>", "</s>", "<unk>", "▁", "|", "####", "#", *"abq0123456789+=>", "▁a"]
    tokenizer = Tokenizer(models.Unigram([(piece, -float(n)) for n, piece in enumerate(pieces)], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", cls_token=None
    )


def test_a_released_t5_without_the_opening_sign_decodes_but_is_not_trained_so() -> None:
    task, tokenizer = arithmetic_task(), t5_like_tokenizer()
    check_delimiter(tokenizer, task, "flan")  # '<<' reads as the unknown token
    with pytest.raises(UserError, match="flan: '<<' is unknown"):
        check_tokenizer(tokenizer, task, "flan")
    with pytest.raises(UserError, match=r"flan: the step delimiter ';' of task arithmetic.*'delimiter' in config"):
        check_delimiter(tokenizer, arithmetic_task(delimiter=";"), "flan")


def test_a_family_that_does_not_fit_is_said_before_the_discriminators_training(project) -> None:
    (project / "tiny.yaml").write_text("name: tiny\ntitle: Tiny\nfamily: decoder_only\nscratch: {}\n")
    write_jsonl(
        project / "pairs.jsonl", [Pair(example_id=f"toy-{split}", split=split, **PAIR) for split in ("train", "dev")]
    )
    given = words(project, "generator", "model-file", "task-file", "pairs", pairs="pairs.jsonl")
    given += ["--seed", "0", "--state", str(project / "state"), "--report", str(project / "report.json")]
    message = refused(train_discriminator.main, given, project / "disc")
    assert message.startswith(
        f"{project}/model/config.json: a model of family encoder_decoder (t5), but the model's YAML says"
    )
    assert not (project / "state").exists()


def test_encoders_are_no_generators(project, tmp_path) -> None:
    from transformers import BertConfig, BertModel, T5EncoderModel

    model, tokenizer = learned("encoder_decoder")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(tmp_path / "bert")
    StepDiscriminator(T5EncoderModel(copy.deepcopy(model.config)), tokenizer).save(tmp_path / "disc", "discriminator")
    for folder, kind in (("bert", "bert"), ("disc", "t5")):
        for family in ("decoder_only", "encoder_decoder"):
            with pytest.raises(UserError, match=rf"{folder}/config.json: an encoder \({kind}\).*generator's folder"):
                check_family(tmp_path / folder, family)
    check_family(project / "model", "encoder_decoder")


def test_weights_that_are_missing_are_not_replaced_by_chance(project) -> None:
    weights = load_file(project / "model" / "model.safetensors")
    gone = next(name for name in weights if "decoder.block.0" in name)
    save_file(
        {k: v for k, v in weights.items() if k != gone}, project / "model" / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(UserError, match=rf"model: weight {gone} is missing \(1 in all\)"):
        load_model(project / "model", "encoder_decoder")


@pytest.mark.parametrize("decoder", ["greedy", "self_consistency", "beam", "guided"])
def test_weights_that_are_no_numbers_stop_every_decoder(project, decoder) -> None:
    name = damaged(project, "broken", lambda weight: weight * float("nan"))
    more = ["--beta", "0"] if decoder == "guided" else []
    given = [*decoding(project, model=name), *more, "--max-new-tokens", "8"]
    message = refused(lambda words: decode.main([decoder, *words]), given, project / "out.jsonl")
    assert "not numbers (NaN)" in message
    assert "rebuild the checkpoint" in message


def test_a_discriminator_whose_scores_are_no_numbers() -> None:
    from transformers import T5EncoderModel

    model, tokenizer = learned("encoder_decoder")
    network = StepDiscriminator(T5EncoderModel(copy.deepcopy(model.config)), tokenizer)
    with torch.no_grad():
        network.out_linear2.bias.fill_(float("nan"))
    with pytest.raises(UserError, match=r"scores of the discriminator or verifier are not numbers.*train or fetch"):
        network.score(["Q?"], [""], ["1+1 |"])


def test_an_unknown_model_file_and_task(project) -> None:
    with pytest.raises(UserError, match=r"none\.yaml: no such file"):
        open_generator(project / "model", project / "none.yaml", project / "toy.yaml")
    with pytest.raises(UserError, match=r"none\.yaml: no such file; known tasks: "):
        open_generator(project / "model", project / "tiny.yaml", project / "none.yaml")


# ---------------------------------------------------------------- a machine that refuses


def run(script: str, *arguments: object, limit: int | None = None) -> subprocess.CompletedProcess:
    """A script as a user runs it; limit: no file may grow beyond so many bytes, as on a disk that is full."""

    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    if limit is not None:
        # Python would leave compiled modules cut off at the limit, which no later process could import.
        bare = f'ulimit -f {limit // 1024}; export PYTHONDONTWRITEBYTECODE=1; exec "$@"'
        command = ["bash", "-c", bare, "limited", *command]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_file_that_cannot_be_written_whole_is_not_written(project) -> None:
    (project / "big.jsonl").write_text("".join(f'{{"question": "q{n}", "answer": "#### {n}"}}\n' for n in range(999)))
    (project / "toy.yaml").write_text(
        (project / "toy.yaml").read_text().replace("test.jsonl", str(project / "big.jsonl"))
    )
    (project / "out.jsonl").write_text("what was there\n")
    given = ["--task-file", project / "toy.yaml", "--split", "test", "--output"]
    done = run("prepare_data.py", *given, project / "out.jsonl", limit=20_480)
    assert done.stderr.startswith(f"error: {project}/out.jsonl: the file is larger than the system allows")
    assert "Nothing was written" in done.stderr
    assert (project / "out.jsonl").read_text() == "what was there\n"
    assert not list(project.glob(".out*"))

    done = run("prepare_data.py", *given, project / "big.jsonl" / "out.jsonl")
    assert "big.jsonl/out.jsonl: cannot be written: a part of this path is a file" in done.stderr


@pytest.mark.parametrize(
    "fault",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        # As safetensors and torch tell it.
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_keeps_the_old_folder(tmp_path, fault) -> None:
    with atomic_path(tmp_path / "model") as folder:
        folder.mkdir()
        (folder / "old").write_text("old")

    def fill() -> None:
        with atomic_path(tmp_path / "model") as folder:
            folder.mkdir()
            (folder / "half").write_text("half")
            raise fault

    with pytest.raises(UserError, match=r"model: the disk is full .*free some space.*Nothing was written"):
        fill()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]


def test_a_fault_of_ours_keeps_its_own_error(tmp_path) -> None:
    with pytest.raises(KeyError):
        write_json(tmp_path / "x.json", {}["no such key"])
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "x"):
        _ = 1 / 0
    with pytest.raises(FileNotFoundError, match="nothing was written for"), atomic_path(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_exchange_fails_comes_back(tmp_path, monkeypatch) -> None:
    def write(content: str) -> None:
        with atomic_path(tmp_path / "model") as folder:
            folder.mkdir()
            (folder / content).write_text(content)

    write("old")
    real, calls = os.replace, []

    def replace(one, other) -> None:
        calls.append((Path(one).name, Path(other).name))
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        real(one, other)

    monkeypatch.setattr("os.replace", replace)
    with pytest.raises(UserError, match="input/output error"):
        write("new")
    assert calls == [("model", "old"), ("model", "model"), ("old", "model")]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["old"]


def test_numbers_of_a_user_that_make_no_sense_are_one_line(project) -> None:
    done = run("decode.py", "greedy", *decoding(project), "--output", project / "o", "--batch-size", "0")
    assert done.stderr == "error: --batch-size '0': Input should be greater than or equal to 1\n"
    (project / "choices.json").write_text(json.dumps({"beta": "much"}))
    given = [*decoding(project), "--discriminator", project, "--choices", project / "choices.json"]
    done = run("decode.py", "guided", *given, "--output", project / "o")
    assert "choices.json: needs numbers beta and temperature" in done.stderr
