"""Guided decoding done plainly, to compare with: question by question, with the library's own `generate`.

As in the official code, the encoder's output is kept, but at each step the prefix is read again for every candidate,
and the discriminator is called once a question and step. No calculator.
"""

from collections.abc import Callable, Sequence

import torch
from transformers.modeling_outputs import BaseModelOutput

from retrace.decoding.options import Guided
from retrace.decoding.setup import Generator
from retrace.models.discriminator import StepDiscriminator, discriminator_input
from retrace.models.encoder_head import pad_rows
from retrace.schemas import Example


class PlainGuided:
    """One question at a time. `seen` gets (question, prefix, candidates, log-probabilities, choice) of each step."""

    def __init__(self, generator: Generator, discriminator: StepDiscriminator, options: Guided) -> None:
        self.generator, self.discriminator, self.options = generator, discriminator, options
        self.model, self.tokenizer = generator.decoder.model, generator.decoder.tokenizer
        self.delimiter = self.tokenizer.convert_tokens_to_ids(generator.task.delimiter)
        self.marker = self.tokenizer.convert_tokens_to_ids(generator.task.answer_marker)
        self.seen: list[tuple[str, list[int], list[list[int]], list[list[float]], int]] = []

    @torch.no_grad()
    def solve(self, example: Example) -> list[int]:
        """Token ids of one guided solution."""
        options, device = self.options, self.model.device
        ids = torch.tensor(self.tokenizer([self.generator.prompt(example.question)])["input_ids"], device=device)
        encoded = self.model.encoder(input_ids=ids).last_hidden_state
        prefix: list[int] = []
        for _ in range(options.max_steps):
            start = torch.tensor([[self.model.config.decoder_start_token_id, *prefix]], device=device)
            out = self.model.generate(
                encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
                decoder_input_ids=start,
                do_sample=True,
                temperature=options.temperature,
                top_p=options.top_p,
                top_k=0,
                num_return_sequences=options.candidates,
                max_new_tokens=options.max_step_tokens,
                eos_token_id=[self.delimiter, self.tokenizer.eos_token_id],
                pad_token_id=self.tokenizer.pad_token_id,
                suppress_tokens=[self.tokenizer.pad_token_id],
                return_dict_in_generate=True,
                output_scores=True,
            )
            new = out.sequences[:, start.shape[1] :]
            gains = torch.stack(out.scores, 1).float().log_softmax(-1).gather(2, new[..., None])[..., 0]
            lengths = (new != self.tokenizer.pad_token_id).sum(-1).tolist()
            candidates = [row[:length] for row, length in zip(new.tolist(), lengths, strict=True)]
            logprobs = [row[:length] for row, length in zip(gains.tolist(), lengths, strict=True)]
            choice, over = self.choose(example.question, prefix, candidates, logprobs)
            self.seen.append((example.question, prefix, candidates, logprobs, choice))
            prefix = prefix + candidates[choice]
            if over:
                break
        return prefix

    def choose(
        self, question: str, prefix: list[int], candidates: list[list[int]], logprobs: list[list[float]]
    ) -> tuple[int, bool]:
        """The best candidate of one question, by plain Python, and whether the solution is over with it."""
        lm = [float(torch.tensor(row).double().mean().exp()) for row in logprobs]
        final = lm
        answers = all(self.marker in row for row in candidates)
        if not answers:
            task, decode = self.generator.task, self.tokenizer.decode
            steps = task.split_steps(decode(prefix, skip_special_tokens=True))
            contexts, texts = [], []
            for row in candidates:
                text = " ".join(decode(row, skip_special_tokens=True).split())
                context, step = discriminator_input(task, question, steps, text.removesuffix(task.delimiter).strip())
                contexts.append(context)
                texts.append(
                    step if text != task.delimiter and row[-1] == self.delimiter and self.marker not in row else text
                )
            rows = self.discriminator.encode(contexts, texts)
            ids, mask = pad_rows(rows, self.tokenizer.pad_token_id)
            judged = torch.softmax(self.discriminator.score_ids(ids, mask).double(), 0).tolist()
            final = [(1 - self.options.beta) * a + self.options.beta * b for a, b in zip(lm, judged, strict=True)]
        choice = final.index(max(final))
        taken = candidates[choice]
        return choice, answers or self.marker in taken or taken[-1] == self.tokenizer.eos_token_id


def solve_all(plain: PlainGuided, examples: Sequence[Example], report: Callable[[int], None] = lambda n: None) -> list:
    """Solve the questions one after the other."""
    solutions = []
    for number, example in enumerate(examples, start=1):
        solutions.append(plain.solve(example))
        report(number)
    return solutions
