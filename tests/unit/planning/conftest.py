"""The programs of this room ask Snakemake for its plan: here it starts from a process that has imported it already."""

import sys

import pytest

from workflow_fixtures import WARM


@pytest.fixture(autouse=True)
def warm_snakemake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(WARM.python()))
