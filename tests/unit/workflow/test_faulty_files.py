"""Faulty YAMLs of the user's: each is read or refused with its name, and stops only what needs it."""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retrace.errors import UserError
from retrace.models.options import load_model_config
from retrace.systems.declaration import Checkpoint
from retrace.tasks.load import load_task
from retrace.workflow.configuration import Configuration
from retrace.workflow.configuration_files import config_words, read_files
from retrace.workflow.decoders import DecoderConfig
from retrace.workflow.layers import Layers
from retrace.workflow.methods import MethodConfig
from retrace.workflow.settings import Settings
from retrace.yaml_files import check_plain, read_named
from unit.workflow.mutants import mutants

CONFIG = Path(__file__).parents[3] / "config"
SEED = "faulty files 1"


def settings_of(path: Path) -> object:
    """What the Snakefile makes of a configuration file."""
    user = read_files([path], [])
    values = next(iter(user.values()), {})
    check_plain(values, "configuration")
    layers = Layers(values, [CONFIG], user)
    return [layers.values(task, "flan_t5_large", {}, "configuration") for task in (None, "gsm8k")]


READERS: dict[str, Callable[[Path], object]] = {
    "tasks": load_task,
    "models": load_model_config,
    "checkpoints": lambda path: read_named(Checkpoint, path),
    "decoders": lambda path: read_named(DecoderConfig, path),
    "methods": lambda path: read_named(MethodConfig, path),
    "presets": settings_of,
}
COUNTS = {"presets": 20, "tasks": 30}


@pytest.mark.parametrize("kind", READERS)
def test_a_faulty_file_is_read_or_refused_with_its_name(tmp_path: Path, kind: str) -> None:
    refused, tried = 0, 0
    unnamed = []
    for file in sorted((CONFIG / kind).glob("*.yaml")):
        for mutant in mutants(file.read_text(), COUNTS.get(kind, 20), f"{SEED} {file.stem}"):
            path = tmp_path / file.name
            path.write_bytes(mutant.replace(b"extends:", b"preset:") if kind == "presets" else mutant)
            try:
                READERS[kind](path)
            except UserError as error:
                unnamed += [] if file.name in str(error) else [mutant]
                refused += 1
            tried += 1
    assert unnamed == []
    assert tried / 4 < refused < tried


KINDS = ["tasks", "models", "checkpoints", "decoders", "methods"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_needs_no_faulty_file_goes_on(tmp_path: Path, kind: str) -> None:
    draw = random.Random(f"{SEED} {kind}")
    folder = tmp_path / kind
    folder.mkdir()
    for number in range(8):
        file = draw.choice(sorted((CONFIG / kind).glob("*.yaml")))
        (mutant,) = [*mutants(file.read_text(), number + 1, f"{SEED} {file.stem} {number}")][-1:]
        (folder / f"mutant{number}.yaml").write_bytes(mutant)
    known = Settings({"preset": "tiny"}, CONFIG, tmp_path)
    assert known.checkpoint("gsm8k", "flan_t5_large", "grace") == "sft"
    faults = known.faults()
    assert len(faults) == 8, "their names, if nothing else, are not those of their files"
    assert all(re.search(rf"{kind}/mutant\d.yaml", fault) for fault in faults)


# Wrong in itself or for most options: every option gets some of them.
WRONG = [
    None,
    [],
    {},
    "x",
    "",
    -1,
    2.5,
    float("nan"),
    True,
    [[]],
    [None],
    {"a": {"b": 1}},
    10**30,
    "x" * 5000,
    "a/b",
    "\x00",
    "1",
]


def options(owner: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """All options and sections of the configuration."""
    found = []
    for name, field in owner.model_fields.items():
        found.append((*before, name))
        if hasattr(field.annotation, "model_fields"):
            found += options(field.annotation, (*before, name))
    return found


def test_a_wrong_value_of_any_option_is_refused_with_its_file() -> None:
    said = []
    for number, option in [*enumerate(options(Configuration))][::6]:
        value: Any = WRONG[number % len(WRONG)]
        for part in reversed(option):
            value = {part: value}
        user = {"preset": "tiny", **value}
        try:
            Layers(user, [CONFIG], {"mine.yaml": user}).values(None, None, {}, "configuration")
        except UserError as error:
            said.append(str(error))
    assert len(said) > 60
    assert [message for message in said if not message.startswith("mine.yaml: ")] == []


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"preset": ["a"]}, r"mine.yaml: preset: should be the name of a preset \(got \['a'\]\); valid: grace_readme"),
        ({"preset": None}, r"mine.yaml: preset: should be the name of a preset \(got None\)"),
        ({"preset": 1}, "preset: should be the name"),
        ({"preset": "smok"}, "mine.yaml: preset 'smok' is unknown; did you mean 'smoke'"),
        ({"overrides": 3}, r"mine.yaml: overrides: should be a list of {when: .*\(got 3\)"),
        ({"overrides": {"a": 1}}, "overrides: should be a list"),
        ({"overrides": [3]}, r"mine.yaml: overrides.0: .*\(got 3\)"),
        ({"overrides": [[]]}, "mine.yaml: overrides.0: "),
        ({"overrides": [{"when": 3, "set": {}}]}, "overrides.0: when: "),
        ({"overrides": [{"when": {"task": "gsm8k"}, "set": []}]}, "overrides.0: set: "),
        (
            {"overrides": [{"when": {"task": "gsm9k"}, "set": {}}]},
            "mine.yaml: overrides: when.task: 'gsm9k' is unknown",
        ),
        ({"own": ["a"]}, "own: .*no such folder"),
        ({"own": "x" * 5000}, "own: .*no such folder"),
        ({"grace": {"bata": 1}}, "mine.yaml: configuration: unknown key 'grace.bata'; did you mean 'beta'"),
        (
            {"discriminator": {"backbone": "no_such"}},
            "mine.yaml: configuration: discriminator.backbone 'no_such' is unkn",
        ),
        ({"seeds": 3}, "mine.yaml: configuration: seeds: .*give a list"),
        ({"greedy": {1: 2}}, "configuration: greedy: 1 as a key is no text"),
    ],
)
def test_wrong_settings(user: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Settings(user, CONFIG, files={"mine.yaml": user})


def test_a_wrong_section_of_an_override_is_named_with_its_file() -> None:
    user = {"preset": "tiny", "overrides": [{"when": {"task": "gsm8k"}, "set": {"grase.beta": 1}}]}
    with pytest.raises(UserError, match=r"mine.yaml: configuration: unknown key 'grase'; did you mean 'grace'"):
        Layers(user, [CONFIG], {"mine.yaml": user}).values("gsm8k", None, {}, "configuration")


def test_the_file_that_says_it_is_named(tmp_path: Path) -> None:
    files = {"one.yaml": {"grace": {"candidates": 0}, "beam": {"x": 1}}, "two.yaml": {"grace": {"candidates": -1}}}

    def refused(user: dict) -> str:
        with pytest.raises(UserError) as caught:
            Settings(user, CONFIG, tmp_path, files)
        return str(caught.value)

    assert refused({"grace": {"candidates": -1}}).startswith("two.yaml: ")
    assert refused({"grace": {"candidates": -2}}).startswith("--config: ")
    assert refused({"beam": {"x": 1}}).startswith("one.yaml: ")
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "mine.yaml").write_text("extends: tiny\ngrace: {candidates: none}\n")
    assert f"{tmp_path}/presets/mine.yaml: configuration: grace.candidates: " in refused({"preset": "mine"})


def test_a_model_without_a_default_keeps_the_shipped_one() -> None:
    assert Configuration(headline_models={"latro": "gpt2"}).headline_models["default"] == "flan_t5_large"


def test_an_own_preset_that_is_not_in_use_may_be_faulty(tmp_path: Path) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "mine.yaml").write_text("extends: tiny\nextends: smoke\n")
    known = Settings({"preset": "tiny"}, CONFIG, tmp_path)
    assert re.search(r"presets/mine.yaml:2: key 'extends' is given twice", known.faults()[0])
    with pytest.raises(UserError, match=r"presets/mine.yaml:2: key 'extends' is given twice"):
        Settings({"preset": "mine"}, CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("mine", "circle: mine -> mine"),
        ("[a]", r"mine.yaml: extends: should be the name"),
        ("smok", "mine.yaml: extends: "),
    ],
)
def test_presets_that_extend_nothing(tmp_path: Path, extends: str, message: str) -> None:
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "mine.yaml").write_text(f"extends: {extends}\n")
    with pytest.raises(UserError, match=message):
        Settings({"preset": "mine"}, CONFIG, tmp_path)


@pytest.mark.parametrize("name", ["a_vs_b", "vs", "sft_vs"])
def test_names_that_comparisons_would_take_apart(tmp_path: Path, name: str) -> None:
    for kind, parent in (("methods", "greedy"), ("checkpoints", "sft"), ("decoders", "greedy")):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.yaml").write_text(f"name: {name}\nextends: {parent}\n")
    known = Settings({"preset": "tiny"}, CONFIG, tmp_path)
    assert len([fault for fault in known.faults() if f"{name}.yaml: `vs` stands between the two methods" in fault]) == 3
    with pytest.raises(UserError, match="rename it"):
        known.method(name)


@pytest.mark.parametrize("name", ["My Task", "a.b", "é", "Upper", "{x}", "a\nb", "-n", "a__b"])
def test_names_that_no_path_may_hold(tmp_path: Path, name: str) -> None:
    for kind in KINDS:
        (tmp_path / kind).mkdir()
        text = next((CONFIG / kind).glob("*.yaml")).read_text()
        (tmp_path / kind / f"{name}.yaml").write_text(re.sub("^name: .*", lambda _: f"name: {name!r}", text))
    known = Settings({"preset": "tiny"}, CONFIG, tmp_path)
    assert len(known.faults()) == len(KINDS)
    for names in (known.tasks, known.models, known.methods, known.decoders, known.checkpoints):
        assert name not in names
    with pytest.raises(UserError, match="names are lower-case letters, digits and single _; rename the file"):
        known.task(name)


def test_a_task_may_not_be_called_as_a_folder_of_all_results(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    text = (CONFIG / "tasks" / "gsm8k.yaml").read_text()
    (tmp_path / "tasks" / "data.yaml").write_text(text.replace("name: gsm8k", "name: data", 1))
    known = Settings({"preset": "tiny"}, CONFIG, tmp_path)
    with pytest.raises(UserError, match=r"data.yaml: results/data/ is not a task folder; rename the task"):
        known.task("data")
    assert "data" not in known.tasks


def test_another_ending_is_said(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mine.yml").write_text("name: mine\n")
    with pytest.raises(UserError, match=r"models/mine.yml: names of these files end in .yaml; rename it to mine.yaml"):
        Settings({"preset": "tiny"}, CONFIG, tmp_path).generator_model("mine")


def test_a_faulty_file_is_no_reason_to_refuse_an_override_of_it(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.yaml").write_text("name: mine\n")
    user = {"overrides": [{"when": {"task": "mine"}, "set": {"greedy.max_new_tokens": 5}}]}
    assert Settings(user, CONFIG, tmp_path).checkpoint("gsm8k", "flan_t5_large", "greedy") == "sft"


def test_the_message_for_an_unknown_method_is_short() -> None:
    with pytest.raises(UserError) as caught:
        Settings({"preset": "paper"}, CONFIG).method("dpo_st_round2_beem")
    assert "did you mean 'dpo_st_round2_beam'" in str(caught.value)
    assert len(str(caught.value)) < 350


def test_words_of_the_command_line() -> None:
    words = ["snakemake", "-n", "x.json", "--config", "a=1", "b={c: -1}", "--cores", "2", "-C", "d=3", "--config=e=4"]
    assert config_words(words) == ["a=1", "b={c: -1}", "d=3", "e=4"]


def test_a_template_is_left_to_snakemake(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text("__use_yte__: true\n?if True:\n  preset: tiny\n")
    (tmp_path / "u.yaml").write_text("preset: tiny\n")
    assert [*read_files([tmp_path / "t.yaml", tmp_path / "u.yaml", tmp_path / "no.yaml"], []).values()] == [
        {"preset": "tiny"}
    ]
