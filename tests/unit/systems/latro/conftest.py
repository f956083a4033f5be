"""What the tests of LaTRO share."""

from pathlib import Path

import pytest

from unit.latro_setting import EXAMPLES, TASK
from unit.tiny_models import tiny_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny base model."""
    return tiny_folder(tmp_path_factory.mktemp("base") / "model", TASK, EXAMPLES, "decoder_only")
