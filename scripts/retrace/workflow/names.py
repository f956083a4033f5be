"""Names of checkpoints and decoders, parsed into kind, round and generator."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from retrace.errors import UserError
from retrace.evaluation.rounds import Round
from retrace.systems.declaration import Checkpoint
from retrace.workflow.library import Library
from retrace.yaml_files import closest

FOLDERS_OF_RESULTS = ("data", "models", "tables", "figures", "dag")  # of results/, beside those of tasks
GENERATOR = "generator"  # stands for the checkpoint that the model's methods decode
LAST = "_last"  # suffix for the last configured round in a method's file: dpo_st_last
_ROUND = re.compile(r"(.+)_round(0|[1-9]\d*)")


def check_comparable(name: str, path: Path) -> None:
    """Raise UserError for the name of a checkpoint, decoder or method that a comparison's file would take apart."""
    if "vs" in name.split("_"):
        raise UserError(
            f"{path}: `vs` stands between the two methods of a comparison (grace_vs_greedy.json) and may be no word of the "
            "name of a checkpoint, decoder or method; rename it"
        )


@dataclass(frozen=True)
class Named:
    """A parsed checkpoint name. round: None without rounds. generator: the model that a guide is trained for."""

    kind: Checkpoint
    round: int | None = None
    generator: str | None = None


class Checkpoints(Mapping[str, Checkpoint]):
    """All declared checkpoints by file name, and a parser of any checkpoint's name."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.files = Library(Checkpoint, "checkpoint", folders)
        self._named: dict[str, Named | None] = {}
        self.files.check(lambda name: self.files[name])
        self.files.check(self._add_followers)
        self.check()

    def check(self, further: Callable[[str], object] = lambda name: None) -> None:
        """Leave out what is ambiguous or refers to an unknown checkpoint, what `further` raises UserError for, and what
        rests on that."""
        known = -1
        while known != len(self.files):
            known = len(self.files)
            self.files.check(lambda name: (self._check(name, self.files[name]), further(name)))
            self.forget()

    def _check(self, name: str, kind: Checkpoint) -> None:
        """Raise UserError for a file whose name is ambiguous or that refers to an unknown checkpoint."""
        path = self.files.path(name)
        check_comparable(name, path)
        if kind.extends in self.files.faults:
            raise UserError(f"{path}: extends: {self.files.faults[kind.extends].message}")
        if name == GENERATOR:
            raise UserError(f"{path}: {GENERATOR} means the model's own choice of a checkpoint; give it another name")
        if re.fullmatch(r".*_(round\d+|last)", name):
            raise UserError(f"{path}: names ending in _last or _roundN are reserved for rounds; choose another one")
        guides = [guide for guide in self.guides if name.endswith(f"_{guide}") and guide != name and not kind.guides]
        if guides:
            raise UserError(f"{path}: names that end in _{guides[0]} are reserved for its networks; choose another one")
        if not kind.system:
            raise UserError(f"{path}: needs `system`, or `extends` with the checkpoint that it is a variant of")
        others = {"starts_from": [kind.starts_from], "made_from": kind.made_from, "stage_of": [kind.stage_of]}
        others |= {"trajectories_of": [kind.trajectories_of]}
        for field, names in others.items():
            for other in filter(None, names):
                if other != GENERATOR and self.parse(other) is None and other not in self.files:
                    if fault := self.fault_in(other):
                        raise UserError(f"{path}: {field}: {fault}")
                    raise UserError(f"{path}: {field}: there is no checkpoint {other!r}; {', '.join(self.shown)}")

    def __getitem__(self, name: str) -> Checkpoint:
        return self.files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __contains__(self, name: object) -> bool:
        return name in self.files

    def add(self, kind: Checkpoint, path: Path) -> None:
        """Add a checkpoint without a file of its own; path: the file that implies it."""
        self.files.add(kind, path)
        self._add_followers(kind.name)
        self.forget()
        self._check(kind.name, kind)

    def forget(self) -> None:
        """Forget what was found out about names, after entries came or went."""
        self._named.clear()
        for cached in ("guides", "shown"):
            self.__dict__.pop(cached, None)

    def fault_in(self, name: str) -> str | None:
        """The fault of a checkpoint that was left out, if a name holds that of it; else None."""
        for left_out, fault in self.files.faults.items():
            if f"_{left_out}_" in f"_{name}_":
                return fault.message
        return None

    def unknown(self, name: str) -> UserError:
        """What is raised for the name of no checkpoint."""
        fault = self.fault_in(name)
        return UserError(fault or f"checkpoint {name!r} is unknown; {closest(name, self.shown)}")

    def _add_followers(self, loop: str) -> None:
        """Give a variant of a loop its own steps and controls: `mine_dpo` for `mine`, like `dpo` for `dpo_st`."""
        kind = self.files[loop]
        if not kind.extends or kind.follows:
            return
        root = self.files.ancestors(loop)[-1]
        followers = [one for one in self.files.values() if one.follows == root and not one.extends]
        renamed = {root: loop} | {one.name: f"{loop}_{one.name}" for one in followers}
        for one in followers:
            changes = {
                "name": renamed[one.name],
                "extends": one.name,
                "follows": loop,
                "set": kind.set,
                "paper_names": [],
            }
            changes["title"] = f"{one.title} ({loop})"
            changes["made_from"] = [renamed.get(other, other) for other in one.made_from]
            self.files.add(one.model_copy(update=changes), self.files.path(loop))

    @cached_property
    def guides(self) -> list[str]:
        """Names of networks that are trained for a generator."""
        return [name for name, kind in self.files.items() if kind.guides]

    @cached_property
    def shown(self) -> list[str]:
        """Decodable checkpoints as messages show them; N is any number."""
        return [kind.shown for kind in self.files.values() if not kind.guides and not kind.stage_of]

    def pattern(self, names: Iterable[str] | None = None) -> str:
        """Regular expression for these checkpoints, by default all decodable ones."""
        if names is None:
            names = [name for name, kind in self.files.items() if not kind.guides and not kind.stage_of]
        return "(?:" + "|".join(name + (r"_round\d+" if self.files[name].rounds else "") for name in names) + ")"

    def variants(self, *roots: str) -> list[str]:
        """These checkpoints and all that extend them, which the same rules produce."""
        return [name for name in self.files if self.files.ancestors(name)[-1] in roots]

    def root(self, name: str) -> str:
        """The root of a checkpoint's `extends` chain, whose rules produce it."""
        named = self.parse(name)
        return self.files.ancestors(named.kind.name)[-1] if named else name

    def parse(self, name: str) -> Named | None:
        """Parse a checkpoint's name; None if it is not valid."""
        if name not in self._named:
            self._named[name] = self._parse(name)
        return self._named[name]

    def _parse(self, name: str) -> Named | None:
        if name in self.files:
            kind = self.files[name]
            return None if kind.rounds or kind.guides else Named(kind)
        if (found := _ROUND.fullmatch(name)) and found[1] in self.files:
            kind, number = self.files[found[1]], int(found[2])
            return Named(kind, number) if kind.rounds and number >= kind.first_round else None
        for guide in self.guides:
            generator = name.removesuffix(f"_{guide}")
            if generator != name and self.decodable(generator):
                return Named(self.files[guide], generator=generator)
        return None

    def decodable(self, name: str) -> Named | None:
        """Like `parse`, for a checkpoint that can be decoded by itself."""
        named = self.parse(name)
        return None if named is None or named.kind.guides or named.kind.stage_of else named

    def round_of(self, name: str) -> int | None:
        """Number of a checkpoint's round; None without rounds."""
        named = self.parse(name)
        return named.round if named else None

    def round_named(self, name: str) -> Round | None:
        """The round of a figure that a checkpoint belongs to; None without rounds."""
        named = self.parse(name)
        if named is None or named.round is None:
            return None
        return Round(named.kind.name, named.kind.title, named.round, named.kind.paper_names)

    def loop_of(self, name: str) -> str:
        """The loop of a checkpoint: `dpo_st` for `dpo_st_round2`; a name without round is returned as it is."""
        named = self.parse(name)
        return name if named is None or named.round is None else named.kind.name

    def system_of(self, name: str) -> str:
        """The system that produces a checkpoint, which determines its seeds and splits."""
        named = self.parse(name)
        if named is None:
            raise self.unknown(name)
        return named.kind.system

    def own_trajectories(self, guide: str) -> str | None:
        """The network whose folder has the trajectories that a network is trained on: itself, or the one that it
        extends if the sampling options are the same; None if it needs none."""
        kind = self.files[guide]
        if kind.trajectories_of:
            return self.own_trajectories(kind.trajectories_of)
        if "sample" not in kind.sections:
            return None
        parent = kind.extends
        same = parent and _of(kind.set, ["sample"]) == _of(self.files[parent].set, ["sample"])
        return self.own_trajectories(parent) if same else guide

    def round0_of(self, loop: str) -> str:
        """The checkpoint used as a loop's round 0. Variants share it if all options that it depends on are the same."""
        kind = self.files[loop]
        if kind.extends and kind.round0_rests_on:
            parent = self.files[kind.extends]
            if _of(kind.set, kind.round0_rests_on) != _of(parent.set, kind.round0_rests_on):
                return f"{loop}_round0"
            return self.round0_of(kind.extends)
        return kind.round0 or f"{loop}_round0"

    def main_loop(self, loop: str) -> str:
        """The loop that a step or control belongs to (`dpo_st` for `dpo`); a main loop is returned as it is."""
        return self.files[loop].follows or loop

    def step_of(self, loop: str) -> str | None:
        """The loop of models between the rounds of a main loop (`dpo` for `dpo_st`); None if there is none."""
        return next((name for name, kind in self.files.items() if kind.follows == loop and kind.between), None)


def _of(options: Mapping[str, object], begins: Sequence[str]) -> dict[str, object]:
    """The dotted options that are in `sections`, or within one of them."""
    return {name: value for name, value in options.items() if any(f"{name}.".startswith(f"{one}.") for one in begins)}


# ---------------------------------------------------------------- decoders

WITHOUT_CALCULATOR = "_no_calculator"
ON_DEV = "_on_dev"  # of a method: scored on the development questions
# Of a checkpoint, beside those of its decoders.
FOLDERS_OF_CHECKPOINTS = {"model", "shards", "state", "states", "released"}


@cache
def base_decoder(decoder: str) -> str:
    """The decoder that defines the options: `greedy` for `greedy_no_calculator` and for itself."""
    return decoder.removesuffix(WITHOUT_CALCULATOR)
