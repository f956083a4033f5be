"""Step correctness by an entailment model, for symbolic tasks. GRACE section 3.1, the paper's way for these tasks.

A step is correct if it entails the aligned reference step and is entailed by it; in both directions entailment must be
the classifier's most likely label. The official code does the same with RoBERTa-large fine-tuned on MNLI
(data_utils/discriminator_dataset.py of mukhal/grace, `is_entailed`), but its steps end in their delimiter and ours do
not. Only the step itself is judged; the prefix is not read.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.schemas import Alignment
from retrace.systems.grace.alignment import GAP

LABEL = "entailment"
Judged = dict[tuple[str, str], bool]


def aligned_steps(alignments: Iterable[Alignment]) -> list[tuple[str, str]]:
    """Distinct aligned pairs (step, reference step), in order of appearance."""
    return list(
        dict.fromkeys(
            (step, right)
            for alignment in alignments
            for step, right in zip(alignment.trajectory, alignment.reference, strict=True)
            if GAP not in (step, right)
        )
    )


class EntailmentJudge:
    """A sequence classifier trained on premise and hypothesis, with a label `entailment`.

    Args:
        name: A folder in the Hugging Face layout, or a Hub id, optionally as ID@REVISION; looked up in the mirror
            (RETRACE_MIRROR), the Hub and its cache.

    Raises:
        UserError: If the model cannot be loaded, has no such label, or lacks its classification layer.
    """

    def __init__(self, name: str, device: str | None = None) -> None:
        import torch
        from transformers import AutoModelForSequenceClassification
        from transformers.utils import logging

        from retrace.models.hub import local_folder
        from retrace.models.load import load_config, load_tokenizer

        hub, _, revision = (name, "", "") if Path(name).is_dir() else name.partition("@")
        folder = local_folder(hub, revision or None)
        config = load_config(folder)
        labels = {int(number): str(label) for number, label in config.id2label.items()}
        found = [number for number, label in labels.items() if label.casefold() == LABEL]
        if len(found) != 1:
            raise UserError(
                f"pair.entailment_model {name}: has no label {LABEL!r} (its labels: {', '.join(labels.values())}); "
                "choose a model that was fine-tuned on MNLI, or mend id2label in its config.json"
            )
        self.name, self.entailment = name, found[0]
        self.tokenizer = load_tokenizer(folder)
        if self.tokenizer.pad_token is None:
            raise UserError(f"pair.entailment_model {name}: its tokenizer has no padding token; choose another model")
        logging.disable_progress_bar()
        try:
            model, loading = AutoModelForSequenceClassification.from_pretrained(
                folder, output_loading_info=True, trust_remote_code=False
            )
        except (OSError, ValueError, RuntimeError) as error:
            fault = str(error).strip().split("\n")[0][:200]
            raise UserError(f"pair.entailment_model {name}: cannot be loaded ({fault}); fetch it again") from None
        if loading["missing_keys"]:
            raise UserError(
                f"pair.entailment_model {name}: weight {sorted(loading['missing_keys'])[0]} is missing, so it is "
                "not a sequence classifier; choose a model that was fine-tuned on MNLI"
            )
        self.model = model.float().eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.max_length = _max_length(self.tokenizer, config)

    def entails(self, pairs: Sequence[tuple[str, str]], batch_size: int = 64) -> list[bool]:
        """For each (premise, hypothesis), whether entailment is the most likely label.

        Pairs of similar length share a batch. A pair longer than the model's limit counts as not entailed, with a note
        on standard error, because a truncated step can mean something else. Raises UserError if a score is NaN.
        """
        import torch

        rows = self._tokenized(pairs)
        fitting = [index for index, row in enumerate(rows) if len(row["input_ids"]) <= self.max_length]
        if len(fitting) < len(rows):
            print(
                f"note: {len(rows) - len(fitting)} of {len(rows)} pairs of steps are longer than the {self.max_length} "
                f"tokens of {self.name} and count as not entailed",
                file=sys.stderr,
            )
        fitting.sort(key=lambda index: len(rows[index]["input_ids"]))
        verdicts = [False] * len(rows)
        for start in range(0, len(fitting), batch_size):
            part = fitting[start : start + batch_size]
            batch = self.tokenizer.pad([rows[index] for index in part], return_tensors="pt").to(self.model.device)
            with torch.inference_mode():
                logits = self.model(**batch).logits
            if bool(logits.isnan().any()):
                raise UserError(
                    f"pair.entailment_model {self.name}: its scores are not numbers (NaN), so its weights are damaged; "
                    "fetch it again"
                )
            for index, label in zip(part, logits.argmax(-1).tolist(), strict=True):
                verdicts[index] = label == self.entailment
        return verdicts

    def _tokenized(self, pairs: Sequence[tuple[str, str]]) -> list[dict[str, list[int]]]:
        if not pairs:
            return []
        premises, hypotheses = zip(*pairs, strict=True)
        columns = self.tokenizer(list(premises), list(hypotheses), verbose=False)
        return [{name: columns[name][index] for name in columns} for index in range(len(pairs))]

    def judge(self, pairs: Sequence[tuple[str, str]], batch_size: int = 64) -> Judged:
        """For each distinct (step, reference step), whether each entails the other.

        Steps with equal words are correct without running the model. The reverse direction is checked only if the
        forward direction holds.
        """
        judged: Judged = {(step, right): step.split() == right.split() for step, right in pairs}
        there = [pair for pair, same in judged.items() if not same]
        back = [pair for pair, holds in zip(there, self.entails(there, batch_size), strict=True) if holds]
        reversed_pairs = [(right, step) for step, right in back]
        judged |= dict(zip(back, self.entails(reversed_pairs, batch_size), strict=True))
        return judged


def _max_length(tokenizer: Any, config: Any) -> int:
    """Maximum length of a pair in tokens."""
    positions = getattr(config, "max_position_embeddings", None) or 512
    if config.model_type in ("roberta", "xlm-roberta", "camembert"):
        positions -= config.pad_token_id + 1  # these models start counting positions after the padding token's id
    return int(min(tokenizer.model_max_length, positions))
