"""Learn-to-Reason's prompts and training texts against the authors' own function.

Their worked examples are data of theirs: checksums are compared where the mirror folder has the file, and the ends and
lengths of the texts where it has not.
"""

from hashlib import sha256
from pathlib import Path

from retrace.machine.download import mirror_path
from retrace.systems.learn_to_reason.form import examples_of, written_text
from retrace.tasks.load import load_task

CONFIG = Path(__file__).parents[2] / "config"
TASKS = {"gsm8k": "gsm8k", "svamp": "svamp_kojima", "multiarith": "multiarith", "sqa": "strategy_qa"}
TASKS["cqa"] = "commonsense_qa"
UNKNOWN = "worked examples that stand for the authors' own\n"


def question_of(sample: dict) -> str:
    """The question as our data have it: choices stand in the same line."""
    if "choices" not in sample:
        return sample["question"]
    choices = zip(sample["choices"]["label"], sample["choices"]["text"], strict=True)
    return f"{sample['question']} Answer choices: " + " ".join(f"({label.lower()}) {text}" for label, text in choices)


def examples_in(folder: str | None, task) -> str | None:
    """The authors' examples, where the mirror folder has them; the network is never asked."""
    if folder is None or not mirror_path(task.config.learn_to_reason.url, folder).is_file():
        return None
    return examples_of(task.config, task.path, folder)


def test_ltr_prompts(vectors, request, tmp_path) -> None:
    cases = vectors("ltr_prompts")["cases"]
    folder = request.config.getoption("--mirror")
    checksums = 0
    for case in cases:
        given, expected = case["in"], case["out"]
        plain = load_task(TASKS[given["dataset"]], CONFIG)
        sample, examples = given["sample"], examples_in(folder, plain) if given["fewshot"] else ""
        (tmp_path / "examples.txt").write_text(UNKNOWN if examples is None else examples, encoding="utf-8")
        form = f"learn_to_reason:{tmp_path / 'examples.txt'}" if given["fewshot"] else "learn_to_reason_zero_shot"
        task = plain.in_form(form, "decoder_only")
        prefix = task.prompt(question_of(sample))
        written = written_text(task.kind, sample["answer"], sample["final_ans"], given["fewshot"])
        assert len(written) == expected["full_length"] - expected["prefix_length"], case
        assert (prefix + written)[-len(written) :][-60:] == expected["full_tail"][-len(written) :], case
        if examples is None:
            own = prefix.removeprefix(UNKNOWN)
            assert expected["prefix_tail"].endswith(own[-60:]), case
            continue
        checksums += 1
        for name, text in (("prefix", prefix), ("full", prefix + written)):
            assert len(text) == expected[f"{name}_length"], case
            assert text[-60:] == expected[f"{name}_tail"], case
            assert sha256(text.encode()).hexdigest() == expected[f"{name}_sha256"], case
    print(f"ltr_prompts: {len(cases)} cases, {checksums} of them by checksum")
    assert cases
