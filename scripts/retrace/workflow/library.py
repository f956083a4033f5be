"""Named YAML files of one kind (config/tasks, config/checkpoints, ...), shipped ones and the user's own.

A file may say `extends: OTHER` to inherit all values that it does not set; `set` is merged option by option.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from retrace.errors import UserError
from retrace.sections import Section
from retrace.yaml_files import closest, named_as_its_file, read_yaml, validated

Kind = TypeVar("Kind", bound=Section)
NOT_INHERITED = ("name", "extends", "paper_names")  # a variant is not in the paper's table


class Fault(NamedTuple):
    """Why a file is left out."""

    path: Path
    message: str


class Library(Mapping[str, Kind], Generic[Kind]):
    """The files of one kind by name.

    A faulty file is left out, so that it stops only what needs it: asking for its name raises its fault.

    Args:
        section: the class of a file's contents.
        what: singular of the folder's name, for messages (`checkpoint`).
        folders: folders to search, the shipped one first. A name may occur in only one of them.
    """

    def __init__(self, section: type[Kind], what: str, folders: Sequence[Path]) -> None:
        self.section, self.what, self.folders = section, what, folders
        self.paths: dict[str, Path] = {}
        self.shipped: set[str] = set()
        self.implied: set[str] = set()  # by shipped files of another kind
        self.faults: dict[str, Fault] = {}
        for number, folder in enumerate(folders):
            for path in sorted((folder / f"{what}s").glob("*.yaml")):
                other = self.paths.setdefault(path.stem, path)
                if other != path:
                    self.faults[path.stem] = Fault(path, f"{path}: {other} also has that name; choose another one")
                if number == 0:
                    self.shipped.add(path.stem)
        for name in self.faults:
            del self.paths[name]
        self._found: dict[str, Kind] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def path(self, name: str) -> Path:
        """Path of a name's file. Raises UserError: the valid names for an unknown one, its fault for a faulty one."""
        if name in self.faults:
            raise UserError(self.faults[name].message)
        if name not in self.paths:
            self.refuse_other_ending(name)
            raise UserError(f"{self.what} {name!r} is unknown; {closest(name, self.paths)}")
        return self.paths[name]

    def refuse_other_ending(self, name: str) -> None:
        """Raise UserError if there is a file NAME.yml, which nobody reads."""
        for folder in self.folders:
            other = folder / f"{self.what}s" / f"{name}.yml"
            if os.path.exists(other):
                raise UserError(f"{other}: names of these files end in .yaml; rename it to {name}.yaml")

    def __getitem__(self, name: str) -> Kind:
        """Raises UserError for an unknown name or a wrong file."""
        if name not in self._found:
            path = self.path(name)
            values = self._merged(name, ())
            self._found[name] = named_as_its_file(validated(self.section, values, str(path)), path)
        return self._found[name]

    def check(self, fault_of: Callable[[str], object]) -> None:
        """Leave out the entries that `fault_of` raises UserError for."""
        for name in list(self):
            try:
                fault_of(name)
            except UserError as error:
                self.leave_out(Fault(self.paths[name], str(error)))

    def leave_out(self, fault: Fault) -> None:
        """Leave out all entries that a faulty file declares."""
        for name in [one for one, path in self.paths.items() if path == fault.path]:
            del self.paths[name]
            self._found.pop(name, None)
            self.faults[name] = fault

    def add(self, value: Kind, path: Path) -> None:
        """Add an entry without a file of this kind; path: the file that implies it, and with which it is shipped or not.

        UserError if the name is taken.
        """
        name: str = value.name  # type: ignore[attr-defined]
        if name in self.paths:
            raise UserError(f"{path}: {self.paths[name]} also has that name; choose another one")
        self.paths[name], self._found[name] = path, value
        if self.folders and path.parents[1] == self.folders[0]:
            self.implied.add(name)

    def replace(self, value: Kind) -> None:
        """Replace the entry of the same name."""
        self._found[value.name] = value  # type: ignore[attr-defined]

    def _merged(self, name: str, below: tuple[str, ...]) -> dict[str, Any]:
        path = self.paths[name]
        values = read_yaml(path)
        parent = values.get("extends")
        if parent is None or "extends" not in self.section.model_fields:
            return values
        if not isinstance(parent, str):
            raise UserError(f"{path}: extends: should be the name of a {self.what} (got {str(parent)[:80]})")
        if parent in self.faults:
            raise UserError(f"{path}: extends: {self.faults[parent].message}")
        if parent not in self.paths:
            raise UserError(f"{path}: extends: {self.what} {parent!r} is unknown; {closest(parent, self.paths)}")
        if parent in (*below, name):
            circle = " -> ".join((*below, name, parent))
            raise UserError(f"{path}: extends: {self.what}s extend each other in a circle: {circle}")
        inherited = self._inherited(values, self._merged(parent, (*below, name)))
        if any(not isinstance(one.get("set") or {}, Mapping) for one in (inherited, values)):
            return {**inherited, **values}  # refused by its type
        changed = {**(inherited.get("set") or {}), **(values.get("set") or {})}
        title = {"title": f"{inherited['title']} ({name})"} if inherited.get("title") else {}
        kept = {key: value for key, value in inherited.items() if key not in NOT_INHERITED}
        return {**kept, **title, **values, **({"set": changed} if changed else {})}

    def _inherited(self, own: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """The inherited part of a parent's values."""
        return parents

    def ancestors(self, name: str) -> list[str]:
        """The name, its parent, and so on up to the root."""
        found = [name]
        while parent := getattr(self[found[-1]], "extends", None):
            found.append(parent)
        return found
