"""Options and fixtures that all suites share."""

import gc
import os
import signal

import pytest

from suites import choose_examples
from warm_python import remember_what_is_installed

pytest_plugins = ["workflow_fixtures"]
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # tests never reach for the network
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# The models are tiny: a second thread gains nothing, and beside other work both would wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Two threads that wait for each other in a loop are many times slower beside another busy process.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of hundreds of jobs would compile the package anew
# Of tests/run that was interrupted, to the tests beside the first ones: what they started must end with them.
TESTS = os.getpid()


def end_the_tests(number: int, frame: object) -> None:
    """End pytest with its teardown; a process that a test forked ends as it would elsewhere."""
    if os.getpid() == TESTS:
        raise KeyboardInterrupt
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


signal.signal(signal.SIGTERM, end_the_tests)


def pytest_configure(config: pytest.Config) -> None:
    choose_examples(config)
    remember_what_is_installed()


def pytest_collection_finish() -> None:
    """What was imported stays: trainers collect garbage after each run, and would look at all of it each time."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--vectors", default=None, help="folder of parity vectors (outputs of the official codes)")
    parser.addoption(
        "--mirror", default=os.environ.get("RETRACE_MIRROR"), help="folder of mirrored data, for real-data tests"
    )


@pytest.fixture
def mirror(request: pytest.FixtureRequest) -> str:
    """The folder of mirrored data; without one the test is skipped."""
    folder = request.config.getoption("--mirror")
    if not folder:
        pytest.skip("no folder of mirrored data given (--mirror DIR)")
    return folder
