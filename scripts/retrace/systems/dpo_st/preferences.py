"""Training data from sampled solutions: preference pairs, and pseudo-labels. DPO-ST, sections 3.2 and 3.3.

Among similar solutions only the first is kept; similarity is the Jaccard index of their token sets. The rules are those
of the official code (TianduoWang/DPO-ST@e50bce7, utils/make_dpo_data.py and make_rft_data.py), with three differences:
the two sides of a pair are never the same text, empty texts are not solutions, and the random order for one question
does not depend on the questions before it.
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
_CAP_OF_FIRST_PASS = 100  # the percentile counts at most this many solutions per question, as in the official code


def jaccard(one: Tokens, other: Tokens) -> float:
    """Size of the intersection divided by size of the union; 1 for two texts without tokens."""
    both = len(one & other)
    union = len(one) + len(other) - both
    return both / union if union else 1.0


def unlike(
    texts: Iterable[str], tokens: Mapping[str, Tokens], similarity: float, kept: Sequence[str] = ()
) -> list[str]:
    """`kept`, followed by each text whose similarity to every text kept so far is at most `similarity`, in order."""
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
    """The `count` least similar pairs (right, wrong, similarity) of one question, least similar first.

    A reference that was graded wrong never appears on both sides of a pair; in the official code it may.

    Args:
        gold: The reference solution, which counts as right; None if there is none.
        right: Correct sampled texts; repeats are allowed.
        wrong: Wrong sampled texts; repeats are allowed.
        tokens: The set of tokens of each text.
        draw: Orders equally similar pairs; no number is drawn if no text is wrong.
        similarity: Limit on the similarity of two texts of the same side.
        count: Maximum number of pairs.
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
    """The reference, if any, and the correct samples that differ enough from it and each other, in sorted order."""
    texts = sorted({*right, *([gold] if gold is not None else [])})
    if not texts:
        return []
    first = gold if gold is not None else texts[0]
    return unlike(texts, tokens, similarity, [first]) if len(texts) > 1 else texts


def cap_at_percentile(solutions: Sequence[Sequence[str]], percentile: float = 90.0) -> int:
    """Maximum solutions per question: this percentile of the counts of questions with solutions; 0 if none has any.

    The percentile is interpolated linearly between neighboring counts and rounded down.
    """
    counts = [min(len(texts), _CAP_OF_FIRST_PASS) for texts in solutions if texts]
    return int(np.percentile(counts, percentile)) if counts else 0


def token_sets(folder: str | Path, texts: Collection[str]) -> dict[str, Tokens]:
    """The set of tokens of each text under the tokenizer in a model's folder, without start and end tokens.

    Avoids transformers, whose import takes longer than the work itself. Raises UserError if there is no tokenizer.
    """
    from tokenizers import Tokenizer

    file = Path(folder) / "tokenizer.json"
    unique = list(dict.fromkeys(texts))
    if not file.exists() and (Path(folder) / "tokenizer_config.json").exists():  # one written in Python, like ByT5's
        from transformers import AutoTokenizer

        from retrace.text.encoding import text_ids

        slow = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        return {
            text: frozenset(slow.convert_ids_to_tokens(ids))
            for text, ids in zip(unique, text_ids(slow, unique), strict=True)
        }
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises no more specific class
        fault = "no such file" if not file.exists() else str(error).split("\n")[0][:200]
        raise UserError(f"{file}: the tokenizer cannot be read ({fault}); rebuild or fetch the folder again") from None
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
    """Samples by question, in the order of the examples.

    Empty texts are counted and left out; a text that was already sampled is counted as repeated.

    Args:
        examples: The questions.
        rounds: (file, rows) of each round, oldest first.

    Raises:
        UserError: If a sample's question is not in the data; names the file and line.
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
    """The correct samples of a question; empty if it was not sampled."""
    return found[example.id].right if example.id in found else []


def counts_of(found: Mapping[str, Sampled], newest: Sequence[Trajectory]) -> dict[str, int]:
    """Counts of samples and of degenerate cases for a round's report. newest: the samples of the last round only."""
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
    """References that may be used, by question: those of the first `labelled` examples (-1: all) that have steps.

    write: converts an example's reference to its text form.
    """
    known = examples if labelled < 0 else examples[:labelled]
    return {example.id: write(example) for example in known if example.steps}
