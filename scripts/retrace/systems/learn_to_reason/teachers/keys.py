"""The key of a served teacher. It is read from the environment and is in no option, file, log or error."""

import os
import re
from urllib.parse import urlsplit

from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions

OPENAI = "api.openai.com"
_SECRET = 16  # characters; a shorter key may be a word that an answer holds for reasons of its own
_SHOWN = 200  # characters of what a server says


def key_from_environment(options: TeacherOptions) -> str:
    """The key; a server other than OpenAI's may need none. Raises UserError where it is missing or cannot be one."""
    key = os.environ.get(options.key_variable, "").strip()
    if not key and urlsplit(options.base_url).hostname == OPENAI:
        raise UserError(
            f"the environment variable {options.key_variable} is not set; it must hold the key for {OPENAI}"
        )
    if not key.isascii() or any(not sign.isprintable() or sign == " " for sign in key):
        raise UserError(
            f"the environment variable {options.key_variable} holds a space, a line break or a sign that no key has; set it "
            "to the key alone"
        )
    return key


class Hidden:
    """Takes the key out of texts that came from a server."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._is_secret = len(key) >= _SECRET and any(sign.isdigit() for sign in key) and not key.isdigit()

    def in_answer(self, text: str) -> str:
        """An answer as it is, unless it holds a real key: a key such as `none` may be a word of the answer."""
        return text.replace(self._key, "[key]") if self._is_secret else text

    def in_message(self, text: str) -> str:
        """What a server says of a fault: without the key, on one line, and not too long."""
        text = "".join(sign if sign.isprintable() else " " for sign in text)
        if self._key:
            text = re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", "[key]", text)
        return " ".join(self.in_answer(text).split())[:_SHOWN]
