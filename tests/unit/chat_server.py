"""A real HTTP server with the chat-completions interface, which fails as servers do."""

import hashlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "timeout", "closed", "malformed")
_REFERENCE = re.compile(r"Right final answer: (\S+)")


def rightly(body: dict) -> str:
    """A rationale with the final answer that the request names."""
    reference = _REFERENCE.findall(body["messages"][-1]["content"])[-1]
    return f"First count.\nThen it is {reference}.\nAnswer: {reference}"


class ChatServer:
    """Answers on 127.0.0.1. log: one (key, what happened) a request, in their order; bodies: the request of each key.

    faults: share of each of FAULTS; which request meets which is fixed by its key and by how often it came. reply: the
    text for a request's body. key: the only one that is accepted. delay: seconds before an answer. refuses: status, text
    and headers for a request's body, where it is not to be answered as usual. raw: writes what goes over the wire by
    itself, and returns whether it did.
    """

    def __init__(
        self,
        faults: float = 0.0,
        reply: Callable[[dict], str] = rightly,
        key: str | None = None,
        delay: float = 0.0,
        hang: float = 1.5,
        usage: bool = True,
        finish: str = "stop",
        refuses: Callable[[dict], tuple | None] | None = None,
        raw: Callable[[BaseHTTPRequestHandler], bool] | None = None,
    ) -> None:
        self.faults, self.reply, self.key, self.delay, self.hang = faults, reply, key, delay, hang
        self.usage, self.finish, self.refuses, self.raw = usage, finish, refuses, raw
        self.log: list[tuple[str, str]] = []
        self.bodies: dict[str, dict] = {}
        self.headers: list[dict[str, str]] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()
        self._came: Counter[str] = Counter()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                owner.serve(self)

            def log_message(self, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: object, address: object) -> None:
                pass  # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def __enter__(self) -> "ChatServer":
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def outcomes(self) -> Counter[str]:
        return Counter(outcome for _, outcome in self.log)

    def answered(self) -> list[str]:
        """Keys of the requests that got a whole answer, in their order."""
        return [key for key, outcome in self.log if outcome == "answered"]

    def fault_of(self, key: str) -> str | None:
        """What goes wrong with this request when it comes this time."""
        place = int.from_bytes(hashlib.sha256(f"{key} {self._came[key]}".encode()).digest()[:4], "big") / 2**32
        number = int(place / self.faults) if self.faults else len(FAULTS)
        return FAULTS[number] if number < len(FAULTS) else None

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        key = handler.headers.get("Idempotency-Key", "none")
        with self.lock:
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self._came[key] += 1
            fault = self.fault_of(key)
            self.bodies[key] = body
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            outcome = self._respond(handler, body, fault)
        except OSError:
            outcome = "gone"  # the client did not wait
        finally:
            with self.lock:
                self.at_once -= 1
        with self.lock:
            self.log.append((key, outcome))

    def _respond(self, handler: BaseHTTPRequestHandler, body: dict, fault: str | None) -> str:
        time.sleep(self.delay)
        if self.key is not None and handler.headers.get("Authorization") != f"Bearer {self.key}":
            sent = handler.headers.get("Authorization", "").removeprefix("Bearer ")
            self._send(handler, 401, json.dumps({"error": {"message": f"Incorrect API key provided: {sent}"}}))
            return "401"
        if self.refuses is not None and (refused := self.refuses(body)):
            self._send(handler, *refused)
            return str(refused[0])
        if self.raw is not None and self.raw(handler):
            handler.close_connection = True
            return "raw"
        if fault == "429":
            self._send(handler, 429, '{"error": {"message": "slow down"}}', {"Retry-After": "0.01"})
        elif fault == "500":
            self._send(handler, 500, '{"error": {"message": "oh"}}')
        elif fault == "timeout":
            time.sleep(self.hang)
            self._send(handler, 200, "{}")
        elif fault == "closed":
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "malformed":
            self._send(handler, 200, '{"id": "x", "choices": [{"message": {"content": "cut o')
        else:
            self._send(handler, 200, json.dumps(self._completion(body)))
        return fault or "answered"

    def _completion(self, body: dict) -> dict:
        message = {"role": "assistant", "content": self.reply(body)}
        choice = {"index": 0, "finish_reason": self.finish, "message": message}
        found = {
            "id": "x",
            "object": "chat.completion",
            "created": 1,
            "model": f"{body['model']}-1",
            "choices": [choice],
        }
        return found | (
            {"usage": {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}} if self.usage else {}
        )

    @staticmethod
    def _send(handler: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        data = text.encode()
        handler.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(data)),
            **(headers or {}),
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)
