"""Decoders by name: the YAMLs of config/decoders, what they extend, and what is refused."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.systems.algorithms import algorithms, option_sections
from retrace.workflow.configuration import Configuration
from retrace.workflow.decoders import Decoders
from retrace.workflow.settings import Settings

CONFIG = Path(__file__).parents[3] / "config"
SHIPPED = Decoders([CONFIG])


def decoders(folder: Path, **files: str) -> Decoders:
    """The shipped decoders and these: the lines behind `name` and `title`."""
    (folder / "decoders").mkdir()
    for name, text in files.items():
        (folder / "decoders" / f"{name}.yaml").write_text(f"name: {name}\ntitle: {name}\n{text}\n")
    return Decoders([CONFIG, folder])


def test_decoders_and_algorithms_agree() -> None:
    used = {decoder.algorithm for decoder in SHIPPED.values()}
    assert used == set(algorithms())


def test_every_decoder_has_its_options_in_the_configuration() -> None:
    settings = Settings({"preset": "paper"}, CONFIG)
    values = Configuration()
    for name, decoder in SHIPPED.items():
        options = settings.option(values, decoder.section)
        assert set(type(options).model_fields) == set(SHIPPED.algorithm(name).options.model_fields), name
    assert SHIPPED["samples"].section == "dpo_st.samples"
    assert values.maj.samples == 8


def test_what_the_shipped_decoders_need() -> None:
    assert {name: decoder.never_calculates for name, decoder in SHIPPED.items() if decoder.never_calculates} == {
        "verifier": "the verifier ranks samples",
        "implicit": "emulator and student write answers alone",
    }
    guides = {name: decoder.guide for name, decoder in SHIPPED.items() if decoder.guide}
    assert guides == {"grace": "discriminator", "grace_self_consistency": "discriminator", "verifier": "verifier"}
    assert [name for name in SHIPPED if SHIPPED.algorithm(name).in_steps] == [
        "grace",
        "grace_self_consistency",
        "stepwise",
    ]


def test_algorithms_bring_their_sections() -> None:
    for name, section in option_sections().items():
        assert Configuration.model_fields[name].annotation is section
    assert type(Configuration().best_of_n).__name__ == "BestOfN"


def test_a_decoder_extends_another(tmp_path: Path) -> None:
    known = decoders(
        tmp_path,
        grace_n5="extends: grace\nset: {grace.candidates: 5, grace.top_p: 0.9}",
        grace_n5_cold="extends: grace_n5\nset: {grace.temperature: 0.5, grace.top_p: 0.8}",
        mean="extends: maj\nalgorithm: best_of_n",
    )
    found = known["grace_n5_cold"]
    assert (found.algorithm, found.section, found.guide) == ("guided", "grace", "discriminator")
    assert found.set == {"grace.candidates": 5, "grace.top_p": 0.8, "grace.temperature": 0.5}
    assert found.title == "grace_n5_cold"
    assert known.ancestors("grace_n5_cold") == ["grace_n5_cold", "grace_n5", "grace"]
    assert known["grace"].set == {}
    assert known["mean"].section == "best_of_n", "another algorithm has a section of its own"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm: greeedy", r"mine.yaml: algorithm 'greeedy' is unknown; did you mean 'greedy'\? valid: beam"),
        ("about: nothing", r"mine.yaml: algorithm is missing; valid: beam, .*; or let it extend another decoder"),
        ("algorithm: greedy\nsection: beam", r"mine.yaml: section 'beam' holds no options of greedy; valid: greedy"),
        ("algorithm: guided", r"mine.yaml: section is missing, with the options of guided; valid: grace, grace_self"),
        ("extends: grase", r"mine.yaml: extends: decoder 'grase' is unknown; did you mean 'grace'\?"),
        ("extends: mine", r"mine.yaml: extends: decoders extend each other in a circle: mine -> mine"),
        ("extends: other", r"other.yaml: extends: decoders extend each other in a circle: mine -> other -> mine"),
        ("algorithm: greedy\nsamples: 3", r"mine.yaml: unknown key 'samples'"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    known = decoders(tmp_path, mine=text, other="extends: mine")
    with pytest.raises(UserError, match=message):
        known["mine"]
    with pytest.raises(UserError, match=message):
        known["other"]
    assert set(known) == set(SHIPPED)


def test_a_guide_is_a_network_that_is_declared(tmp_path: Path) -> None:
    decoders(tmp_path, mine="algorithm: greedy\nguide: teacher")
    known = Settings({"preset": "paper"}, CONFIG, tmp_path)
    with pytest.raises(
        UserError, match=r"mine.yaml: guide: 'teacher' is not a known network; valid: discriminator, verif"
    ):
        known.decoder("mine")


def test_unknown_and_doubled_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="decoder 'bean' is unknown; did you mean 'beam'"):
        SHIPPED["bean"]
    with pytest.raises(UserError, match=r"greedy.yaml: .*config/decoders/greedy.yaml also has that name; choose"):
        decoders(tmp_path, greedy="algorithm: greedy")["greedy"]
