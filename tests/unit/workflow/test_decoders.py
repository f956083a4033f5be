"""Decoders by name: the YAMLs of config/decoders, what they extend, and what is refused."""

from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.systems.algorithms import algorithms, option_sections
from retrace.workflow.configuration import Configuration, ConfigurationBase
from retrace.workflow.decoders import SHIPPED, Decoders, shipped
from retrace.workflow.names import DECODERS, NEVER_CALCULATE


def decoders(folder: Path, **files: str) -> Decoders:
    """The shipped decoders and these: the lines behind `name` and `title`."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(f"name: {name}\ntitle: {name}\n{text}\n")
    return Decoders(SHIPPED, folder)


def test_decoders_and_algorithms_agree() -> None:
    used = {decoder.algorithm for decoder in shipped().values()}
    assert used == set(algorithms())


def test_every_decoder_has_its_options_in_the_configuration() -> None:
    values = Configuration()
    for name, decoder in shipped().items():
        options = decoder.options_in(values)
        assert set(type(options).model_fields) == set(shipped().algorithm(name).options.model_fields), name
    assert shipped()["samples"].options_in(values) is values.dpo_st.samples
    assert shipped()["maj"].options_in(values).samples == 8


def test_views_by_name() -> None:
    assert tuple(sorted(DECODERS)) == DECODERS
    assert {"greedy", "grace", "verifier", "best_of_n"} <= set(DECODERS)
    assert NEVER_CALCULATE == {
        "verifier": "the verifier ranks samples",
        "implicit": "emulator and student write answers alone",
    }
    assert shipped().in_steps == ("grace", "grace_self_consistency", "stepwise")
    assert shipped().with_demonstrations == ("few_shot", "few_shot_maj")
    guides = {name: decoder.guide for name, decoder in shipped().items() if decoder.guide}
    assert guides == {"grace": "discriminator", "grace_self_consistency": "discriminator", "verifier": "verifier"}


def test_sections_that_the_configuration_names_are_those_of_the_algorithms() -> None:
    own = {name: field.annotation for name, field in ConfigurationBase.model_fields.items()}
    for name, section in option_sections().items():
        assert Configuration.model_fields[name].annotation is section
        assert own.get(name, section) is section
    assert "best_of_n" not in own
    assert type(Configuration().best_of_n).__name__ == "BestOfN"
    assert [*Configuration.model_fields][: len(own)] == [*own]


def test_a_decoder_extends_another(tmp_path: Path) -> None:
    known = decoders(
        tmp_path,
        grace_n5="extends: grace\nset: {grace.candidates: 5, grace.top_p: 0.9}",
        grace_n5_cold="extends: grace_n5\nset: {grace.temperature: 0.5, grace.top_p: 0.8}",
        mean="extends: maj\nalgorithm: best_of_n",
    )
    found = known.resolved("grace_n5_cold")
    assert (found.algorithm, found.section, found.guide) == ("guided", "grace", "discriminator")
    assert found.set == {"grace.candidates": 5, "grace.top_p": 0.8, "grace.temperature": 0.5}
    assert (found.title, found.about) == ("grace_n5_cold", "")
    assert known.lineage("grace_n5_cold") == ["grace_n5_cold", "grace_n5", "grace"]
    assert known.resolved("grace").set == {}
    assert known.resolved("mean").section == "best_of_n", "another algorithm has a section of its own"
    assert "grace_n5_cold" in known.in_steps


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("algorithm: greeedy", r"mine.yaml: algorithm 'greeedy' is unknown; did you mean 'greedy'\? valid: beam"),
        ("about: nothing", r"mine.yaml: algorithm is missing; valid: beam, .*; or let it extend another decoder"),
        ("algorithm: greedy\nsection: beam", r"mine.yaml: section 'beam' holds no options of greedy; valid: greedy"),
        ("algorithm: guided", r"mine.yaml: section is missing, with the options of guided; valid: grace, grace_self"),
        ("extends: grase", r"mine.yaml: extends: decoder 'grase' is unknown; did you mean 'grace'\?"),
        ("extends: mine", r"mine.yaml: extends: decoders extend each other in a circle: mine -> mine; leave one"),
        ("extends: other", r"other.yaml: extends: decoders extend each other in a circle: mine -> other -> mine"),
        ("algorithm: greedy\nguide: teacher", r"mine.yaml: guide: Input should be 'discriminator' or 'verifier'"),
        ("algorithm: greedy\nsamples: 3", r"mine.yaml: unknown key 'samples'"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    known = decoders(tmp_path, mine=text, other="extends: mine")
    with pytest.raises(UserError, match=message):
        known.resolved("mine")


def test_unknown_and_doubled_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="decoder 'bean' is unknown; did you mean 'beam'"):
        shipped().resolved("bean")
    with pytest.raises(KeyError):
        shipped()["bean"]
    with pytest.raises(UserError, match=r"greedy.yaml: .*config/decoders/greedy.yaml has that name, too"):
        decoders(tmp_path, greedy="algorithm: greedy")
