"""Adapting requests to a server. An option that the server rejects explicitly is not sent again."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import without_system

_UNKNOWN = re.compile(
    r"unsupported|(not|n't|no longer) support|(not|n't) (permitted|allowed|accept)|unrecogni[sz]ed|unknown|unexpected|"
    r"extra (inputs|fields|keys)|only the default|deprecated|invalid (parameter|argument)"
)
# A value out of range is the user's to correct.
_RANGE = re.compile(
    r"too (large|big|high|long|small)|at (most|least)|between|maximum|minimum|greater|less than|range|exceed"
)
_NO_SYSTEM = re.compile(
    r"system (role|message|prompt|instruction)s?\b.{0,40}(not|n't|un)[ -]?(support|allow|permit|enabled)|"
    r"developer instruction is not enabled|(unsupported|unknown|invalid) role.{0,20}system|"
    r"conversation roles must alternate|only user(, model)? and (assistant|model) roles are supported"
)
_LENGTHS = ("max_tokens", "max_completion_tokens")
Body = dict[str, Any]


@dataclass(frozen=True)
class _Change:
    """One change to every request. note: the message to the user."""

    name: str
    note: str
    is_wanted: Callable[[str, str | None], bool]
    made: Callable[[Body], Body]


class Fitting:
    """Knowledge about a server gained in this run."""

    def __init__(self, options: TeacherOptions, address: str) -> None:
        self._address = address
        mine = options.length_option
        other = next(name for name in _LENGTHS if name != mine)
        self._possible = [
            _Change(
                "without_temperature",
                "does not accept the temperature; requests omit it, so the server's own default applies",
                lambda said, option: _refuses(said, option, "temperature"),
                lambda body: {name: value for name, value in body.items() if name != "temperature"},
            ),
            _Change(
                f"with_{other}",
                f"expects the limit on a response as {other}; set teacher.length_option: {other} to send it from the start",
                lambda said, option: _refuses(said, option, mine),
                lambda body: {other if name == mine else name: value for name, value in body.items()},
            ),
            _Change(
                "without_system_role",
                "does not accept system messages; their text is prepended to the first question",
                lambda said, option: bool(_NO_SYSTEM.search(said)),
                lambda body: body | {"messages": without_system(body["messages"])},
            ),
        ]
        self.made: list[str] = []

    def fit(self, body: Body) -> Body:
        """The request with all changes learned so far."""
        for change in self._possible:
            if change.name in self.made:
                body = change.made(body)
        return body

    def learn(self, said: str, option: str | None, sent: Body) -> bool:
        """Learn from the server's rejection of a request; returns whether a change may make it acceptable.

        The user is told once about each change.

        Args:
            said: The server's message in lower case.
            option: The option that the server names as the cause, if any.
            sent: The rejected request.
        """
        for change in self._possible:
            if change.is_wanted(said, option) and change.made(sent) != sent:
                if change.name not in self.made:
                    self.made.append(change.name)
                    print(f"note: {self._address}: {change.note}", file=sys.stderr, flush=True)
                return True
        return False


def _refuses(said: str, named: str | None, option: str) -> bool:
    """Whether a rejection says that the server does not know the option or does not accept any value for it."""
    if named in ("temperature", *_LENGTHS) and named != option:
        return False
    if not re.search(rf"(?<![\w.]){option}(?!\w)", said):
        return False
    return bool(_UNKNOWN.search(said)) and not _RANGE.search(said)
