"""Faulty YAMLs in a run: what needs one is refused without a traceback, and nothing else is held up."""

from pathlib import Path

import pytest

TARGET = "results/arithmetic/tiny_t5/greedy_acc.json"
TWICE = (
    "name: dup\ntitle: T\nfamily: word_problems\nformat: question_answer\nsplits: {train: {file: a.jsonl}}\ntitle: U\n"
)
FAULT = "config/tasks/dup.yaml:6: key 'title' is given twice, first on line 2"


@pytest.fixture
def faulty(workflow):
    """A run with faulty files of every kind."""
    folder: Path = workflow.configured("preset: smoke\n").folder / "config"
    for kind, text in (
        ("tasks/dup", TWICE),
        ("models/big", "[" * 100_000),
        ("checkpoints/old", "name: old\nextends: sfd\n"),
        ("decoders/latin", "title: caf\u00e9\n".encode("latin-1")),
        ("methods/a_vs_b", "name: a_vs_b\nextends: greedy\n"),
        ("presets/mine", "a: [\n"),
    ):
        path = folder / f"{kind}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return workflow


def test_what_needs_none_is_planned_with_a_note_of_each(faulty) -> None:
    shown = faulty.dry(TARGET)
    assert "score_method" in shown
    for name in ("tasks/dup", "models/big", "checkpoints/old", "decoders/latin", "methods/a_vs_b", "presets/mine"):
        assert shown.count(f"note: left out, since nothing here needs it: config/{name}.yaml") == 1, name


@pytest.mark.parametrize("words", [[], ["--quiet", "all"], ["--workflow-profile", "profiles/slurm"]])
def test_what_needs_one_is_refused(faulty, words: list[str]) -> None:
    words = [str(faulty.project / word) if word.startswith("profiles") else word for word in words]
    for target, fault in (
        ("results/dup/tiny_t5/greedy_acc.json", FAULT),
        ("data", FAULT),
        ("results/arithmetic/big/greedy_acc.json", "config/models/big.yaml:1: nested more than 50 levels deep"),
    )[: 3 if not words else 1]:
        said = faulty.refused("--dry-run", target, *words)
        assert fault in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("text", "words", "fault"),
    [
        (
            "preset: smoke\nseeds: [0]\nseeds: [1]\n",
            [],
            "config/config.yaml:3: key 'seeds' is given twice, first on line 2",
        ),
        ("[" * 100_000, [], "config/config.yaml:1: nested more than 50 levels deep"),
        ("préset: x\n".encode("latin-1"), [], "config/config.yaml:1: not UTF-8 text"),
        ("preset: smoke\ngrace: {bata: 1}\n", [], "config/config.yaml: configuration: unknown key 'grace.bata'"),
        (
            "preset: smoke\n",
            ["--config", "grace={beta: 1, beta: 2}"],
            "--config grace:1: key 'beta' is given twice",
        ),
        ("preset: smoke\n", ["--config", "overrides={a: 1}"], "--config: overrides: should be a list"),
        ("preset: smoke\n", ["--config", "preset=[a]"], "--config: preset: should be the name of a preset"),
        (
            "preset: smoke\n",
            ["--configfile", "more.yaml"],
            "more.yaml:2: key 'preset' is given twice, first on line 1",
        ),
    ],
)
def test_faulty_configurations(workflow, text: str | bytes, words: list[str], fault: str) -> None:
    (workflow.folder / "config/config.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    (workflow.folder / "more.yaml").write_text("preset: tiny\npreset: smoke\n")
    said = workflow.refused("--dry-run", TARGET, "--quiet", "all", *words)
    assert fault in said
    assert "Traceback" not in said
