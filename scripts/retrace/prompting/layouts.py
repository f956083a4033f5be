"""Notes in a checkpoint's folder on unusual training texts.

Layouts: `no_cot` and `explicit_cot` have question, steps and answer with separators (retrace.prompting.separated); `direct`
is asked for the answer without a rationale (the prompt of retrace.prompting.prompting for that). Calculator: whether its
results were masked from the loss, so that the model itself does not know them.
"""

from pathlib import Path
from typing import Any, Literal, get_args

from retrace.errors import UserError
from retrace.machine.storage import read_json, write_json

Layout = Literal["no_cot", "explicit_cot", "direct"]
LAYOUT_FILE = "layout.json"
CALCULATOR_FILE = "calculator.json"


def write_layout(folder: str | Path, layout: Layout) -> None:
    """Write the layout of a model's training texts into its checkpoint's folder."""
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


def note_masked_results(folder: str | Path) -> None:
    """Note in a checkpoint's folder that calculator results were masked from the loss."""
    write_json(Path(folder) / CALCULATOR_FILE, {"results": "masked"})


def has_masked_results(folder: str | Path) -> bool:
    """Whether the model in `folder` was trained with the calculator's results masked; False for every model of others.

    Raises UserError for a broken note.
    """
    path = Path(folder) / CALCULATOR_FILE
    if not path.exists():
        return False
    if read_json(path) != {"results": "masked"}:
        raise UserError(f'{path}: should hold {{"results": "masked"}}; train the checkpoint again')
    return True
