"""Targets: checks of requested file names, with suggestions.

Targets are checked before Snakemake searches for a rule, so that a wrong name gets a list of valid ones, and an
incompatible combination gets alternatives.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from retrace.errors import UserError
from retrace.evaluation.model_card import SCORED_FILE
from retrace.systems.registry import figures, files_of_a_model
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS
from retrace.workflow.cards import measured
from retrace.workflow.names import FOLDERS_OF_CHECKPOINTS, base_decoder
from retrace.workflow.paper_tables import FORMS as TABLE_FORMS
from retrace.workflow.paper_tables import names as table_names
from retrace.workflow.paper_tables import results_of_table, table_of
from retrace.workflow.seeds import LARGEST_SEED
from retrace.workflow.settings import Settings
from retrace.yaml_files import closest

JUDGED = "_judged.json"
NO_TASKS = ("data", "models", "tables", "figures")  # folders of results/
FORMS = [
    "METHOD_acc.json",
    "MODEL/METHOD_acc.json",
    f"MODEL/METHOD{JUDGED}",
    "MODEL/compare/METHOD_vs_METHOD.json",
    "MODEL/compare/METHOD_vs_METHOD_by_MEASURE.json",
    "MODEL/transfer/TASK/METHOD_acc.json",
    *(f"MODEL/{name}" for name in sorted(files_of_a_model())),
    "MODEL/seedN/CHECKPOINT/model",
    f"MODEL/seedN/CHECKPOINT/{SCORED_FILE}",
    "MODEL/seedN/CHECKPOINT/DECODER/SPLIT.jsonl",
]
_BY_MEASURE = re.compile(r"_by_(?:tokens|pass_at_[1-9]\d*)$")
FORMS_IN_WORDS = f"the results of a task are results/TASK/ and {', '.join(FORMS)}"


# ---------------------------------------------------------------- what a target asks for


class Targets:
    """Checks of targets against a configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def check(self, target: str) -> None:
        """Raise UserError for a path below results/ with an unknown name or an incompatible combination."""
        try:
            self._check(Path(os.path.normpath(target)).parts[1:])
        except UserError as error:
            raise UserError(f"{target}: {error}") from None

    def _check(self, parts: Sequence[str]) -> None:
        if not parts:
            raise UserError(f"a folder and no target; {FORMS_IN_WORDS}")
        folder, *rest = parts
        if folder in NO_TASKS:
            getattr(self, f"_of_{folder}")(rest)
        elif rest or not Path(folder).suffix:
            self._of_task(folder, rest)

    def _of_tables(self, rest: Sequence[str]) -> None:
        name = Path("/".join(rest))
        table_of(name.stem, self.settings)
        _check_form(name, TABLE_FORMS)
        if self.settings.values.tables == "run":
            self.results_of_table(name.stem)

    def results_of_table(self, name: str) -> list[str]:
        """Files that a table's cells are read from, of those that the preset can make."""
        return results_of_table(name, self.settings, self.check)

    def _of_figures(self, rest: Sequence[str]) -> None:
        path, settings = Path("/".join(rest)), self.settings
        for shown, forms in figures().items():
            system, _, parts = shown.partition("_TASK")
            if shown == path.stem:
                return _check_form(path, forms)
            if not parts and shown.endswith("_TASK") and path.stem.startswith(f"{system}_"):
                task = path.stem.removeprefix(f"{system}_")
                settings.task(task)
                settings.checkpoint(task, settings.headline_model(task, system), system)
                return _check_form(path, forms)
            if parts == "_MODEL" and path.stem.startswith(f"{system}_"):
                settings.checkpoint(*self._task_and_model(path.stem.removeprefix(f"{system}_")), system)
                return _check_form(path, forms)
        raise UserError(f"there is no figure {path.stem}; valid: {', '.join(figures())}")

    def _task_and_model(self, name: str) -> tuple[str, str]:
        """Split TASK_MODEL; both may contain underscores, and one task's name may be a prefix of another's."""
        settings = self.settings
        found = [(task, name.removeprefix(f"{task}_")) for task in settings.tasks if name.startswith(f"{task}_")]
        if not found:
            settings.task(name)
        known = [pair for pair in found if pair[1] in settings.models]
        task, model = known[0] if known else min(found, key=lambda pair: len(pair[1]))
        settings.generator_model(model)
        return task, model

    def _of_data(self, rest: Sequence[str]) -> None:
        if not rest:
            raise UserError("name a split: results/data/TASK/SPLIT.jsonl")
        task = self.settings.task(rest[0])
        files = [f"{split}.jsonl" for split in task.splits]
        files += [f"{DEMONSTRATIONS}.jsonl"] if task.demonstrations else []
        files += [f"{SAMPLING_DEMONSTRATIONS}.jsonl"] if task.sampling_demonstrations else []
        files += ["learn_to_reason_examples.txt"] if task.learn_to_reason else []
        if list(rest[1:]) not in [[file] for file in files]:
            raise UserError(f"task {rest[0]} has {', '.join(f'results/data/{rest[0]}/{file}' for file in files)}")

    def _of_models(self, rest: Sequence[str]) -> None:
        if not rest:
            raise UserError("name a model: results/models/MODEL")
        if self.settings.model(rest[0]).scratch is not None:
            raise UserError(
                f"{rest[0]} is trained from scratch for a task, and nowhere fetched: "
                f"results/TASK/{rest[0]}/seed0/base/model"
            )

    def _of_task(self, task: str, rest: Sequence[str]) -> None:
        """Check a task's result; rest: path parts after the task."""
        settings = self.settings
        settings.task(task)
        if len(rest) == 1 and rest[0].endswith("_acc.json"):
            method = rest[0].removesuffix("_acc.json")
            settings.scored_split(task, settings.headline_model(task, method), method)
            return
        if len(rest) > 1:
            settings.generator_model(rest[0])
        match rest:
            case [model, file] if file.endswith("_acc.json"):
                settings.scored_split(task, model, file.removesuffix("_acc.json"))
            case [model, file] if file.endswith(JUDGED):
                settings.scored_split(task, model, file.removesuffix(JUDGED))
            case [model, file] if file in files_of_a_model():
                for method in files_of_a_model()[file]:
                    settings.checkpoint(task, model, method)
            case [model, "transfer", source, file] if file.endswith("_acc.json"):
                settings.task(source)
                method = file.removesuffix("_acc.json")
                settings.checkpoint(source, model, method, task)
                if settings.method(method).split != "test":
                    raise UserError(
                        f"method {method!r} is of development questions; transfer is scored on the test split"
                    )
            case [model, "transfer", source, seed, checkpoint, decoder, _] if seed.startswith("seed"):
                settings.task(source)
                _check_seed(seed)
                settings.checkpoint(source, model, f"{checkpoint}_{decoder}", task)
            case [model, "compare", file] if "_vs_" in file:
                methods = _BY_MEASURE.sub("", file.removesuffix(".json")).split("_vs_", 1)
                splits = {method: settings.scored_split(task, model, method) for method in methods}
                if len(set(splits.values())) > 1:
                    said = ", ".join(f"{method} on {split}" for method, split in splits.items())
                    raise UserError(f"the two methods answer other questions ({said}); compare them on the same split")
                settings.seeds_of(task, model, *methods)
            case [model, seed, checkpoint, *file] if file and re.fullmatch(r"seed\d+", seed):
                _check_seed(seed)
                self._of_seed(task, model, checkpoint, file)
            case _:
                raise UserError(f"there is no such result; those of a task are results/{task}/ and {', '.join(FORMS)}")

    def _of_seed(self, task: str, model: str, checkpoint: str, file: Sequence[str]) -> None:
        """Check a path of one seed; file: path parts after the checkpoint."""
        settings, known = self.settings, self.settings.checkpoints
        named = known.parse(checkpoint)
        if named is None:
            raise known.unknown(checkpoint)
        if list(file) == [SCORED_FILE]:
            measured(settings, task, model, checkpoint)
            return
        decoder = file[0]
        if len(file) > 1 and named.generator is None and decoder not in FOLDERS_OF_CHECKPOINTS:
            if decoder not in settings.decoders:
                settings.decoder(decoder)  # raises the fault of a decoder that is left out
                raise UserError(f"decoder {decoder!r} is unknown; {closest(decoder, settings.decoders)}")
            self._check_split(task, file[1:])
            method = f"{checkpoint}_{decoder}"
        elif named.generator:
            guided = [name for name in settings.decoder_files if settings.decoder(name).guide == named.kind.name]
            if not guided:
                return
            method = f"{named.generator}_{guided[0]}"
        elif checkpoint == "base" and settings.model(model).scratch is None:
            raise UserError(f"{model} is fetched once for all tasks and seeds: results/models/{model}")
        else:
            whole = named.kind.stage_of or checkpoint
            method = f"{whole}_{known[whole].decoder if whole in known and known[whole].decoder else 'greedy'}"
        settings.checkpoint(task, model, method)

    def _check_split(self, task: str, file: Sequence[str]) -> None:
        """Check a predictions file; file: path parts after the decoder."""
        split, splits = file[0].partition(".")[0], self.settings.task(task).splits
        if len(file) == 1 and split not in splits and file[0] not in ("marks.jsonl", "marks.json"):
            raise UserError(f"task {task} has no split {split!r}; {closest(split, splits)}")

    # ------------------------------------------------------------ words that are no path below results/

    def explain_word(self, word: str, folder: Path, rules: Iterable[str]) -> str | None:
        """Why a command-line argument is not a target, with the likely intention; None if it may be one.

        folder: the working folder. rules: names of rules without wildcards.
        """
        settings = self.settings
        if word.startswith("results/") or word in (known := set(rules)):
            return None
        if os.path.isabs(word):
            within = os.path.relpath(word, folder)
            mend = f"write {within}" if within.startswith("results/") else "write results/..."
            return f"targets are named from the folder that the run is in ({folder}), without it: {mend}"
        first, *rest = Path(word).parts or (word,)
        if rest:
            inside = first in settings.tasks or first in NO_TASKS
            return f"the results stand in results/: write results/{word}" if inside else None
        if (meant := self._file_for(word)) is not None:
            return f"no target by itself; a target is the file that it makes, for instance {meant}"
        names = [*settings.tasks, *settings.methods, *table_names(settings), *known]
        return (
            "no target; targets are files, for instance results/gsm8k/grace_acc.json, or one of "
            f"{', '.join(sorted(known))}; {closest(word, names).partition('valid: ')[0].strip()}"
        ).rstrip("; ")

    def _file_for(self, word: str) -> str | None:
        """An example target for the name of a task, model, method, table or figure."""
        settings = self.settings
        tasks, methods = ["gsm8k", "arithmetic", *settings.tasks], ["grace", "greedy", *settings.methods]
        if word in table_names(settings):
            return f"results/tables/{word}.html"
        if word in figures():
            return f"results/figures/{word}{figures()[word][-1]}"
        choices: Callable[[], Iterable[str]] | None = None
        if word in settings.tasks:
            choices = lambda: (f"results/{word}/{method}_acc.json" for method in methods)  # noqa: E731
        elif word in settings.models:
            choices = lambda: (f"results/{task}/{word}/greedy_acc.json" for task in tasks)  # noqa: E731
        elif {word, base_decoder(word)} & {*settings.methods, *settings.decoders} or settings.checkpoints.decodable(
            word
        ):
            choices = lambda: (f"results/{task}/{word}_acc.json" for task in tasks)  # noqa: E731
        return next(filter(self._works, choices()), None) if choices else None

    def _works(self, target: str) -> bool:
        try:
            self.check(target)
        except UserError:
            return False
        return True


def _check_form(path: Path, forms: Sequence[str]) -> None:
    if path.suffix not in forms:
        raise UserError(f"is made as {', '.join(path.stem + form for form in forms)}")


def _check_seed(name: str) -> None:
    number = name.removeprefix("seed")
    if number != "0" and number.startswith("0"):
        raise UserError(f"{name}: write seed{number.lstrip('0') or 0}")
    if int(number) > LARGEST_SEED:
        raise UserError(f"{name}: seeds go from 0 to {LARGEST_SEED}")
