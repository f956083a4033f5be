"""Which layout of texts a checkpoint was trained on, where it is not the usual one; a note in the checkpoint's folder.

`no_cot` and `explicit_cot`: question, steps and answer with separators (retrace.separated). `direct`: asked for the
answer without a rationale (the prompt of retrace.prompting for that).
"""

from pathlib import Path
from typing import Any, Literal, get_args

from retrace.errors import UserError
from retrace.storage import read_json, write_json

Layout = Literal["no_cot", "explicit_cot", "direct"]
LAYOUT_FILE = "layout.json"


def write_layout(folder: str | Path, layout: Layout) -> None:
    """Say in a checkpoint's folder which layout its model was trained on."""
    write_json(Path(folder) / LAYOUT_FILE, {"layout": layout})


def layout_of(folder: str | Path) -> Layout | None:
    """The layout of the checkpoint in `folder`; None for every other model. Raises UserError for a broken file."""
    path = Path(folder) / LAYOUT_FILE
    if not path.exists():
        return None
    value: Any = read_json(path)
    layout = value.get("layout") if isinstance(value, dict) else None
    if layout not in get_args(Layout):
        raise UserError(f"{path}: layout {layout!r} is unknown (valid: {', '.join(get_args(Layout))}); train it again")
    return layout
