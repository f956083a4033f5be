"""A served model as the teacher: any server with the chat-completions interface.

The number of concurrent requests is limited. Requests that fail temporarily are retried after increasing pauses, and all
requests pause when the server reports a rate limit. The first request is sent alone, so a wrong key or model costs only
one request. Every response is recorded unchanged (`recording`) before it is judged and before its next attempt is sent.
Each request has its checksum as `Idempotency-Key`, for servers that support it.

An option that the server does not know is omitted (`fitting`). If a model's thinking used all tokens, the request is
repeated with a higher limit (`ROOM`).
"""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from retrace.errors import UserError
from retrace.machine.download import asked_pause
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import (
    Request,
    Response,
    address_of,
    body_of,
    estimated_tokens,
    key_of,
)
from retrace.systems.learn_to_reason.teachers.completions import (
    Malformed,
    TooLarge,
    bounded_client,
    fields_of,
    read_completion,
)
from retrace.systems.learn_to_reason.teachers.fitting import Fitting
from retrace.systems.learn_to_reason.teachers.keys import Hidden, key_from_environment
from retrace.systems.learn_to_reason.teachers.recording import Recording

_FIRST_WAIT = 0.5  # seconds before the second attempt; doubled each time
_QUOTA = ("insufficient_quota", "billing_hard_limit_reached")


def check_options(options: TeacherOptions) -> None:
    """Raise UserError for an address that is invalid or may contain a secret, and for a missing model name."""
    shown = options.base_url.rpartition("@")[2].partition("?")[0]
    try:
        parts = urlsplit(options.base_url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or any(sign.isspace() for sign in options.base_url):
        raise UserError(f"teacher.base_url {shown!r}: give an address such as http://localhost:8000/v1")
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise UserError(f"teacher.base_url {shown!r}: give it without /chat/completions, which is appended to it")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(
            f"teacher.base_url: the address of {parts.hostname} contains a name, a password or a query; put the key into "
            f"the environment variable {options.key_variable} instead"
        )
    if not options.model:
        raise UserError("teacher.model: give the name of the model on the server")


class Served:
    """A teacher at an address. `counts` has statistics of its requests."""

    def __init__(self, options: TeacherOptions, recording: Recording, dry: bool = False) -> None:
        """dry: nothing will be sent, so no key is needed."""
        check_options(options)
        self.options = options
        self.name = options.model
        self.recording = recording
        self.counts: Counter[str] = Counter()
        self._address = address_of(options)
        self._key = "" if dry else key_from_environment(options)
        self._hidden = Hidden(self._key)
        self._fitting = Fitting(options, self._address)
        self._stop: UserError | None = None
        self._cause = ""  # cause of the last failed connection
        self._resume = 0.0  # nothing is sent before this time (monotonic)
        self._reserved: dict[str, tuple[int, int]] = {}  # in flight: tokens of the request, and of the longest response
        self._jitter = random.Random(0)

    def _look_up(self, request: Request) -> tuple[Response | None, int | None]:
        return self.recording.look_up(self._address, self.options, request)

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [self._look_up(request)[1] is None for request in requests]

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The responses, from the recording if possible; None for a request that the server rejects for its content.

        Raises UserError if no request can succeed: a wrong key or model, a limit that is reached, a server that does not
        answer. Responses received by then are recorded.
        """
        todo = {
            key_of(self._address, body_of(self.options, request), request.attempt): request
            for request, known in zip(requests, self.known(requests), strict=True)
            if not known  # equal requests are sent once
        }
        self.counts["recorded"] += sum(self.known(requests))
        before = len(self.recording)
        if todo:
            asyncio.run(self._ask(list(todo.values())))
        for change in self._fitting.made:
            self.counts[change] = 1
        if self._stop is not None:
            left = sum(self._look_up(request)[0] is None for request in todo.values())
            new = len(self.recording) - before
            raise UserError(f"{self._stop} ({new} new responses are recorded, {left} requests are left)")
        return [self._look_up(request)[0] for request in requests]

    # ------------------------------------------------------------ sending

    async def _ask(self, todo: Sequence[Request]) -> None:
        from openai import AsyncOpenAI
        from tqdm import tqdm

        waiting = iter(todo)
        with tqdm(total=len(todo), desc="teacher", unit="request", file=sys.stderr, mininterval=2) as bar:
            client = AsyncOpenAI(
                base_url=self.options.base_url,
                api_key=self._key or "none",
                max_retries=0,  # this class retries
                timeout=self.options.timeout_seconds,
                http_client=self._connection(),
            )
            async with client:
                await self._settle(client, next(waiting))
                bar.update()
                workers = [self._work(client, waiting, bar) for _ in range(self.options.concurrency)]
                await asyncio.gather(*workers)

    def _connection(self) -> Any:
        try:
            return bounded_client(timeout=self.options.timeout_seconds)
        except Exception as error:  # the constructor reads nothing but the environment
            fault = self._hidden.in_message(str(error))
            raise UserError(
                f"{self._address}: the proxy or the certificates that the environment names cannot be used ({fault}); "
                "correct HTTPS_PROXY, HTTP_PROXY, ALL_PROXY or SSL_CERT_FILE, or name the server in NO_PROXY"
            ) from None

    async def _work(self, client: Any, waiting: Iterator[Request], bar: Any) -> None:
        for request in waiting:
            if self._stop is not None:
                return
            await self._settle(client, request)
            bar.set_postfix(again=self.counts["sent"] - self.counts["answered"] - len(self._reserved), refresh=False)
            bar.update()

    async def _settle(self, client: Any, request: Request) -> None:
        """Send a request until it is answered or rejected, with a higher limit if thinking left no room."""
        while (room := self._look_up(request)[1]) is not None:
            if room > 1:
                self.counts["with_more_room"] += 1
            if not await self._send_until_answered(client, request, room):
                return

    async def _send_until_answered(self, client: Any, request: Request, room: int) -> bool:
        """Send a request with retries; returns whether its response arrived and is recorded."""
        fault = ""
        asked = body_of(self.options, request, room)
        key = key_of(self._address, asked, request.attempt)
        attempt = 0
        while attempt < self.options.attempts:
            if fault:
                await asyncio.sleep(self._pause(attempt))
            while (wait := self._resume - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if self._stop is not None or not await self._reserve(key, request, room):
                return False
            self.counts["sent"] += 1
            body = self._fitting.fit(asked)
            try:
                response = await self._send(client, body, request, room)
            except Exception as error:
                if self._is_fitted(error, body):
                    continue
                fault = self._judge(error, room)
                if not fault:
                    return False
                self.counts[f"again: {fault.partition(':')[0]}"] += 1
                attempt += 1
            else:
                self.counts["answered"] += 1
                self.recording.add(key, self._address, body, request.attempt, response)
                return True
            finally:
                self._reserved.pop(key, None)
        cause = f": {self._cause}" if fault == "connection" and self._cause else ""
        self._halt(
            f"{self._address}: no answer after {self.options.attempts} attempts (the last: {fault}); run again when the "
            f"server works{cause}"
        )
        return False

    def _pause(self, attempt: int) -> float:
        """Seconds before an attempt: doubled each time, with jitter, so that requests do not arrive together."""
        return min(_FIRST_WAIT * 2 ** (attempt - 1), self.options.max_wait_seconds) * (0.5 + self._jitter.random() / 2)

    async def _send(self, client: Any, body: dict[str, Any], request: Request, room: int) -> Response:
        seconds = self.options.timeout_seconds * room
        headers = {"Idempotency-Key": key_of(self._address, body, request.attempt), "Accept-Encoding": "identity"}
        async with asyncio.timeout(seconds):  # in total; the library's own limit applies to each received part
            completion = await client.chat.completions.create(**body, extra_headers=headers, timeout=seconds)
        read = read_completion(completion)
        return Response(
            text=self._hidden.in_answer(read.text),
            model=self._hidden.in_answer(read.model or self.options.model),
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            finish=read.finish,
            input_tokens=self._size(request) if read.input_tokens is None else read.input_tokens,
            output_tokens=estimated_tokens(read.text + read.thinking)
            if read.output_tokens is None
            else read.output_tokens,
            thinking=self._hidden.in_answer(read.thinking),
        )

    def _size(self, request: Request) -> int:
        return sum(estimated_tokens(content) + 4 for _, content in request.messages)

    # ------------------------------------------------------------ errors

    def _halt(self, reason: str) -> None:
        """Stop sending requests; only the first reason is kept."""
        if self._stop is None:
            self._stop = UserError(reason)

    def _is_fitted(self, error: Exception, sent: dict[str, Any]) -> bool:
        """Whether the server rejects only the form of the request, which can be changed."""
        import openai

        if not isinstance(error, openai.APIStatusError) or error.status_code in (401, 403, 404, 429):
            return False
        return self._fitting.learn(fields_of(error), error.param, sent)

    def _judge(self, error: Exception, room: int) -> str:
        """The name of a temporary error; empty if this request must not be sent again, or if none must be."""
        import openai

        if isinstance(error, openai.APIStatusError):
            return self._judge_status(error, room)
        if isinstance(error, openai.APITimeoutError | TimeoutError):
            return "timeout"
        if isinstance(error, TooLarge):
            return "an answer without end"
        if isinstance(error, openai.APIConnectionError):
            self._cause = self._hidden.in_message(str(error.__cause__ or ""))
            return "connection"
        if isinstance(error, Malformed):
            return self._hidden.in_message(str(error)) or "malformed"
        if isinstance(error, ValueError | TypeError | AttributeError | RecursionError | openai.APIError):
            return "malformed"  # the library does not validate responses
        raise error

    def _judge_status(self, error: Any, room: int) -> str:
        """The same for a response with an error status."""
        status = error.status_code
        if status in (401, 403, 407):
            whose = "the key" if status != 407 else "the proxy's password"
            self._halt(
                f"{self._address}: {whose} was rejected ({status}); set the environment variable "
                f"{self.options.key_variable if status != 407 else 'HTTPS_PROXY'} to a valid one"
            )
        elif status == 404:
            self._halt(
                f"{self._address}: not found (404); check teacher.base_url and teacher.model {self.options.model!r}"
            )
        elif status == 402 or (status == 429 and (error.code in _QUOTA or error.type in _QUOTA)):
            self._halt(
                f"{self._address}: the quota of this key is used up ({error.code or status}); raise it and run again"
            )
        elif status < 400:
            target = urlsplit(error.response.headers.get("location", ""))
            self._halt(
                f"{self._address}: the server redirects ({status}) to {target.scheme or 'http'}://"
                f"{target.hostname or urlsplit(self._address).hostname}{target.path}, where the key is not sent; if that is "
                "right, set teacher.base_url to it, without /chat/completions"
            )
        elif status == 429 or status >= 500 or status in (408, 409, 425):
            pause = asked_pause(error.response.headers.get("retry-after"))
            if pause is not None or status == 429:
                wait = min(_FIRST_WAIT if pause is None else pause, self.options.max_wait_seconds)
                self._resume = max(self._resume, time.monotonic() + wait)
            return str(status)
        else:
            self._refused(error, room)
        return ""

    def _refused(self, error: Any, room: int) -> None:
        """Handle a request that the server rejects; before any successful request, the options are at fault."""
        self.counts["refused"] += 1
        if room == 1 and not self.counts["answered"] and not self.counts["recorded"]:
            said = self._hidden.in_message(str(error.message))
            self._halt(
                f"{self._address}: the server rejects the request ({error.status_code}: {said}); check teacher.*"
            )

    async def _reserve(self, key: str, request: Request, room: int) -> bool:
        """Whether the limits allow this request in addition to those in flight, assuming the longest responses.

        If not, wait for the requests in flight, whose responses may be shorter.
        """
        mine = (self._size(request), self.options.max_tokens * room)
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
        """The limit that one more request could exceed."""
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
