"""String constants in authors' Python files, read as data without execution."""

import ast
from pathlib import Path

from retrace.errors import UserError

_LARGEST = 1_000_000  # bytes of a file


def string_constant(path: str | Path, name: str) -> str:
    """The text of `NAME = "..."` at the top level of a Python file; of several the last, as Python would have it.

    Raises UserError for a file that is too large or not Python, or that does not have a text of this name.
    """
    path = Path(path)
    if path.stat().st_size > _LARGEST:
        raise UserError(f"{path}: has more than {_LARGEST:,} bytes, too many for a file of texts; check the source")
    try:
        statements = ast.parse(path.read_text(encoding="utf-8")).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path}: cannot be read as Python text ({str(error)[:80]}); check the source") from None
    found = {
        target.id: statement.value.value
        for statement in statements
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant)
        for target in statement.targets
        if isinstance(target, ast.Name) and isinstance(statement.value.value, str)
    }
    if name not in found:
        known = ", ".join(found) or "none"
        raise UserError(f"{path}: no text constant {name!r}; it has {known}")
    return found[name]
