"""Requests in the form that a server takes. What it refuses once, with words that say so, is not sent to it again."""

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
# A value that is out of its range is the user's to mend.
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
    """One thing that is done to each request. note: what the user is told about it."""

    name: str
    note: str
    is_wanted: Callable[[str, str | None], bool]
    made: Callable[[Body], Body]


class Fitting:
    """What was learned about a server in this run."""

    def __init__(self, options: TeacherOptions, address: str) -> None:
        self._address = address
        mine = options.length_option
        other = next(name for name in _LENGTHS if name != mine)
        self._possible = [
            _Change(
                "without_temperature",
                "takes no temperature of ours; requests go without, and the server's own counts",
                lambda said, option: _refuses(said, option, "temperature"),
                lambda body: {name: value for name, value in body.items() if name != "temperature"},
            ),
            _Change(
                f"with_{other}",
                f"wants the limit on a response as {other}; set teacher.length_option: {other} to say so from the start",
                lambda said, option: _refuses(said, option, mine),
                lambda body: {other if name == mine else name: value for name, value in body.items()},
            ),
            _Change(
                "without_system_role",
                "takes no system message; its text stands at the head of the first question",
                lambda said, option: bool(_NO_SYSTEM.search(said)),
                lambda body: body | {"messages": without_system(body["messages"])},
            ),
        ]
        self.made: list[str] = []

    def fit(self, body: Body) -> Body:
        """The request with everything done to it that was learned."""
        for change in self._possible:
            if change.name in self.made:
                body = change.made(body)
        return body

    def learn(self, said: str, option: str | None, sent: Body) -> bool:
        """Whether a refusal of the request `sent` tells how it would be taken, which the user is told once.

        said: by the server, in small letters. option: that the server names as the one at fault, where it does.
        """
        for change in self._possible:
            if change.is_wanted(said, option) and change.made(sent) != sent:
                if change.name not in self.made:
                    self.made.append(change.name)
                    print(f"note: {self._address}: {change.note}", file=sys.stderr, flush=True)
                return True
        return False


def _refuses(said: str, named: str | None, option: str) -> bool:
    """Whether a refusal says that the server does not know the option, or takes no value of ours for it."""
    if named in ("temperature", *_LENGTHS) and named != option:
        return False
    if not re.search(rf"(?<![\w.]){option}(?!\w)", said):
        return False
    return bool(_UNKNOWN.search(said)) and not _RANGE.search(said)
