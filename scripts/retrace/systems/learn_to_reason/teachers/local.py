"""A model in this process as the teacher, for machines without a server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.storage import sha256_of
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import Request, Response, key_of
from retrace.systems.learn_to_reason.teachers.recording import Recording
from retrace.systems.learn_to_reason.teachers.served import body_of


class Local:
    """A decoder-only or encoder-decoder model of config/models; its responses are recorded like a server's."""

    def __init__(self, options: TeacherOptions, recording: Recording, folder: str | Path, family: str) -> None:
        if not options.model:
            raise UserError("teacher.model: give the name of a model of config/models (teacher.kind is local)")
        self.options = options
        self.name = options.model
        self.recording = recording
        self.folder = Path(folder)
        self.family = family
        # Other weights under the same name are another teacher.
        self._address = f"local:{sha256_of(folder)}"
        self._decoder: Any = None

    def _key_of(self, request: Request) -> str:
        return key_of(self._address, body_of(self.options, request), request.attempt)

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [self.recording.get(self._key_of(request)) is not None for request in requests]

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """Responses in batches of `concurrency` rows; None where the conversation is longer than the model reads."""
        missing = [request for request, known in zip(requests, self.known(requests), strict=True) if not known]
        if missing:
            self._write(missing)
        return [self.recording.get(self._key_of(request)) for request in requests]

    def _write(self, requests: Sequence[Request]) -> None:
        from retrace.decoding.engine import Decoder
        from retrace.decoding.sampling import generate
        from retrace.decoding.setup import best_device
        from retrace.models.load import load_model

        if self._decoder is None:
            model, tokenizer = load_model(
                self.folder, self.family, "bfloat16" if best_device() == "cuda" else "float32"
            )
            self._decoder = Decoder(model.to(best_device()), tokenizer, self.family)
        decoder, room = self._decoder, self.options.max_tokens if self.family == "decoder_only" else 0
        asked = [(request, self._prompt(request)) for request in requests]
        asked = [one for one in asked if self._length(one[1]) + room <= decoder.max_length]
        for attempt in sorted({request.attempt for request, _ in asked}):
            mine = [one for one in asked if one[0].attempt == attempt]
            answers = generate(
                decoder,
                [prompt for _, prompt in mine],
                [self._key_of(request) for request, _ in mine],
                temperature=self.options.temperature or None,
                max_new_tokens=self.options.max_tokens,
                batch_size=self.options.concurrency,
                first_sample=attempt,
                stops=[] if self._has_template() else ["\n\n"],
            )
            for answer in answers:
                request, prompt = mine[answer.index]
                one = answer.samples[0]
                response = Response(
                    text=one.text.strip(),
                    model=self.name,
                    time=datetime.now(UTC).isoformat(timespec="seconds"),
                    finish="stop" if one.finished else "length",
                    input_tokens=self._length(prompt),
                    output_tokens=one.tokens,
                )
                body = body_of(self.options, request)
                self.recording.add(self._key_of(request), self._address, body, request.attempt, response)

    def _has_template(self) -> bool:
        return bool(getattr(self._decoder.tokenizer, "chat_template", None))

    def _length(self, prompt: str) -> int:
        return len(self._decoder.tokenizer(prompt, verbose=False)["input_ids"])

    def _prompt(self, request: Request) -> str:
        """The conversation in the tokenizer's chat template, or as plain paragraphs where it has none."""
        if self._has_template():
            tokenizer = self._decoder.tokenizer
            text = tokenizer.apply_chat_template(request.body(), tokenize=False, add_generation_prompt=True)
            return text.removeprefix(tokenizer.bos_token or "")  # the decoder puts it in front by itself
        system, *turns = [content for _, content in request.messages]
        pairs = [f"{turns[place]}\n{turns[place + 1]}" for place in range(0, len(turns) - 1, 2)]
        return "\n\n".join([system, *pairs, f"{turns[-1]}\n"])
