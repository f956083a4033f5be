"""Requests to teachers and their responses."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.text.thoughts import split_thoughts, without_thoughts

Message = dict[str, str]  # {"role": ..., "content": ...}

# Factors of max_tokens: for the first request, and for repeats if thinking used all tokens before an answer.
ROOM = (1, 4, 16)


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes:
        example_id: Id of the question.
        messages: Pairs of role and content.
        attempt: How often the same messages were already sent; each attempt gets its own response.
        mistake: The student's answer that the messages show, for a teacher that does not read them; None: none.
    """

    example_id: str
    messages: tuple[tuple[str, str], ...]  # (role, content)
    attempt: int = 0
    mistake: str | None = None

    def body(self) -> list[Message]:
        return [{"role": role, "content": content} for role, content in self.messages]


@dataclass(frozen=True)
class Response:
    """A teacher's response.

    `finish` says why the text ended, in the terms of the chat-completions interface. `thinking` is the model's reasoning
    that the server returned separately; it is not part of the rationale.
    """

    text: str
    model: str
    time: str | None
    finish: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    thinking: str = ""

    def without_thinking(self) -> "Response":
        """The answer only: reasoning inside the text is moved to `thinking`."""
        text, thinking = split_thoughts(self.text)
        if text == self.text:
            return self
        return replace(self, text=text.strip(), thinking="\n".join(part for part in (self.thinking, thinking) if part))

    @property
    def ran_out_of_room(self) -> bool:
        """Whether the response reached its limit before the answer began."""
        return self.finish == "length" and not without_thoughts(self.text).strip()


class Teacher(Protocol):
    """Anything that answers requests."""

    name: str

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The responses in the order of the requests; None if this teacher cannot or will not answer one."""
        ...

    def known(self, requests: Sequence[Request]) -> list[bool]:
        """Which requests cost nothing because their responses already exist."""
        ...


def address_of(options: TeacherOptions) -> str:
    """The address that requests to a served model are sent to."""
    return options.base_url.rstrip("/") + "/chat/completions"


def body_of(options: TeacherOptions, request: Request, room: int = 1) -> dict[str, Any]:
    """The complete request body, for a response of at most `room` times max_tokens."""
    return {
        "model": options.model,
        "messages": request.body(),
        "temperature": options.temperature,
        options.length_option: options.max_tokens * room,
    }


def key_of(address: str, body: dict[str, Any], attempt: int) -> str:
    """The checksum of a complete request, under which its response is recorded."""
    text = json.dumps([address, body, attempt], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def without_system(messages: Sequence[Message]) -> list[Message]:
    """The conversation for a model without a system role: the system text is prepended to the user's first turn."""
    system = "\n\n".join(one["content"] for one in messages if one["role"] == "system")
    turns = [dict(one) for one in messages if one["role"] != "system"]
    first = next((one for one in turns if one["role"] == "user"), None)
    if system and first is not None:
        first["content"] = f"{system}\n\n{first['content']}"
    return turns


def estimated_tokens(text: str) -> int:
    """Estimated number of tokens: four characters each, as in English text with most tokenizers."""
    return -(-len(text) // 4)
