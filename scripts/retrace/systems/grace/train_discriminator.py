"""Training the step discriminator on pairs of a correct and a wrong step. GRACE section 3.2."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from retrace.errors import UserError
from retrace.evaluation.intervals import wilson
from retrace.models.discriminator import StepDiscriminator, discriminator_input, pair_loss
from retrace.schemas import Pair
from retrace.systems.grace.networks import merge_adapters
from retrace.systems.grace.options import DiscriminatorTraining
from retrace.tasks.base import Task
from retrace.tasks.formats import demonstrations as worked_examples
from retrace.text.encoding import prompt_ids
from retrace.training.data import Row, encode_solutions, mask_of, pad, report_long
from retrace.training.likelihood import log_probabilities
from retrace.training.trainer import train


@dataclass(frozen=True)
class PairRow:
    """Token ids of `[CLS] context [SEP] step` with the correct and with the wrong step."""

    positive: list[int]
    negative: list[int]

    @property
    def length(self) -> int:
        return max(len(self.positive), len(self.negative))


def pair_rows(network: StepDiscriminator, task: Task, pairs: Sequence[Pair]) -> list[PairRow]:
    """Token rows of the pairs. Rows over the limit lose the start of their context; stderr says how many."""
    texts = [(*discriminator_input(task, pair.question, pair.prefix, pair.positive), pair.negative) for pair in pairs]
    contexts = [context for context, _, _ in texts]
    positive = [step for _, step, _ in texts]
    negative = [discriminator_input(task, "", [], wrong)[1] for _, _, wrong in texts]
    cut = sorted({*network.too_long(contexts, positive), *network.too_long(contexts, negative)})
    names = [pairs[index].example_id for index in cut]
    report_long(names, len(pairs), network.max_length, "pairs", "cut at the start of the context")
    rows = zip(network.encode(contexts, positive), network.encode(contexts, negative), strict=True)
    return [PairRow(right, wrong) for right, wrong in rows]


def collate_pairs(rows: Sequence[PairRow], pad_id: int) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask [2n, longest]: all correct steps, then all wrong steps, for one forward pass."""
    ids = [row.positive for row in rows] + [row.negative for row in rows]
    return {"input_ids": pad(ids, pad_id), "attention_mask": mask_of(ids)}


def sum_pair_loss(network: torch.nn.Module, batch: dict[str, torch.Tensor], kind: str, margin: float) -> torch.Tensor:
    """Sum of the loss over the pairs of a batch."""
    positive, negative = network(**batch).float().chunk(2)
    return pair_loss(positive, negative, kind, margin) * len(positive)


def count_pairs(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Number of pairs in a batch."""
    return torch.tensor(len(batch["input_ids"]) // 2, device=batch["input_ids"].device)


class PairEvaluation:
    """Loss and accuracy over the development pairs."""

    def __init__(self, rows: Sequence[PairRow], options: DiscriminatorTraining) -> None:
        self.rows = rows
        self.options = options

    def scores(self, network: StepDiscriminator) -> tuple[torch.Tensor, torch.Tensor]:
        """Scores of the correct and of the wrong steps, each FloatTensor [n]."""
        both = [row.positive for row in self.rows] + [row.negative for row in self.rows]
        positive, negative = torch.tanh(network.infer(both, 4 * self.options.device_batch_size)).squeeze(-1).chunk(2)
        return positive, negative

    def __call__(self, network: StepDiscriminator) -> dict[str, float]:
        positive, negative = self.scores(network)
        loss = pair_loss(positive, negative, self.options.loss, self.options.margin).item()
        return {"loss": loss, "pair_accuracy": (positive > negative).float().mean().item()}


def train_discriminator(
    network: StepDiscriminator,
    rows: Sequence[PairRow],
    dev_rows: Sequence[PairRow],
    options: DiscriminatorTraining,
    seed: int,
    state: str | Path,
    callbacks: Sequence[TrainerCallback] = (),
) -> list[dict[str, float]]:
    """Train in place, keep the checkpoint with the lowest development loss, and return the curve."""
    curve = train(
        network,
        rows,
        [row.length for row in rows],
        partial(collate_pairs, pad_id=network.tokenizer.pad_token_id),
        partial(sum_pair_loss, kind=options.loss, margin=options.margin),
        count_pairs,
        PairEvaluation(dev_rows, options) if dev_rows else None,
        options,
        seed,
        state,
        callbacks=callbacks,
    )
    merge_adapters(network)
    return curve


# ---------------------------------------------------------------- the generator's own scores of the pairs


def step_rows(
    task: Task,
    tokenizer: PreTrainedTokenizerBase,
    family: str,
    questions: Sequence[str],
    prefixes: Sequence[list[str]],
    steps: Sequence[str],
    demonstrations: int = 0,
) -> list[Row]:
    """One row per step; only the step's free tokens, including the delimiter, are labeled.

    Tokens forced by a calculator are not the generator's choice and are not scored.
    """
    examples = worked_examples(task, demonstrations)
    prompts = [task.prompt(question, examples, family=family) for question in questions]
    inputs = dict(zip(prompts, prompt_ids(tokenizer, prompts, family), strict=True))
    before = encode_solutions(tokenizer, [task.join_steps(prefix) for prefix in prefixes])
    whole = [task.join_steps([*prefix, step]) for prefix, step in zip(prefixes, steps, strict=True)]
    after = encode_solutions(tokenizer, whole)
    rows = []
    for prompt, (head, _), (ids, results) in zip(prompts, before, after, strict=True):
        start = len(head) if ids[: len(head)] == head else _shared(head, ids)
        free = [place < start or (inside and task.config.calculator) for place, inside in enumerate(results)]
        rows.append(Row(inputs[prompt], ids, free))
    return rows


def _shared(one: list[int], other: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def generator_pair_accuracy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    family: str,
    pairs: Sequence[Pair],
    batch_size: int,
    demonstrations: int = 0,
) -> dict[str, dict[str, float]]:
    """How often the generator gives the correct step a higher log-probability, by mean per token and by sum."""
    questions = [pair.question for pair in pairs] * 2
    prefixes = [pair.prefix for pair in pairs] * 2
    steps = [pair.positive for pair in pairs] + [pair.negative for pair in pairs]
    rows = step_rows(task, tokenizer, family, questions, prefixes, steps, demonstrations)
    distinct = {(tuple(row.ids), tuple(row.target), tuple(row.ignored)): row for row in rows}
    sums, counts = log_probabilities(model, tokenizer.pad_token_id, list(distinct.values()), batch_size)
    place = {key: index for index, key in enumerate(distinct)}
    index = torch.tensor([place[tuple(row.ids), tuple(row.target), tuple(row.ignored)] for row in rows])
    means = sums / counts.clamp(min=1)
    return {
        "generator_mean_logprob": accuracy_of(*means[index].chunk(2)),
        "generator_sum_logprob": accuracy_of(*sums[index].chunk(2)),
    }


def accuracy_of(positive: torch.Tensor, negative: torch.Tensor) -> dict[str, float]:
    """Share of pairs whose correct step scores higher, with a 95 % Wilson interval; ties count as wrong."""
    right, total = int((positive > negative).sum()), len(positive)
    low, high = wilson(right, total)
    return {"accuracy": right / total, "low": low, "high": high, "n": total, "ties": int((positive == negative).sum())}


def split_pairs(pairs: Sequence[Pair], source: str) -> tuple[list[Pair], list[Pair]]:
    """(training pairs, development pairs). Raises UserError if a part is empty or they share a question."""
    parts = {name: [pair for pair in pairs if pair.split == name] for name in ("train", "dev")}
    for name, part in parts.items():
        if not part:
            raise UserError(f"{source}: no pair has split {name!r}; sample more wrong solutions, or raise max_cost")
    shared = {pair.example_id for pair in parts["train"]} & {pair.example_id for pair in parts["dev"]}
    if shared:
        raise UserError(f"{source}: question {min(shared)!r} is in both train and dev; make the pairs again")
    return parts["train"], parts["dev"]
