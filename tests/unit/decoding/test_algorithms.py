"""The registry of decoding algorithms, and how best of n chooses."""

import subprocess
import sys
from pathlib import Path

import pytest

from retrace.decoding import algorithms as registry
from retrace.decoding.algorithms import Algorithm, register_algorithm
from retrace.decoding.options import Greedy
from retrace.schemas import Sample
from retrace.systems.algorithms import algorithms, option_sections

SCRIPTS = Path(__file__).parents[3] / "scripts"
SHARED = ["beam", "best_of_n", "few_shot", "few_shot_maj", "greedy", "guided", "self_consistency"]


def test_every_room_brings_its_algorithms() -> None:
    assert sorted(algorithms()) == sorted([*SHARED, "exam", "implicit"])
    assert all(algorithm.name == name for name, algorithm in algorithms().items())


def test_no_two_algorithms_share_a_section() -> None:
    assert len(option_sections()) == sum(len(one.option_sections) for one in algorithms().values())


def test_the_sections_of_an_algorithm_have_its_options() -> None:
    """Else the command line that is made from the section would hold an unknown option."""
    for algorithm in algorithms().values():
        for name, section in algorithm.option_sections.items():
            assert set(section.model_fields) == set(algorithm.options.model_fields), name


def test_names_and_options_are_known_without_torch() -> None:
    code = (
        "import sys; from retrace.systems.algorithms import option_sections; option_sections(); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=SCRIPTS, check=True, timeout=60)


def test_a_name_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "REGISTERED", dict(algorithms()))
    with pytest.raises(ValueError, match="two decoding algorithms named 'greedy'"):
        register_algorithm(Algorithm("greedy", Greedy, sample=lambda *_: iter(())))
    register_algorithm(Algorithm("greedier", Greedy, sample=lambda *_: iter(())))
    assert registry.REGISTERED["greedier"].option_sections == {"greedier": Greedy}


@pytest.mark.parametrize(
    ("logprobs", "chosen"),
    [
        ([(-6.0, 3), (-4.0, 1), (-10.0, 10)], 2),  # means -2, -4, -1: neither the likeliest whole nor the shortest
        ([(-2.0, 2), (-1.0, 1)], 0),  # equal means: the first
        ([(-9.0, 3)], 0),
    ],
)
def test_best_of_n_chooses_by_the_mean_of_the_tokens(logprobs: list[tuple[float, int]], chosen: int) -> None:
    samples = [
        Sample(text="", answer=None, correct=False, correct_strict=False, tokens=tokens, logprob=logprob)
        for logprob, tokens in logprobs
    ]
    assert algorithms()["best_of_n"].choose(None, samples) == chosen


def test_a_decoder_is_two_files() -> None:
    """The algorithm and its YAML; the schema is generated from the first, and small presets want fewer samples."""
    root = SCRIPTS.parent
    kinds = {".py", ".smk", ".yaml", ".json"}
    files = [
        path for room in ("scripts", "rules", "config") for path in (root / room).rglob("*") if path.suffix in kinds
    ]
    naming = {str(path.relative_to(root)) for path in files if "best_of_n" in path.read_text(encoding="utf-8")}
    settings = {f"config/presets/{preset}/best_of_n.yaml" for preset in ("laptop", "smoke", "tiny")}
    settings.add("config/schema.json")
    assert naming - settings == {"scripts/retrace/decoding/best_of_n.py", "config/decoders/best_of_n.yaml"}
