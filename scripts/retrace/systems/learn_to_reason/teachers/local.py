"""A model in this process as the teacher, for machines without a server."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.storage import sha256_of
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import (
    ROOM,
    Message,
    Request,
    Response,
    body_of,
    key_of,
    without_system,
)
from retrace.systems.learn_to_reason.teachers.recording import Recording


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
        # Different weights under the same name are a different teacher.
        self._address = f"local:{sha256_of(folder)}"
        self._decoder: Any = None

    def _look_up(self, request: Request) -> tuple[Response | None, int | None]:
        return self.recording.look_up(self._address, self.options, request)

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [self._look_up(request)[1] is None for request in requests]

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """Responses in batches of `concurrency` rows; None if a conversation is longer than the model's limit."""
        for room in ROOM:
            if missing := [request for request in requests if self._look_up(request)[1] == room]:
                self._write(missing, room)
        return [self._look_up(request)[0] for request in requests]

    def _write(self, requests: Sequence[Request], room: int) -> None:
        from retrace.decoding.sampling import generate

        decoder = self._opened()
        most = self.options.max_tokens * room
        reserve = most if self.family == "decoder_only" else 0
        asked = [(request, self._prompt(request)) for request in dict.fromkeys(requests)]
        asked = [one for one in asked if self._length(one[1]) + reserve <= decoder.max_length]
        bodies = {request: body_of(self.options, request, room) for request, _ in asked}
        keys = {request: key_of(self._address, body, request.attempt) for request, body in bodies.items()}
        for attempt in sorted({request.attempt for request, _ in asked}):
            mine = [one for one in asked if one[0].attempt == attempt]
            answers = generate(
                decoder,
                [prompt for _, prompt in mine],
                [keys[request] for request, _ in mine],
                temperature=self.options.temperature or None,
                max_new_tokens=most,
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
                self.recording.add(keys[request], self._address, bodies[request], request.attempt, response)

    def _opened(self) -> Any:
        """The model, loaded for the first request; in chat form, the end of its turn ends an answer."""
        from jinja2 import TemplateError

        from retrace.decoding.engine import Decoder
        from retrace.decoding.setup import best_device
        from retrace.models.load import load_model
        from retrace.prompting.prompting import end_tokens

        if self._decoder is None:
            device = best_device()
            dtype = "bfloat16" if device == "cuda" else "float32"
            model, tokenizer = load_model(self.folder, self.family, dtype, device)
            chat = getattr(tokenizer, "chat_template", None) is not None
            try:
                ends = end_tokens(tokenizer, model, chat)
            except TemplateError as error:
                raise self._unfit(error) from None
            self._decoder = Decoder(model, tokenizer, self.family, end_ids=ends, special_tokens=not chat)
        return self._decoder

    def _has_template(self) -> bool:
        return getattr(self._decoder.tokenizer, "chat_template", None) is not None

    def _length(self, prompt: str) -> int:
        return len(
            self._decoder.tokenizer(prompt, add_special_tokens=not self._has_template(), verbose=False)["input_ids"]
        )

    def _prompt(self, request: Request) -> str:
        """The conversation in the tokenizer's chat template, or as plain paragraphs if it has none."""
        messages = request.body()
        if self._has_template():
            return self._in_template(messages)
        paragraphs: list[str] = []
        for message in messages:
            if message["role"] == "assistant":
                paragraphs[-1] += message["content"]  # below its question
            else:
                paragraphs.append(message["content"] + "\n" * (message["role"] == "user"))
        return "\n\n".join(paragraphs)

    def _in_template(self, messages: list[Message]) -> str:
        """The text of a conversation. If the template rejects or drops the system message, the user's turn gets it."""
        from jinja2 import TemplateError

        faults, written = [], []
        system = next((one["content"].strip() for one in messages if one["role"] == "system"), "")
        for turns in (messages, without_system(messages)):
            try:
                text = self._decoder.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            except TemplateError as error:
                faults.append(error)
            else:
                written.append(text)
        if not written:
            raise self._unfit(faults[-1])
        # A template may also change the signs of what it is given; then it has not left it out.
        return next((text for text in written if system in text), written[0])

    def _unfit(self, fault: Exception) -> UserError:
        return UserError(
            f"{self.folder}: the tokenizer's chat template cannot format the conversation ({fault}); correct the template, "
            "or ask without worked examples (feedback.demonstrations: 0)"
        )
