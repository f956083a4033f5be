"""Training data from sampled solutions: preference pairs, and pseudo-labels. DPO-ST, sections 3.2 and 3.3.

Among similar solutions only the first is kept; similarity is the Jaccard index of their token sets.
The rules are those of the official code (TianduoWang/DPO-ST@e50bce7, utils/make_dpo_data.py and make_rft_data.py);
unlike it, a pair's two sides are never the same text, empty texts are no solutions, and the random order of one
question does not depend on the questions before it.
"""

import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from retrace.errors import UserError
from retrace.schemas import Example, Trajectory

Tokens = frozenset[Any]
_CAP_OF_FIRST_PASS = 100  # solutions of a question that are counted for the percentile, as in the official code


def jaccard(one: Tokens, other: Tokens) -> float:
    """Size of the intersection over size of the union; 1 for two texts without any token."""
    both = len(one & other)
    union = len(one) + len(other) - both
    return both / union if union else 1.0


def unlike(
    texts: Iterable[str], tokens: Mapping[str, Tokens], similarity: float, kept: Sequence[str] = ()
) -> list[str]:
    """`kept`, and in their order those texts that are not more similar than `similarity` to any one kept so far."""
    result = list(kept)
    sets = [tokens[text] for text in result]
    for text in texts:
        own = tokens[text]
        if all(jaccard(own, other) <= similarity for other in sets):
            result.append(text)
            sets.append(own)
    return result


def pairs_of_question(
    gold: str | None,
    right: Collection[str],
    wrong: Collection[str],
    tokens: Mapping[str, Tokens],
    draw: random.Random,
    similarity: float = 0.7,
    count: int = 3,
) -> list[tuple[str, str, float]]:
    """The `count` least similar pairs (right, wrong, similarity) of one question, most unlike first.

    gold: the reference solution, which counts as right; None: there is none. right, wrong: sampled texts, with or
    without repeats. tokens: the set of tokens of each text. draw: orders equally similar pairs; where nothing is wrong
    no number is drawn. A reference that was graded wrong never stands on both sides, as in the official code it may.
    """
    if not wrong:
        return []
    kept_right = unlike(sorted(set(right)), tokens, similarity, [gold] if gold is not None else [])
    kept_wrong = unlike(sorted(set(wrong)), tokens, similarity)
    draw.shuffle(kept_right)
    draw.shuffle(kept_wrong)
    pairs = [
        (good, bad, jaccard(tokens[good], tokens[bad])) for good in kept_right for bad in kept_wrong if good != bad
    ]
    return sorted(pairs, key=lambda pair: pair[2])[:count]


def solutions_of_question(
    gold: str | None, right: Collection[str], tokens: Mapping[str, Tokens], similarity: float = 0.7
) -> list[str]:
    """The reference, if there is one, and the right sampled texts that are unlike it and each other, in sorted order."""
    texts = sorted({*right, *([gold] if gold is not None else [])})
    if not texts:
        return []
    first = gold if gold is not None else texts[0]
    return unlike(texts, tokens, similarity, [first]) if len(texts) > 1 else texts


def cap_at_percentile(solutions: Sequence[Sequence[str]], percentile: float = 90.0) -> int:
    """Most solutions that a question may have: this percentile of what the questions with any have; 0 without any.

    Linear interpolation between neighboring counts, the fraction cut off.
    """
    counts = [min(len(texts), _CAP_OF_FIRST_PASS) for texts in solutions if texts]
    return int(np.percentile(counts, percentile)) if counts else 0


def token_sets(folder: str | Path, texts: Collection[str]) -> dict[str, Tokens]:
    """The set of tokens of each text by the tokenizer of a model's folder, without start and end tokens.

    Read without transformers, whose import takes longer than the work. Raises UserError for a folder without one.
    """
    from tokenizers import Tokenizer

    file = Path(folder) / "tokenizer.json"
    unique = list(dict.fromkeys(texts))
    if not file.exists() and (Path(folder) / "tokenizer_config.json").exists():  # one written in Python, as ByT5's
        from transformers import AutoTokenizer

        from retrace.text.encoding import text_ids

        slow = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return {
            text: frozenset(slow.convert_ids_to_tokens(ids))
            for text, ids in zip(unique, text_ids(slow, unique), strict=True)
        }
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing more exact
        fault = "no such file" if not file.exists() else str(error).split("\n")[0][:200]
        raise UserError(f"{file}: no tokenizer that can be read ({fault}); rebuild or fetch the folder again") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    found: dict[str, Tokens] = {}
    for start in range(0, len(unique), 4096):
        part = unique[start : start + 4096]
        for text, encoded in zip(part, tokenizer.encode_batch(part, add_special_tokens=False), strict=True):
            found[text] = frozenset(encoded.tokens)
    return found


@dataclass
class Sampled:
    """All samples of one question over the rounds so far."""

    right: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    empty: int = 0
    repeated: int = 0


def first_of(examples: Sequence[Example], count: int) -> Sequence[Example]:
    """The first `count` examples; all if it is negative."""
    return examples if count < 0 else examples[:count]


def gather(examples: Sequence[Example], rounds: Sequence[tuple[str, Sequence[Trajectory]]]) -> dict[str, Sampled]:
    """Samples by question, in the order of the examples. rounds: (file, rows) of each round, oldest first.

    Empty texts are counted and left out; a text that was sampled before is counted as repeated. Raises UserError
    naming file and line for a sample of a question that is not in the data.
    """
    found = {example.id: Sampled() for example in examples}
    seen: set[tuple[str, str]] = set()
    for path, rows in rounds:
        for number, row in enumerate(rows, start=1):
            sampled = found.get(row.example_id)
            if sampled is None:
                raise UserError(
                    f"{path}:{number}: example_id {row.example_id!r} is not in the data; rebuild the samples, or give "
                    "the data that they were drawn for"
                )
            if not row.text.strip():
                sampled.empty += 1
                continue
            sampled.repeated += (row.example_id, row.text) in seen
            seen.add((row.example_id, row.text))
            (sampled.right if row.correct else sampled.wrong).append(row.text)
    return found


def right_of(found: Mapping[str, Sampled], example: Example) -> list[str]:
    """The right samples of a question; empty if it was not sampled."""
    return found[example.id].right if example.id in found else []


def counts_of(found: Mapping[str, Sampled], newest: Sequence[Trajectory]) -> dict[str, int]:
    """Degenerate cases, as a round's report lists them. newest: the samples of the last round alone."""
    return {
        "samples_of_this_round": len(newest),
        "correct_samples_of_this_round": sum(row.correct for row in newest),
        "questions": len(found),
        "samples": sum(len(one.right) + len(one.wrong) + one.empty for one in found.values()),
        "correct_samples": sum(len(one.right) for one in found.values()),
        "empty_samples": sum(one.empty for one in found.values()),
        "repeated_samples": sum(one.repeated for one in found.values()),
        "questions_without_correct_sample": sum(not one.right for one in found.values()),
        "questions_without_incorrect_sample": sum(not one.wrong for one in found.values()),
    }


def gold_solutions(examples: Sequence[Example], labelled: int, write: Callable[[Example], str]) -> dict[str, str]:
    """The references that may be used, in the text form `write` gives: those of the first `labelled` examples (-1: all),
    where they have any steps."""
    known = examples if labelled < 0 else examples[:labelled]
    return {example.id: write(example) for example in known if example.steps}
