"""A served model as the teacher: any server with the chat-completions interface.

Requests are few at a time; what fails for a passing reason is sent again after growing pauses, and when the server says
that it is asked too often, all requests pause. The first request goes alone, so that a wrong key or model costs one
request. Every response is recorded before the next request of its kind is sent (`recording`); each request
carries its key as `Idempotency-Key`, for servers that know it.

The key is read from the environment. It is in no option, file, log or error.
"""

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import Request, Response, estimated_tokens, key_of
from retrace.systems.learn_to_reason.teachers.recording import Recording

OPENAI = "api.openai.com"
_FIRST_WAIT = 0.5  # seconds before the second attempt; doubled each time
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")


class Malformed(Exception):
    """A response that is no completion."""


def check_options(options: TeacherOptions) -> None:
    """Raise UserError for an address that is none or may hold a secret, and for a missing model name."""
    parts = urlsplit(options.base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UserError(f"teacher.base_url {options.base_url!r}: give an address such as http://localhost:8000/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(
            f"teacher.base_url: the address of {parts.hostname} holds a name, a password or a query; put the key into the "
            f"environment variable {options.key_variable} instead"
        )
    if not options.model:
        raise UserError("teacher.model: give the name of the model on the server")


def address_of(options: TeacherOptions) -> str:
    return options.base_url.rstrip("/") + "/chat/completions"


def body_of(options: TeacherOptions, request: Request) -> dict[str, Any]:
    """The whole request, as it is sent."""
    return {
        "model": options.model,
        "messages": request.body(),
        "temperature": options.temperature,
        options.length_option: options.max_tokens,
    }


def key_from_environment(options: TeacherOptions) -> str:
    """The key; a server other than OpenAI's may need none. Raises UserError where it is missing."""
    key = os.environ.get(options.key_variable, "").strip()
    if not key and urlsplit(options.base_url).hostname == OPENAI:
        raise UserError(
            f"the environment variable {options.key_variable} is not set; it must hold the key for {OPENAI}"
        )
    return key


class Served:
    """A teacher behind an address. `counts` says what happened on the way."""

    def __init__(self, options: TeacherOptions, recording: Recording, dry: bool = False) -> None:
        """dry: nothing will be sent, so no key is needed."""
        check_options(options)
        self.options = options
        self.name = options.model
        self.recording = recording
        self.counts: Counter[str] = Counter()
        self._address = address_of(options)
        self._key = "" if dry else key_from_environment(options)
        self._stop: UserError | None = None
        self._resume = 0.0  # until then (monotonic) nothing is sent
        self._reserved: dict[str, tuple[int, int]] = {}  # in flight: tokens of the request, and of the longest response
        self._jitter = random.Random(0)

    def _key_of(self, request: Request) -> str:
        return key_of(self._address, body_of(self.options, request), request.attempt)

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [self.recording.get(self._key_of(request)) is not None for request in requests]

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The responses, recorded ones first; None for a request that the server refuses for what it holds.

        Raises UserError where nobody can go on: a wrong key or model, a limit that is reached, a server that does not
        answer. What was answered by then is recorded.
        """
        keys = [self._key_of(request) for request in requests]
        todo = {
            key: request
            for key, request in zip(keys, requests, strict=True)
            if self.recording.get(key) is None  # equal requests are sent once
        }
        self.counts["recorded"] += len(requests) - len(todo)
        if todo:
            asyncio.run(self._ask(todo))
        if self._stop is not None:
            left = sum(self.recording.get(key) is None for key in todo)
            raise UserError(f"{self._stop} ({len(todo) - left} new responses are recorded, {left} requests are left)")
        return [self.recording.get(key) for key in keys]

    # ------------------------------------------------------------ sending

    async def _ask(self, todo: dict[str, Request]) -> None:
        from openai import AsyncOpenAI
        from tqdm import tqdm

        waiting = iter(todo.items())
        with tqdm(total=len(todo), desc="teacher", unit="request", file=sys.stderr, mininterval=2) as bar:
            client = AsyncOpenAI(
                base_url=self.options.base_url,
                api_key=self._key or "none",
                max_retries=0,  # this class retries
                timeout=self.options.timeout_seconds,
            )
            async with client:
                await self._send_until_answered(client, *next(waiting))
                bar.update()
                workers = [self._work(client, waiting, bar) for _ in range(self.options.concurrency)]
                await asyncio.gather(*workers)

    async def _work(self, client: Any, waiting: Iterator[tuple[str, Request]], bar: Any) -> None:
        for key, request in waiting:
            if self._stop is not None:
                return
            await self._send_until_answered(client, key, request)
            bar.set_postfix(again=self.counts["sent"] - self.counts["answered"] - len(self._reserved), refresh=False)
            bar.update()

    async def _send_until_answered(self, client: Any, key: str, request: Request) -> None:
        fault = ""
        for attempt in range(self.options.attempts):
            if attempt:
                await asyncio.sleep(self._pause(attempt))
            while (wait := self._resume - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self._stop is not None or not await self._reserve(key, request):
                return
            self.counts["sent"] += 1
            try:
                response = await self._send(client, key, request)
            except Exception as error:
                fault = self._judge(error)
                if not fault:
                    return
                self.counts[f"again: {fault}"] += 1
            else:
                self.counts["answered"] += 1
                body = body_of(self.options, request)
                self.recording.add(key, self._address, body, request.attempt, response)
                return
            finally:
                self._reserved.pop(key, None)
        self._halt(
            f"{self._address}: no answer after {self.options.attempts} attempts (the last: {fault}); run again when the "
            "server is well"
        )

    def _pause(self, attempt: int) -> float:
        """Seconds before an attempt: doubled each time, with some chance, so that requests do not come in step."""
        return min(_FIRST_WAIT * 2 ** (attempt - 1), self.options.max_wait_seconds) * (0.5 + self._jitter.random() / 2)

    async def _send(self, client: Any, key: str, request: Request) -> Response:
        async with asyncio.timeout(self.options.timeout_seconds):
            completion = await client.chat.completions.create(
                **body_of(self.options, request), extra_headers={"Idempotency-Key": key}
            )
        return self._read(completion, request)

    def _read(self, completion: Any, request: Request) -> Response:
        """The library checks nothing: a response may lack any part."""
        choices = getattr(completion, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        if message is None:
            raise Malformed
        refusal = getattr(message, "refusal", None)
        text = getattr(message, "content", None) or refusal or ""
        if not isinstance(text, str):
            raise Malformed
        finish = "refusal" if refusal else getattr(choices[0], "finish_reason", None)
        usage = getattr(completion, "usage", None)
        counted = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        guessed = [self._size(request), estimated_tokens(text)]
        tokens = [count if isinstance(count, int) else guess for count, guess in zip(counted, guessed, strict=True)]
        return Response(
            text=self._without_key(text),
            model=self._without_key(str(getattr(completion, "model", None) or self.options.model)),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            finish=finish if isinstance(finish, str) else None,
            input_tokens=tokens[0],
            output_tokens=tokens[1],
        )

    def _size(self, request: Request) -> int:
        return sum(estimated_tokens(content) + 4 for _, content in request.messages)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text

    # ------------------------------------------------------------ what can go wrong

    def _halt(self, reason: str) -> None:
        """Let nothing more be sent; the first reason counts."""
        if self._stop is None:
            self._stop = UserError(self._without_key(reason))

    def _judge(self, error: Exception) -> str:
        """A passing fault's name; nothing where the request shall not be sent again (and perhaps none shall)."""
        import openai

        if isinstance(error, openai.AuthenticationError | openai.PermissionDeniedError):
            self._halt(
                f"{self._address}: the key is refused ({error.status_code}); set the environment variable "
                f"{self.options.key_variable} to a valid one"
            )
            return ""
        if isinstance(error, openai.NotFoundError):
            self._halt(
                f"{self._address}: not found (404); check teacher.base_url and teacher.model {self.options.model!r}"
            )
            return ""
        if isinstance(error, openai.RateLimitError):
            if error.code in _QUOTA:
                self._halt(
                    f"{self._address}: the quota of this key is used up ({error.code}); run again when it is not"
                )
                return ""
            self._resume = max(self._resume, time.monotonic() + self._asked_pause(error.response))
            return "429"
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return "timeout"
        if isinstance(error, openai.APIConnectionError):
            return "connection"
        if isinstance(error, openai.APIStatusError):
            if error.status_code >= 500 or error.status_code in (408, 409, 425):
                return str(error.status_code)
            self._refused(error)
            return ""
        if isinstance(error, Malformed | ValueError | openai.APIResponseValidationError):
            return "malformed"
        raise error

    def _refused(self, error: Any) -> None:
        """The server refuses what this request holds; before any answer to these, that is a fault of the options."""
        self.counts["refused"] += 1
        if not self.counts["answered"] and not self.counts["recorded"]:
            said = str(error.message)[:200]
            self._halt(
                f"{self._address}: the server refuses the request ({error.status_code}: {said}); check teacher.*"
            )

    def _asked_pause(self, response: Any) -> float:
        """Seconds that the server asks to wait, as far as it says so and within the limit."""
        try:
            asked = float(response.headers.get("retry-after", ""))
        except ValueError:
            asked = _FIRST_WAIT
        return min(max(asked, 0.0), self.options.max_wait_seconds)

    async def _reserve(self, key: str, request: Request) -> bool:
        """Whether the limits allow this request beside those in flight, each counted with its longest response.

        Where they do not, those in flight are waited for, whose responses may turn out shorter.
        """
        mine = (self._size(request), self.options.max_tokens)
        while over := self._over(mine):
            if self._stop is not None:
                return False
            if not self._reserved:
                totals = self.recording.totals
                spent = totals.cost(self.options.input_price, self.options.output_price)
                self._halt(
                    f"teacher.{over} {getattr(self.options, over):g} is reached: the recording holds {totals.responses} "
                    f"responses, {totals.input_tokens + totals.output_tokens} tokens, cost {spent:.4g}; raise it to go on"
                )
                return False
            await asyncio.sleep(0.02)
        self._reserved[key] = mine
        return True

    def _over(self, mine: tuple[int, int]) -> str | None:
        """The limit that one more request could break."""
        options, totals = self.options, self.recording.totals
        flying = [*self._reserved.values(), mine]
        inputs, outputs = (sum(tokens) for tokens in zip(*flying, strict=True))
        spent = totals.cost(options.input_price, options.output_price)
        needed = {
            "max_requests": totals.responses + len(flying),
            "max_total_tokens": totals.input_tokens + totals.output_tokens + inputs + outputs,
            "max_cost": spent + (inputs * options.input_price + outputs * options.output_price) / 1e6,
        }
        return next((name for name, value in needed.items() if 0 <= getattr(options, name) < value), None)
