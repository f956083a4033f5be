"""A teacher behind `transformers serve`, the library's own server, where it is installed."""

import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import ask_teacher
from unit.model_folders import save_model
from unit.systems.learn_to_reason.test_teachers import recorded, rows_of, world
from unit.tiny_models import arithmetic_task, problems, tiny_generator

TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        any(importlib.util.find_spec(name) is None for name in ("fastapi", "uvicorn")),
        reason="transformers serve needs fastapi and uvicorn",
    ),
]


@pytest.fixture
def served(tmp_path, monkeypatch) -> Iterator[str]:
    """The address of a tiny model with random weights."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("TEACHER_KEY", "none")
    model, tokenizer = tiny_generator(arithmetic_task(), problems(8), "decoder_only")
    tokenizer.chat_template = TEMPLATE
    save_model(model, tokenizer, tmp_path / "wise")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = shutil.which("transformers") or str(Path(sys.executable).parent / "transformers")
    words = [program, "serve", str(tmp_path / "wise"), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    log = open(tmp_path / "serve.log", "w")
    server = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + 240
        while True:
            assert server.poll() is None, (tmp_path / "serve.log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "serve.log").read_text()
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).read()
                break
            except OSError:
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()
        log.close()


def test_a_model_served_by_transformers_answers_and_is_recorded(served: str, tmp_path) -> None:
    given = {"base_url": served, "model": tmp_path / "wise", "max_tokens": 8, "retries": 0, "concurrency": 2}
    given["template_file"] = tmp_path / "short.yaml"
    (tmp_path / "short.yaml").write_text(
        "system: Teach.\ndemonstration: '{question}'\nsolution: '{solution}'\n"
        "with_mistake: '{question} {mistake}'\nwithout_mistake: '{question}'\n"
    )
    ask_teacher.main(world(tmp_path, 4, **given))
    assert len(rows_of(tmp_path)) == 4
    first = recorded(tmp_path)
    assert len(first) == 4
    assert all(0 < row["response"]["output_tokens"] <= 9 for row in first)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["requests"]["answered"] == 4
    ask_teacher.main(world(tmp_path, 4, **given))
    assert recorded(tmp_path) == first
