"""The key of a served teacher. It is read from the environment and never appears in an option, file, log or error."""

import os
import re
from urllib.parse import urlsplit

from retrace.errors import UserError
from retrace.systems.learn_to_reason.options import Teacher as TeacherOptions

OPENAI = "api.openai.com"
_SECRET = 16  # characters; a shorter key may be an ordinary word that occurs in an answer
_SHOWN = 200  # characters of a server's message


def key_from_environment(options: TeacherOptions) -> str:
    """The key; a server other than OpenAI's may need none. Raises UserError if it is missing or cannot be a key."""
    key = os.environ.get(options.key_variable, "").strip()
    if not key and urlsplit(options.base_url).hostname == OPENAI:
        raise UserError(
            f"the environment variable {options.key_variable} is not set; it must hold the key for {OPENAI}"
        )
    if not key.isascii() or any(not sign.isprintable() or sign == " " for sign in key):
        raise UserError(
            f"the environment variable {options.key_variable} contains a space, a line break or a character that keys do "
            "not have; set it to the key only"
        )
    return key


class Hidden:
    """Removes the key from texts that came from a server."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._is_secret = len(key) >= _SECRET and any(sign.isdigit() for sign in key) and not key.isdigit()

    def in_answer(self, text: str) -> str:
        """An answer without a real key; a key such as `none` is kept, because it may be an ordinary word."""
        return text.replace(self._key, "[key]") if self._is_secret else text

    def in_message(self, text: str) -> str:
        """A server's error message without the key, on one line and shortened."""
        text = "".join(sign if sign.isprintable() else " " for sign in text)
        if self._key:
            text = re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", "[key]", text)
        return " ".join(self.in_answer(text).split())[:_SHOWN]
