"""Beam search with the library's own `generate`, in batches, with the calculator as a constraint."""

import math
import time
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from retrace.decoding.batch_size import in_batches, rows_for
from retrace.decoding.engine import Decoder, no_numbers
from retrace.decoding.sampling import Answers, Generated, StopTexts
from retrace.sections import BatchSize
from retrace.text.calculator import Calculator
from retrace.text.token_text import TokenText


class CalculatorProcessor(LogitsProcessor):
    """Forces the calculator's tokens at log-probability 0 in every beam that has an open computation."""

    def __init__(self, calculator: Calculator, prompt_length: int) -> None:
        self.calculator = calculator
        self.prompt_length = prompt_length  # tokens of `input_ids` that the model did not generate

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        forced = self.calculator.forced_after(input_ids[:, self.prompt_length :].cpu().numpy())
        rows = torch.from_numpy((forced >= 0).nonzero()[0]).to(scores.device)
        if len(rows):
            tokens = torch.from_numpy(forced[forced >= 0]).to(scores.device)
            scores = scores.clone()
            scores[rows] = -torch.inf
            scores[rows, tokens] = 0.0
        return scores


class StopTextCriteria(StoppingCriteria):
    """Ends beams that contain a stop text."""

    def __init__(self, stop_texts: StopTexts, prompt_length: int) -> None:
        self.stop_texts, self.prompt_length = stop_texts, prompt_length

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        stopped = torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        rows = self.stop_texts.suspects(input_ids[:, -1])
        if len(rows):
            written = self.stop_texts.stopped(input_ids[rows.to(input_ids.device), self.prompt_length :])
            stopped[rows.to(input_ids.device)] = written.to(input_ids.device)
        return stopped


def beam_search(
    decoder: Decoder,
    prompts: Sequence[str],
    keys: Sequence[str],
    *,
    beams: int,
    length_penalty: float = 1.0,
    max_new_tokens: int = 256,
    calculator: Calculator | None = None,
    batch_size: BatchSize = 64,
    stops: Sequence[str] = (),
) -> Iterator[Answers]:
    """Yield the best beam for each prompt, in batches of similar length: NOT in the order of the prompts.

    `batch_size` is the number of beams decoded together, over all prompts; see `sampling.generate`. The log-probability
    is that of the free tokens of the best beam.
    """
    ids = decoder.encode(prompts, keys, reserve=max_new_tokens)
    order = sorted(range(len(ids)), key=lambda index: (len(ids[index]), index))
    writer = calculator.text if calculator is not None else TokenText(decoder.tokenizer)
    stop_texts = StopTexts(stops, writer) if any(stops) else None
    left = decoder.family == "decoder_only"

    def solve(batch: Sequence[int], rows: int) -> list[Answers]:
        began = time.perf_counter()
        tokens, mask = decoder.pad([ids[index] for index in batch], left)
        # generate() shows the processors the prompt too; for encoder-decoders it is the start token.
        length = tokens.shape[1] if left else 1
        with torch.no_grad():
            out = decoder.model.generate(
                input_ids=tokens,
                attention_mask=mask.long(),
                do_sample=False,
                num_beams=beams,
                length_penalty=length_penalty,
                max_new_tokens=max_new_tokens,
                logits_processor=LogitsProcessorList([CalculatorProcessor(calculator, length)] if calculator else []),
                stopping_criteria=StoppingCriteriaList([StopTextCriteria(stop_texts, length)] if stop_texts else []),
                pad_token_id=decoder.pad_id,
                eos_token_id=list(decoder.end_ids),
                temperature=None,
                top_k=None,
                top_p=None,
                return_dict_in_generate=True,
                output_scores=True,
            )
            gained = decoder.model.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        seconds = (time.perf_counter() - began) / len(batch)
        found = []
        for place, (index, row) in enumerate(zip(batch, out.sequences[:, length:].tolist(), strict=True)):
            # A finished beam has index -1 from then on; pads may share the end token's id.
            count = int((out.beam_indices[place] >= 0).sum())
            row, logprob = row[:count], float(gained[place, :count].double().sum())
            if math.isnan(logprob):
                raise no_numbers(decoder.model.dtype)
            ended = bool(row) and row[-1] in decoder.end_ids
            text = writer.text(row[:-1] if ended else row)
            if stop_texts:
                text = stop_texts.cut(text)
            found.append(Answers(index, [Generated(text, count, logprob, ended or count < max_new_tokens)], seconds))
        return found

    rows = rows_for(batch_size, decoder, ids, max_new_tokens, beams, kept_logits=max_new_tokens)
    for _, answers in in_batches(order, rows, beams, solve, least=beams):
        yield from answers
