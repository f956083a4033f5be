"""Lines of a data file as token rows against the texts that the authors' code tokenizes."""

from retrace.machine.storage import write_jsonl
from retrace.prompting.prompting import Prompting
from retrace.tasks.formats import read_split
from retrace.tasks.load import load_task
from retrace.training.separated_rows import read_rows
from unit.byte_tokenizer import END, byte_tokenizer

TASK = """
name: lines
title: Lines
family: word_problems
format: lines
splits: {train: {file: lines.txt, repeats: true}}
"""


def test_icot_rows(vectors, tmp_path) -> None:
    cases = vectors("icot_rows")["cases"]
    (tmp_path / "lines.txt").write_text("".join(case["in"]["line"] + "\n" for case in cases), encoding="utf-8")
    (tmp_path / "lines.yaml").write_text(TASK)
    task, tokenizer = load_task(tmp_path / "lines.yaml"), byte_tokenizer()
    examples = read_split(task, "train")
    write_jsonl(tmp_path / "train.jsonl", examples)
    rows = read_rows(tmp_path / "train.jsonl", task, tokenizer, 1024)
    prompting = Prompting(task, "decoder_only", tokenizer, layout="no_cot")
    assert len(rows) == len(cases)
    for number, (case, example) in enumerate(zip(cases, examples, strict=True)):
        expected = case["out"]
        assert tokenizer.decode(rows.row(number)) == expected["all"]
        assert tokenizer.decode(rows.without_steps(number)) == expected["no_cot"]
        # Theirs has a space behind the separator; what both decode from ends in the separator itself.
        assert prompting.text(example.question) == expected["only"].removesuffix(" ")
        assert expected["only"].endswith(f"{END} ")
    print(f"icot_rows: {len(cases)} cases")
