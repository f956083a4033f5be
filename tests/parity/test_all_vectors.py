"""No vectors without a test: each file NAME.json belongs to tests/parity/test_NAME.py."""

from pathlib import Path

import pytest


def test_every_file_of_vectors_has_its_test(request: pytest.FixtureRequest) -> None:
    folder = request.config.getoption("--vectors")
    if not folder:
        pytest.skip("no folder of parity vectors given (--vectors DIR)")
    files = {path.stem for path in Path(folder).glob("*.json")}
    assert files
    assert files == {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")} - {
        "all_vectors"
    }
