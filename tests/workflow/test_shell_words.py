"""No text of a configuration is read by the shell: it reaches its program as it stands, as one word."""

import json
import shlex

import pytest

from retrace.planning.jobs import PLUGINS

EVIL = "x$(touch pwned)`touch pwned` \"y\" 'z';\n& *"
TARGETS = [
    "results/arithmetic/tiny_t5/seed0/learn_to_reason_round1/model",
    "results/arithmetic/tiny_t5/seed0/base_discriminator/report.json",
    "results/arithmetic/tiny_t5/verifier_acc.json",
    "results/arithmetic/tiny_t5/seed0/dpo_round1/model",
    "results/arithmetic/tiny_gpt2/seed0/latro/model",
    "results/mult_2x2/tiny_gpt2/icot_acc.json",
]
# Each free text, and the option of a command that it must stand behind.
TEXTS = {
    "align.embedder_url": "--embedder-url",
    "discriminator.backbone": "--backbone",
    "verifier.backbone": "--backbone",
    "dpo_st.dpo.lora_modules": "--lora-modules",
    "dpo_st.sft.lora_modules": "--lora-modules",
    "feedback.released_mistakes": "--released",
    "feedback.released_rationales": "--released",
    "icot.released_emulator": "--released-emulator",
    "icot.released_student": "--released-student",
    "latro.lora_modules": "--lora-modules",
    "latro.stop_strings": "--stop-strings",
    "pair.entailment_model": "--entailment-model",
    "teacher.base_url": "--base-url",
    "teacher.key_variable": "--key-variable",
    "teacher.model": "--model",
    "teacher.recording": "--recording",
}
LISTS = {
    name
    for name in TEXTS
    if name.endswith(("_modules", "_strings")) or ".released_mi" in name or ".released_ra" in name
}


@pytest.fixture(scope="module")
def commands(workflow_class, tmp_path_factory) -> list[list[str]]:
    """The words of every job's command, as a shell reads them."""
    folder = tmp_path_factory.mktemp("evil")
    workflow = workflow_class(folder).configured("preset: smoke\n")
    # Folders and files that are looked for while planning.
    (folder / EVIL).mkdir()
    released = f"{EVIL}/released.json"
    (folder / released).write_text("{}")
    values: dict[str, dict] = {"teacher": {"kind": "openai"}}
    for name in TEXTS:
        *parents, last = name.split(".")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        text = released if name.startswith("feedback.released") else EVIL
        section[last] = [text] if name in LISTS else text
    (folder / "config/evil.yaml").write_text(json.dumps(values))
    words = ["--configfile", "config/evil.yaml", "--dry-run", "--logger", "retrace-jobs"]
    done = workflow.run(*TARGETS, *words, env={"PYTHONPATH": str(PLUGINS)})
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    jobs = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert not (folder / "pwned").exists()
    return [shlex.split(job["command"]) for job in jobs if job["command"]]


@pytest.mark.parametrize("name", TEXTS)
def test_a_free_text_is_one_word(commands, name: str) -> None:
    text = f"{EVIL}/released.json" if name.startswith("feedback.released") else EVIL
    found = [words[words.index(TEXTS[name]) + 1 :][:1] for words in commands if TEXTS[name] in words]
    assert [text] in found, f"{TEXTS[name]}: {found}"


def test_nothing_of_it_stands_outside_its_word(commands) -> None:
    for words in commands:
        for word in words:
            if "touch" in word:
                assert EVIL in word or json.dumps(EVIL)[1:-1] in word, word
