"""Read YAML configuration files into typed sections; errors name file, line, key and fix."""

import codecs
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import yaml
from pydantic import ValidationError

from retrace.errors import UserError
from retrace.sections import NAME_PATTERN, Section

SectionType = TypeVar("SectionType", bound=Section)

# The C version of SafeLoader is ten times as fast and just as safe; yaml.safe_load uses the slow one.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 50  # levels of nesting; the C loader crashes on a hundred thousand
LARGEST = 200_000  # values, those behind aliases counted each time: few lines of aliases can stand for billions
LONGEST_NUMBER = 40  # characters
SHOWN = 200  # characters of a wrong value in a message
_CORE = "tag:yaml.org,2002:"
_STR, _MERGE, _DATE = (_CORE + name for name in ("str", "merge", "timestamp"))
_AS_TEXT = {_DATE, _MERGE, _CORE + "value"}
_NUMBERS = {_CORE + "int", _CORE + "float"}
_TAGS = {None, "!", _STR, _CORE + "map", _CORE + "seq"}
# YAML 1.1 reads 010 as 8, and 1:30 as 90.
_SURPRISING = re.compile(r"[-+]?(0[0-7_]*[0-7]|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_MENDS = {
    "cannot start any token": "indent with spaces, not tabs, and quote texts that begin with a special character",
    "mapping values are not allowed": "put a text that holds ': ' in quotes",
    "but found another document": "a file holds one document: remove the second `---`",
}


class Refused(UserError):
    """A value that does not fit its section. place: the keys that lead to it."""

    def __init__(self, message: str, place: tuple[str, ...]) -> None:
        super().__init__(message)
        self.place = place


# ---------------------------------------------------------------- from bytes to plain data


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML file with a mapping. Raises UserError naming file, line and problem.

    Beyond what YAML itself forbids, these are refused: a key that stands twice, keys that are no texts, tags, deep nesting,
    and numbers that YAML reads as other numbers. Dates are texts.
    """
    value = yaml_value(_text_of(path), str(path))
    if value is None:
        raise UserError(f"{path}: holds nothing; write `key: value` lines, or remove the file")
    if not isinstance(value, dict):
        raise UserError(f"{path}: should hold `key: value` lines, holds {_kind(value)}")
    return value


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read a configuration file: JSON, or YAML as `read_yaml` reads it."""
    text = _text_of(path)
    try:
        value = json.loads(text, object_pairs_hook=_once)
    except _Twice as error:
        raise UserError(f"{path}: key {str(error)!r} is given twice in one object; remove one") from None
    except (ValueError, RecursionError):
        return read_yaml(path)
    if not isinstance(value, dict):
        raise UserError(f"{path}: should hold settings by name, holds {_kind(value)}")
    check_plain(value, str(path))
    return value


def yaml_value(text: str, where: str) -> Any:
    """The value of a YAML text (see `read_yaml`). Raises UserError that begins with `where` and the line."""
    loader = None
    try:
        _check_size(text, where)
        loader = _LOADER(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_nodes(node, where)
        return loader.construct_document(node)
    except yaml.reader.ReaderError as error:
        line = f":{text.count(chr(10), 0, error.position) + 1}" if isinstance(error.position, int) else ""
        raise UserError(f"{where}{line}: not YAML (a character that no text may hold); remove it") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or error)
        mend = next((f"; {mend}" for fault, mend in _MENDS.items() if fault in problem), "")
        raise UserError(f"{where}{_line(mark)}: not YAML ({problem}){mend}") from None
    finally:
        if loader is not None:
            loader.dispose()


def refuse_twice(text: str, where: str) -> None:
    """Raise UserError for a key that stands twice in a YAML text that another program reads; leaves all else to that one."""
    try:
        _check_size(text, where)
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UserError):
        return
    for node in _nodes(root) if root is not None else ():
        if isinstance(node, yaml.MappingNode):
            _check_once(node, where)


class _Twice(Exception):
    """A key of a JSON object that is given twice."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(key)
        found[key] = value
    return found


def _text_of(path: str | Path) -> str:
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(f"{path}: is UTF-16 text; save it as UTF-8")
    try:
        return data.decode("utf-8-sig")  # some editors put a mark in front
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _line(mark: Any) -> str:
    return f":{mark.line + 1}" if mark else ""


def _refuse(where: str, mark: Any, fault: str) -> NoReturn:
    raise UserError(f"{where}{_line(mark)}: {fault}")


def _check_size(text: str, where: str) -> None:
    """Raise UserError for what would crash the loader or fill the memory: deep nesting, aliases of aliases, own tags."""
    total = 0
    within: list[tuple[str | None, int]] = []  # the anchor of each open list or mapping, and the values before it
    sizes: dict[str, int] = {}  # values below each anchor
    for event in yaml.parse(text, Loader=_LOADER):
        mark = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _ in within):
                _refuse(where, mark, f"*{event.anchor} refers to what it stands in")
            total += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor:
                sizes[anchor] = total - before
        elif isinstance(event, yaml.NodeEvent):
            if event.tag not in _TAGS:
                tag = event.tag.replace(_CORE, "!!")
                _refuse(where, mark, f"tag {tag[:SHOWN]!r} is not allowed; write the plain value")
            if isinstance(event, yaml.CollectionStartEvent):
                within.append((event.anchor, total))
            elif event.anchor:
                sizes[event.anchor] = 1
            total += 1
        if len(within) > DEEPEST:
            _refuse(where, mark, f"nested more than {DEEPEST} levels deep")
        if total > LARGEST:
            _refuse(where, mark, f"holds more than {LARGEST:,} values, those of its aliases included")


def _check_nodes(root: yaml.Node, where: str) -> None:
    """Raise UserError for keys that stand twice or are no texts, and for surprising numbers. Dates become texts."""
    for node in _nodes(root):
        if isinstance(node, yaml.MappingNode):
            _check_keys(node, where)
            _check_once(node, where)
        elif isinstance(node, yaml.ScalarNode):
            _check_scalar(node, where)


def _nodes(root: yaml.Node) -> Iterator[yaml.Node]:
    """All values, the root first, each once; keys are left out."""
    todo, seen = [root], set()
    while todo:
        node = todo.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            todo += [value for _, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            todo += node.value


def _check_keys(node: yaml.MappingNode, where: str) -> None:
    for key, _ in node.value:
        if key.tag == _DATE:
            key.tag = _STR
        if not isinstance(key, yaml.ScalarNode) or key.tag not in (_STR, _MERGE):
            said = f"{key.value[:SHOWN]!r}" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            _refuse(where, key.start_mark, f"{said} as a key is no text; put it in quotes, or remove it")


def _check_once(node: yaml.MappingNode, where: str) -> None:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in lines:
            fault = f"key {key.value[:SHOWN]!r} is given twice, first on line {lines[key.value]}; remove one"
            _refuse(where, key.start_mark, fault)
        lines[key.value] = key.start_mark.line + 1


def _check_scalar(node: yaml.ScalarNode, where: str) -> None:
    if node.tag in _AS_TEXT:
        node.tag = _STR
    if node.tag in _NUMBERS:
        if len(node.value) > LONGEST_NUMBER:
            fault = f"a number of {len(node.value)} characters; {LONGEST_NUMBER} are the most"
            _refuse(where, node.start_mark, fault)
        if _SURPRISING.fullmatch(node.value):
            read = yaml.safe_load(node.value)
            fault = f"{node.value} is the number {read} in YAML; write {read}, or put it in quotes if it is a text"
            _refuse(where, node.start_mark, fault)
    elif node.tag == _STR and not _is_text(node.value):
        _refuse(where, node.start_mark, "a text with half of a character (a lone surrogate); remove it")


def _is_text(value: str) -> bool:
    """Whether a text can be written to a file: it has no lone surrogates."""
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def check_plain(value: Any, where: str) -> None:
    """Raise UserError for settings that are no plain data: keys or values of other types, lone surrogates, deep nesting.

    For what another program read, such as the configuration that Snakemake passes on.
    """
    todo: list[tuple[str, Any, int]] = [("", value, 0)]
    while todo:
        place, one, depth = todo.pop()
        said = f"{where}: {place}" if place else where
        if depth > DEEPEST:
            raise UserError(f"{where}: nested more than {DEEPEST} levels deep")
        if isinstance(one, Mapping):
            for key, inner in one.items():
                if not isinstance(key, str) or not _is_text(key):
                    raise UserError(f"{said}: {key!r} as a key is no text; put it in quotes, or remove it")
                todo.append((f"{place}.{key}" if place else key, inner, depth + 1))
        elif isinstance(one, list | tuple):
            todo += [(place, inner, depth + 1) for inner in one]
        elif isinstance(one, str):
            if not _is_text(one):
                raise UserError(f"{said}: {one[:SHOWN]!r} holds half of a character (a lone surrogate); remove it")
        elif not (one is None or isinstance(one, bool | int | float)):
            raise UserError(f"{said}: {str(one)[:SHOWN]} is {_kind(one)}; put it in quotes if it is a text")


def _kind(value: Any) -> str:
    names = {
        list: "a list",
        dict: "a mapping",
        str: "a text",
        int: "a number",
        float: "a number",
        bool: "true or false",
    }
    return names.get(type(value), f"a {type(value).__name__}")


# ---------------------------------------------------------------- from plain data to sections


def closest(name: str, valid: Iterable[str]) -> str:
    """End of an error message: the valid names, and the closest match."""
    names = sorted(valid)
    guess = difflib.get_close_matches(name, names, n=1)
    return (f"did you mean {guess[0]!r}? " if guess else "") + "valid: " + ", ".join(names)


def validated(section: type[SectionType], values: Mapping[str, Any], where: str) -> SectionType:
    """Validate `values` as a section. Raises UserError naming `where`, the key, and valid keys or limits."""
    try:
        return section.model_validate(values)
    except ValidationError as error:
        fault = error.errors()[0]
        names, owner = _place(section, fault["loc"])
        place = ".".join(names)
        if fault["type"] == "extra_forbidden":
            valid = getattr(owner, "model_fields", {})
            message = f"{where}: unknown key {place!r}; {closest(names[-1], valid)}"
            raise Refused(message, tuple(names)) from None
        said = ": ".join(part for part in (where, place, fault["msg"].removeprefix("Value error, ")) if part)
        # Of a fault between several keys the input is all of the section.
        got = "" if isinstance(fault.get("input"), Mapping) else f" (got {repr(fault.get('input'))[:SHOWN]})"
        raise Refused(said + got, tuple(names)) from None


def _place(section: type[Section], location: Iterable[str | int]) -> tuple[list[str], Any]:
    """The keys and positions that lead to a fault, and the type of what holds the last of them."""
    names: list[str] = []
    kind: Any = section
    owner = kind
    for part in location:
        fields = getattr(kind, "model_fields", None)
        if fields is None and get_origin(kind) not in (list, dict):
            continue  # pydantic names the members of a union, too
        names.append(str(part))
        owner = kind
        kind = get_args(kind)[-1] if fields is None else getattr(fields.get(part), "annotation", None)
        # Of `Section | None` the section.
        members = [member for member in get_args(kind) if member is not type(None)]
        if isinstance(kind, UnionType) and len(members) == 1:
            kind = members[0]
    return names, owner


def read_named(section: type[SectionType], path: str | Path) -> SectionType:
    """Read a section whose `name` must equal its file's name, since targets are built from it."""
    path = Path(path)
    return named_as_its_file(validated(section, read_yaml(path), str(path)), path)


def named_as_its_file(value: SectionType, path: Path) -> SectionType:
    """`value`, whose `name` must equal its file's. Raises UserError if it does not, or the file's name is none."""
    name: str = value.name  # type: ignore[attr-defined]
    if name != path.stem:
        if not re.fullmatch(NAME_PATTERN, path.stem):
            raise UserError(f"{path}: names are lower-case letters, digits and single _; rename the file")
        raise UserError(f"{path}: its name is {name!r}; make it {path.stem!r}")
    return value
