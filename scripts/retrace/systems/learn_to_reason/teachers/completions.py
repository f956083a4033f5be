"""Reading responses of the chat-completions interface defensively: any part may be missing, and they may never end."""

import math
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 16_000_000  # limit on a response; 100,000 tokens of any escaped text are smaller
_THOUGHTS = ("reasoning_content", "reasoning")  # names that servers use for the model's thinking
_MOST_TOKENS = 1e9  # a count above this is ignored


class Malformed(Exception):
    """A response that is not a completion. The text says why in a few words."""


class TooLarge(Exception):
    """A response that was abandoned because of its size."""


@dataclass(frozen=True)
class Completion:
    """The used parts of a response. Token counts are None if the server does not report them."""

    text: str
    thinking: str
    finish: str | None
    model: str | None
    input_tokens: int | None
    output_tokens: int | None


def bounded_client(**options: Any) -> Any:
    """The library's HTTP client, limited to MOST_BYTES per response and without redirects.

    A redirect would send the key to another address.
    """
    from openai import DefaultAsyncHttpxClient

    class BoundedClient(DefaultAsyncHttpxClient):
        async def send(self, request: Any, **words: Any) -> Any:
            words["stream"] = True
            response = await super().send(request, **words)
            parts, size = [], 0
            try:
                async for part in response.aiter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MOST_BYTES:
                        raise TooLarge
            finally:
                await response.aclose()
            # The content is already decoded and complete.
            dropped = ("content-encoding", "content-length", "transfer-encoding")
            headers = [pair for pair in response.headers.multi_items() if pair[0].lower() not in dropped]
            content = b"".join(parts)
            return type(response)(response.status_code, headers=headers, content=content, request=response.request)

    return BoundedClient(follow_redirects=False, **options)


def read_completion(completion: Any) -> Completion:
    """The parts of the library's object, which the library has not validated. Raises Malformed if it has no message."""
    if isinstance(completion, str):
        page = completion.lstrip()[:15].lower().startswith(("<!doctype", "<html"))
        raise Malformed("a web page instead of JSON; does the address end in /v1?" if page else "no JSON")
    choices = getattr(completion, "choices", None)
    message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
    if message is None:
        fault = getattr(completion, "error", None)
        said = fault.get("message") if isinstance(fault, dict) else fault
        raise Malformed(f"an error instead of an answer: {said}" if said else "malformed")
    content = getattr(message, "content", None)
    if not isinstance(content, str | list | None):
        raise Malformed("malformed")
    text, thinking = _text_of(content)
    refusal = _text_of(getattr(message, "refusal", None))[0]
    beside = next((said for name in _THOUGHTS if (said := "".join(_text_of(getattr(message, name, None))))), "")
    finish = "refusal" if refusal else getattr(choices[0], "finish_reason", None)
    usage = getattr(completion, "usage", None)
    model = getattr(completion, "model", None)
    return Completion(
        text=text or refusal,
        thinking="\n".join(part for part in (beside, thinking) if part),
        finish=_whole(finish) if isinstance(finish, str) else None,
        model=_whole(model) if isinstance(model, str) and model else None,
        input_tokens=_count(getattr(usage, "prompt_tokens", None)),
        output_tokens=_count(getattr(usage, "completion_tokens", None)),
    )


def fields_of(error: Any) -> str:
    """Everything that a server says about an error, in lower case."""
    return f"{error.message} {getattr(error, 'body', '')}".lower()


def _text_of(content: Any) -> tuple[str, str]:
    """Text and thinking of a message's content: a text, or, from some servers, a list of parts.

    Other parts are skipped rather than rejected, because the response was already paid for.
    """
    if isinstance(content, str):
        return _whole(content), ""
    texts, thoughts = [], []
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, dict):
            texts.append(_text_of(part)[0])
            continue
        kind = str(part.get("type", "text"))
        value = part.get(kind, part.get("text"))
        if kind in ("thinking", "reasoning"):
            thoughts.append("".join(_text_of(value)))
        elif kind in ("text", "output_text", "refusal"):
            texts.append(_text_of(value)[0])
    return "".join(texts), "\n".join(thoughts)


def _whole(text: str) -> str:
    """The text in valid UTF-8: a lone surrogate becomes the replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _count(value: Any) -> int | None:
    """A token count; None if the value is not one: text, a negative or an absurdly large number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return int(value) if 0 <= value <= _MOST_TOKENS else None
