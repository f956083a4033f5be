"""Named YAML files of one kind (config/tasks, config/checkpoints, ...), those of the user beside the shipped ones.

A file may say `extends: OTHER`: what it does not say is as there, option by option in `set`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from retrace.errors import UserError
from retrace.sections import Section
from retrace.yaml_files import closest, read_yaml, validated

Kind = TypeVar("Kind", bound=Section)
NOT_INHERITED = ("name", "extends", "paper_names")  # a variant is not what the paper's table shows


class Library(Mapping[str, Kind], Generic[Kind]):
    """The files of one kind by name.

    Args:
        section: the type of each.
        what: the name of its folder without the s, as messages call it (`checkpoint`).
        folders: where files of it are looked for, the shipped ones first. A name stands in one of them alone.
    """

    def __init__(self, section: type[Kind], what: str, folders: Sequence[Path]) -> None:
        self.section, self.what = section, what
        self.paths: dict[str, Path] = {}
        self.shipped: set[str] = set()
        for number, folder in enumerate(folders):
            for path in sorted((folder / f"{what}s").glob("*.yaml")):
                other = self.paths.setdefault(path.stem, path)
                if other != path:
                    raise UserError(f"{path}: {other} has that name too; give yours another one")
                if number == 0:
                    self.shipped.add(path.stem)
        self._found: dict[str, Kind] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __contains__(self, name: object) -> bool:
        return name in self.paths

    def path(self, name: str) -> Path:
        """The file of a name. Raises UserError for an unknown one, with the valid ones."""
        if name not in self.paths:
            raise UserError(f"{self.what} {name!r} is unknown; {closest(name, self.paths)}")
        return self.paths[name]

    def __getitem__(self, name: str) -> Kind:
        """Raises UserError for an unknown name or a wrong file."""
        if name not in self._found:
            path = self.path(name)
            values = self._merged(name, ())
            self._found[name] = found = validated(self.section, values, str(path))
            if found.name != path.stem:  # type: ignore[attr-defined]
                raise UserError(f"{path}: its name is {found.name!r}; make it {path.stem!r}")  # type: ignore[attr-defined]
        return self._found[name]

    def add(self, value: Kind, path: Path) -> None:
        """Add one that no file of this kind declares; path: the file that asks for it. UserError where its name is taken."""
        name: str = value.name  # type: ignore[attr-defined]
        if name in self.paths:
            raise UserError(f"{path}: {self.paths[name]} has that name too; give yours another one")
        self.paths[name], self._found[name] = path, value

    def replace(self, value: Kind) -> None:
        """Put another value in the place of the one of the same name."""
        self._found[value.name] = value  # type: ignore[attr-defined]

    def _merged(self, name: str, below: tuple[str, ...]) -> dict[str, Any]:
        path = self.paths[name]
        values = read_yaml(path)
        parent = values.get("extends")
        if parent is None or "extends" not in self.section.model_fields:
            return values
        if parent not in self.paths:
            raise UserError(f"{path}: extends: {self.what} {parent!r} is unknown; {closest(str(parent), self.paths)}")
        if parent in (*below, name):
            circle = " -> ".join((*below, name, parent))
            raise UserError(f"{path}: extends: {self.what}s extend each other in a circle: {circle}")
        inherited = self._inherited(values, self._merged(parent, (*below, name)))
        changed = {**(inherited.get("set") or {}), **(values.get("set") or {})}
        title = {"title": f"{inherited['title']} ({name})"} if inherited.get("title") else {}
        kept = {key: value for key, value in inherited.items() if key not in NOT_INHERITED}
        return {**kept, **title, **values, **({"set": changed} if changed else {})}

    def _inherited(self, own: Mapping[str, Any], parents: dict[str, Any]) -> dict[str, Any]:
        """What is taken from a parent's values."""
        return parents

    def ancestors(self, name: str) -> list[str]:
        """The name, what it extends, and so on; the last extends none."""
        found = [name]
        while parent := getattr(self[found[-1]], "extends", None):
            found.append(parent)
        return found
