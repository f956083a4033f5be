"""Tiny generators that have learned a few solutions by heart, with wrong results in them."""

from functools import lru_cache
from pathlib import Path

import torch

from retrace.models.options import ScratchModel
from retrace.models.scratch import build_model, build_tokenizer
from retrace.schemas import Example
from unit.model_folders import save_model

QUESTIONS = {
    "Tom has 3 and 4": "he has <<3+4=9>>9 | #### 9",
    "Ann has 6 boxes of 7 pens": "she has <<6*7=11>>11 | then <<11-1=3>>3 | #### 3",
    "Bob has 5": "#### 5",
    "Eve has 8 of 2 and then 9": "<<8/2=1>>1 | <<9/0=5>>5 | #### 5",
}
TASK = """
name: toy
title: Toy
family: word_problems
format: question_answer
prompt: "{prompt}"
answer_prompt: "{answer_prompt}"
splits:
  test: {{file: test.jsonl}}
"""


@lru_cache
def learned(family: str):
    """(model, tokenizer) that answer QUESTIONS as told; decoder-only prompts are `question A:`."""
    torch.set_num_threads(1)
    texts = [f"Q: {question} A: {answer}" for question, answer in QUESTIONS.items()]
    tokenizer = build_tokenizer(texts, "|", 300, "whole")
    scratch = ScratchModel(width=48, layers=2, heads=4, feedforward=64, vocabulary=300)
    model = build_model(scratch, family, tokenizer, 1)
    tokenizer.padding_side = "left" if family == "decoder_only" else "right"
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for _ in range(70):
        optimizer.zero_grad()
        for question, answer in QUESTIONS.items():
            target = tokenizer(answer)["input_ids"]
            if family == "encoder_decoder":
                inputs = {
                    "input_ids": torch.tensor([tokenizer(question)["input_ids"]]),
                    "labels": torch.tensor([target]),
                }
            else:
                asked = tokenizer(f"{question} A:")["input_ids"][:-1]
                inputs = {
                    "input_ids": torch.tensor([asked + target]),
                    "labels": torch.tensor([[-100] * len(asked) + target]),
                }
            model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), tokenizer


def prompts(family: str) -> list[str]:
    return [question if family == "encoder_decoder" else f"{question} A:" for question in QUESTIONS]


def examples() -> list[Example]:
    rows = []
    for index, (question, answer) in enumerate(QUESTIONS.items()):
        final = answer.partition("#### ")[2]
        rows.append(
            Example(
                id=f"toy-{index}",
                question=question,
                answer=answer,
                steps=[],
                final_answer=final,
                split="test",
                source="",
            )
        )
    return rows


def write_project(folder: Path, family: str) -> list[str]:
    """Checkpoint, YAML files and data in `folder`; the command-line words that name them."""
    model, tokenizer = learned(family)
    save_model(model, tokenizer, folder / "model")
    answer_prompt = "" if family == "encoder_decoder" else "A:"
    (folder / "toy.yaml").write_text(TASK.format(prompt="{question}", answer_prompt=answer_prompt))
    (folder / "tiny.yaml").write_text(f"name: tiny\ntitle: Tiny\nfamily: {family}\nscratch: {{}}\n")
    (folder / "test.jsonl").write_text("".join(row.model_dump_json() + "\n" for row in examples()))
    words = {"model": "model", "model-file": "tiny.yaml", "task-file": "toy.yaml", "data": "test.jsonl"}
    return [word for name, file in words.items() for word in (f"--{name}", str(folder / file))] + ["--seed", "3"]
