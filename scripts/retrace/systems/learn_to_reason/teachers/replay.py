"""Recorded responses as a teacher: no network, no key, no cost."""

from collections.abc import Sequence

from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions
from retrace.systems.learn_to_reason.teachers.base import Request, Response, address_of
from retrace.systems.learn_to_reason.teachers.recording import Recording


class Replay:
    """A teacher that replays a served model's responses to the same requests with the same options."""

    def __init__(self, options: TeacherOptions, recording: Recording) -> None:
        self.name = options.model
        self.options = options
        self.recording = recording

    def _recorded(self, requests: Sequence[Request]) -> list[Response | None]:
        address = address_of(self.options)
        return [self.recording.look_up(address, self.options, request)[0] for request in requests]

    def answer(self, requests: Sequence[Request]) -> list[Response | None]:
        """The recorded responses; None for a request that was never answered.

        Raises UserError if no first attempt has a response, because the recording then belongs to something else.
        """
        found = self._recorded(requests)
        if requests and not any(found) and not any(request.attempt for request in requests):
            raise UserError(
                f"{self.options.recording}: has no answer of {self.name!r} at {address_of(self.options)} to any of the "
                f"{len(requests)} requests; name the recording that was made with this task, template and teacher"
            )
        return found

    def known(self, requests: Sequence[Request]) -> list[bool]:
        return [response is not None for response in self._recorded(requests)]
