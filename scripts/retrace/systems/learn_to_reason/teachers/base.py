"""What a teacher is asked and what it answers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Message = dict[str, str]  # {"role": ..., "content": ...}


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
    """What came back. finish: why the text ended, in the words of the chat-completions interface."""

    text: str
    model: str
    time: str | None
    finish: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0


class Teacher(Protocol):
    """Anybody who answers requests."""

    name: str

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The responses in the order of the requests; None for one that this teacher cannot or will not answer."""
        ...

    def known(self, requests: Sequence[Request]) -> list[bool]:
        """Which requests cost nothing, because their responses are there already."""
        ...


def key_of(address: str, body: dict[str, Any], attempt: int) -> str:
    """The checksum under which the response to a whole request is recorded."""
    text = json.dumps([address, body, attempt], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has: four characters each, as English text of most tokenizers has."""
    return -(-len(text) // 4)
