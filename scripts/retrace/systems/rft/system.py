"""Rejection-sampling fine-tuning, declared: what it brings to the configuration."""

from retrace.systems.registry import System
from retrace.systems.rft.options import Rft

SYSTEM = System(
    name="rft",
    title="Rejection-sampling fine-tuning",
    paper="arXiv 2308.01825",
    sections={"rft": Rft},
)
