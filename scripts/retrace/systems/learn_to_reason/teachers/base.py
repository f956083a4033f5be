"""What a teacher is asked and what it answers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.text.thoughts import split_thoughts, without_thoughts

Message = dict[str, str]  # {"role": ..., "content": ...}

# Of max_tokens: room for the first answer, and for the next ones where thinking took all of it and no answer came.
ROOM = (1, 4, 16)


@dataclass(frozen=True)
class Request:
    """One thing to ask. `attempt`: how often the same messages were asked before; another attempt is another response."""

    example_id: str
    messages: tuple[tuple[str, str], ...]  # (role, content)
    attempt: int = 0

    def body(self) -> list[Message]:
        return [{"role": role, "content": content} for role, content in self.messages]


@dataclass(frozen=True)
class Response:
    """What came back. finish: why the text ended, in the words of the chat-completions interface.

    thinking: what the server gave as the model's reasoning beside the answer; it is no part of the rationale.
    """

    text: str
    model: str
    time: str | None
    finish: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    thinking: str = ""

    def without_thinking(self) -> "Response":
        """The answer alone: reasoning that was written into the text moves to `thinking`."""
        text, thinking = split_thoughts(self.text)
        if text == self.text:
            return self
        return replace(self, text=text.strip(), thinking="\n".join(part for part in (self.thinking, thinking) if part))

    @property
    def ran_out_of_room(self) -> bool:
        """Whether the limit on the response came before any of the answer."""
        return self.finish == "length" and not without_thoughts(self.text).strip()


class Teacher(Protocol):
    """Anybody who answers requests."""

    name: str

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The responses in the order of the requests; None for one that this teacher cannot or will not answer."""
        ...

    def known(self, requests: Sequence[Request]) -> list[bool]:
        """Which requests cost nothing, because their responses are there already."""
        ...


def address_of(options: TeacherOptions) -> str:
    """Where a served model is asked."""
    return options.base_url.rstrip("/") + "/chat/completions"


def body_of(options: TeacherOptions, request: Request, room: int = 1) -> dict[str, Any]:
    """The whole request, for a response of at most `room` times max_tokens."""
    return {
        "model": options.model,
        "messages": request.body(),
        "temperature": options.temperature,
        options.length_option: options.max_tokens * room,
    }


def key_of(address: str, body: dict[str, Any], attempt: int) -> str:
    """The checksum under which the response to a whole request is recorded."""
    text = json.dumps([address, body, attempt], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The conversation for a model that knows no system role: its text stands at the head of the user's first turn."""
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    turns = [dict(one) for one in messages if one["role"] != "system"]
    first = next((one for one in turns if one["role"] == "user"), None)
    if system and first is not None:
        first["content"] = f"{system}\n\n{first['content']}"
    return turns


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: four characters each, as English text of most tokenizers has."""
    return -(-len(text) // 4)
