"""train_latro.py from files to files: plain text, a chat template and the user's own columns; and what it refuses."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

import train_latro
from retrace.errors import UserError
from retrace.machine.storage import write_jsonl
from retrace.models.load import load_model
from retrace.prompting.layouts import has_masked_results, note_masked_results
from suites import first_daily
from unit.model_folders import save_model
from unit.tiny_models import arithmetic_task, problems, tiny_generator
from workflow_fixtures import WARM

CONFIG = Path(__file__).parents[4] / "config"
SCRIPT = Path(train_latro.__file__)
TEMPLATE = (
    "{% for message in messages %}[CLS]{{ message['role'] }}: {{ message['content'] }}[SEP]{% endfor %}"
    "{% if add_generation_prompt %}[CLS]assistant: {% endif %}"
)
SMALL = {"rationales": 2, "batch-size": 8, "device-batch-size": 4, "max-steps": 2, "evaluations": 1}
SMALL |= {"max-rationale-tokens": 8, "max-answer-tokens": 32, "learning-rate": 1e-3}


def project(folder: Path, chat: bool = False, pad: bool = True) -> dict[str, object]:
    """Model, YAML and data in a folder; the options that name them."""
    train, dev = problems(12), problems(6, "dev")
    model, tokenizer = tiny_generator(arithmetic_task(), train + dev, "decoder_only")
    if chat:
        tokenizer.chat_template = TEMPLATE
    if not pad:
        tokenizer.pad_token = None
    save_model(model, tokenizer, folder / "base")
    (folder / "tiny.yaml").write_text(
        f"name: tiny\ntitle: Tiny\nfamily: decoder_only\nfile: base\nchat: {str(chat).lower()}\n"
    )
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "dev.jsonl", dev)
    return {
        "model": folder / "base",
        "model-file": folder / "tiny.yaml",
        "task-file": CONFIG / "tasks/arithmetic.yaml",
        "train": folder / "train.jsonl",
        "compare": folder / "dev.jsonl",
        "seed": 0,
        "state": folder / "state",
        "output": folder / "model",
        "curves": folder / "curves.jsonl",
        "report": folder / "report.json",
    } | SMALL


def words(options: dict[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_files_to_files(tmp_path) -> None:
    options = words(project(tmp_path))
    note_masked_results(tmp_path / "base")
    train_latro.main(options)
    assert has_masked_results(tmp_path / "model")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "| trained on | 12 questions with their final answers |" in card
    rows = lines(tmp_path / "curves.jsonl")
    training = [row for row in rows if "loss" in row]
    wanted = {"reward", "kl", "rationale_length", "finished_share", "equal_share", "learning_rate"}
    assert [row["step"] for row in training] == [1, 2]
    assert all(wanted <= set(row) for row in training)
    assert [row["step"] for row in rows if "dev_accuracy" in row] == [0, 2]
    assert all("dev_reward" in row for row in rows if "dev_accuracy" in row)  # reported together
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["chosen_on"], report["questions"], report["stopped"]) == ("dev", 6, None)
    load_model(tmp_path / "model", "decoder_only")
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
def test_a_chat_model_without_pad_token(tmp_path) -> None:
    """Questions through the template, answers in words; the pad token that was chosen is saved with the checkpoint."""
    train_latro.main(words(project(tmp_path, chat=True, pad=False) | {"sft-penalty": 1.0}))
    _, tokenizer = load_model(tmp_path / "model", "decoder_only")
    assert tokenizer.pad_token == tokenizer.unk_token
    assert tokenizer.chat_template == TEMPLATE
    assert len([row for row in lines(tmp_path / "curves.jsonl") if "loss" in row]) == 2


@pytest.mark.parametrize("chat", first_daily([True, False]))
def test_the_users_own_columns(tmp_path, chat) -> None:
    from retrace.tasks.formats import read_split
    from retrace.tasks.load import load_task

    own = [
        {"queries": f"Tom has {n} pens.", "responses": f"The answer is {n}.", "groundtruth": str(n)} for n in range(20)
    ]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in own))
    (tmp_path / "own.yaml").write_text(
        "name: own\ntitle: Own\nfamily: numeric\nformat: queries_responses\nsplits:\n"
        f"  train: {{file: {tmp_path}/own.jsonl, part: [0.5, 1.0]}}\n  dev: {{part_of: train, part: [0.0, 0.5]}}\n"
    )
    options = project(tmp_path, chat) | {"task-file": tmp_path / "own.yaml"}
    task = load_task(tmp_path / "own.yaml")
    write_jsonl(tmp_path / "train.jsonl", read_split(task, "train"))
    write_jsonl(tmp_path / "dev.jsonl", read_split(task, "dev"))
    train_latro.main(words(options))
    assert json.loads((tmp_path / "report.json").read_text())["questions"] == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch-size": 9}, "batch_size 9 is not a multiple of rationales 2.*set it to 8 or 10"),
        ({"device-batch-size": 3}, "not a multiple of device_batch_size 3"),
        ({"choose-on": "test"}, r"dev\.jsonl: question .* is of split 'dev', not 'test'"),
        ({"generation": "vllm", "calculator": "false"}, "vLLM is not installed"),
        ({"rationales": 1}, "--rationales '1': Input should be greater than or equal to 2"),
        ({"max-rationale-tokens": 200}, "leave no room for a question in 128 positions"),
        ({"max-answer-tokens": 1}, "no question is left.*have answers longer than 1 tokens"),
        ({"unfinished": "zero"}, None),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, changes, message) -> None:
    given = words(project(tmp_path) | changes)
    if message is None:  # argparse lists the choices itself
        with pytest.raises(SystemExit):
            train_latro.main(given)
    else:
        with pytest.raises(UserError, match=message):
            train_latro.main(given)
    assert not (tmp_path / "model").exists()
    assert not (tmp_path / "curves.jsonl").exists()


def test_encoder_decoders_are_refused(tmp_path) -> None:
    options = project(tmp_path)
    (tmp_path / "tiny.yaml").write_text("name: tiny\ntitle: Tiny\nfamily: encoder_decoder\nfile: base\n")
    with pytest.raises(UserError, match="family encoder_decoder: LaTRO trains decoder-only models"):
        train_latro.main(words(options))


def test_an_answer_that_is_no_reference_is_named(tmp_path) -> None:
    options = project(tmp_path)
    rows = problems(6, "dev")
    write_jsonl(tmp_path / "dev.jsonl", [*rows[:3], rows[3].model_copy(update={"answer": "no marker"}), *rows[4:]])
    with pytest.raises(UserError, match=r"dev\.jsonl:4: the reference solution has no '#### number'"):
        train_latro.main(words(options))


def run(options: dict[str, object], **changes) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [str(WARM.python()), str(SCRIPT), *words(options | changes)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights_and_curve(tmp_path) -> None:
    """Killed as a machine does it, in the middle of writing or not, and started again with the same command."""
    options = project(tmp_path) | {"max-steps": 30, "evaluations": 10, "stop-on-decline": "false"}
    whole = {name: tmp_path / f"whole_{name}" for name in ("state", "output", "curves", "report")}
    done = run(options, **whole)
    assert done.wait(timeout=600) == 0, done.stdout.read()
    first = run(options)
    limit = time.monotonic() + 500
    while not list((tmp_path / "state").glob("checkpoint-[3-9]*/trainer_state.json")) and time.monotonic() < limit:
        assert first.poll() is None, first.stdout.read()
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert not (tmp_path / "model").exists()
    second = run(options)
    text, _ = second.communicate(timeout=600)
    assert second.returncode == 0, text
    assert "resuming at" in text
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path / "model", whole["output"]))
    assert all((one[name] == two[name]).all() for name in two)
    assert lines(tmp_path / "curves.jsonl") == lines(whole["curves"])
    assert (tmp_path / "report.json").read_text() == whole["report"].read_text()
