"""Faulty copies of YAML files: a value of another type, a key twice or missing, bytes that no file should hold."""

import random
from collections.abc import Iterator
from typing import Any

import yaml

# Values of every type that YAML knows, as texts.
VALUES = [
    *("null", "~", "''", "0", "-1", "3.5", "1e400", ".nan", ".inf", "yes", "off", "[]", "{}", "[a]", "[[1]]", "{a: 1}"),
    *(
        "2024-01-31",
        "2024-13-45",
        "12:30:00",
        "0o17",
        "017",
        "1_000",
        "0x1F",
        "text",
        "'{x}'",
        "'a/b'",
        "'..'",
        "' a b '",
    ),
    *(
        "'é'",
        "A",
        "'a\\nb'",
        '"\\ud800"',
        '"\\u0000"',
        "!!python/object:os.system x",
        "!!binary aGk=",
        "!!int x",
        "&a [*a]",
    ),
    *(
        "*nowhere",
        "<<",
        "=",
        "9" * 30,
        "9" * 400,
        "'" + "x" * 5000 + "'",
        "[" * 100 + "]" * 100,
        "'${HOME}'",
        "grace",
        "sft",
    ),
]
BYTES = [
    b"\t",
    b"\x00",
    b"\xff",
    b"\xe9",
    b"\xed\xa0\x80",
    b"\r",
    b"\x85",
    b"'",
    b'"',
    b"[",
    b"{",
    b": ",
    b"- ",
    b"#",
    b"\n---\n",
]
BYTES += [
    b"%YAML 9.9\n",
    b"...\n",
    b"@",
    b"`",
    b"|\n",
    b"&",
    b"*x",
    b"!!",
    b"? ",
    b"<<: ",
    b"\xef\xbb\xbf",
    b"1: x\n",
    b"null: x\n",
]


def mutants(text: str, count: int, seed: str) -> Iterator[bytes]:
    """`count` faulty or odd versions of a YAML text, the same for the same seed."""
    draw = random.Random(seed)
    ways = [
        _another_value,
        _another_value,
        _without_a_key,
        _twice,
        _cut_off,
        _other_bytes,
        _other_encoding,
        _key_of_another_type,
    ]
    for number in range(count):
        yield ways[number % len(ways)](draw, text)


def _places(value: Any, place: tuple = ()) -> Iterator[tuple]:
    """All places of a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*place, key)
        yield from _places(one, (*place, key))


def _holder(document: Any, place: tuple) -> Any:
    for key in place[:-1]:
        document = document[key]
    return document


MARK = "value-in-place"


def _another_value(draw: random.Random, text: str) -> bytes:
    document = yaml.safe_load(text)
    places = list(_places(document))
    if not places:
        return draw.choice(VALUES).encode()
    place = draw.choice(places)
    _holder(document, place)[place[-1]] = MARK
    return yaml.safe_dump(document, sort_keys=False).replace(MARK, draw.choice(VALUES)).encode()


def _key_of_another_type(draw: random.Random, text: str) -> bytes:
    document = yaml.safe_load(text)
    places = [place for place in _places(document) if isinstance(place[-1], str)]
    if not places:
        return draw.choice(VALUES).encode() + b": x"
    place = draw.choice(places)
    holder = _holder(document, place)
    holder[MARK] = holder.pop(place[-1])
    return yaml.safe_dump(document, sort_keys=False).replace(MARK, draw.choice(VALUES)).encode()


def _without_a_key(draw: random.Random, text: str) -> bytes:
    document = yaml.safe_load(text)
    places = list(_places(document))
    if places:
        place = draw.choice(places)
        del _holder(document, place)[place[-1]]
    return yaml.safe_dump(document, sort_keys=False).encode()


def _twice(draw: random.Random, text: str) -> bytes:
    lines = text.splitlines(keepends=True)
    lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
    return "".join(lines).encode()


def _cut_off(draw: random.Random, text: str) -> bytes:
    data = text.encode()
    return data[: draw.randrange(len(data) + 1)]


def _other_bytes(draw: random.Random, text: str) -> bytes:
    data = text.encode()
    start = draw.randrange(len(data) + 1)
    return data[:start] + draw.choice(BYTES) + data[start + draw.choice([0, 0, 1, 5]) :]


def _other_encoding(draw: random.Random, text: str) -> bytes:
    encoding = draw.choice(["utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp1252", "utf-7"])
    return (text + "# é\n").encode(encoding, errors="replace")
