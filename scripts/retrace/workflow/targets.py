"""Targets: what a file's name asks for, which results a paper's table is made of, and what a wrong name is told.

A target is looked at before Snakemake looks for a rule, so that a wrong name gets the valid ones, and a combination that
cannot work gets one that does.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from retrace.errors import UserError
from retrace.systems.icot.options import STAGES_BEHIND
from retrace.tasks.splits import DEMONSTRATIONS, SAMPLING_DEMONSTRATIONS
from retrace.workflow.names import DECODERS, helped_decoder, kind_of
from retrace.workflow.seeds import LARGEST_SEED
from retrace.workflow.settings import Settings
from retrace.yaml_files import closest

# The methods of each table that can be built, and the tasks of each of its models; SOURCE>TASK: trained on another task.
TABLES: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "grace_table1": (
        ["greedy", "self_consistency", "verifier", "grace", "grace_self_consistency"],
        {"flan_t5_large": ["gsm8k", "svamp", "mathqa"], "llama_7b": ["gsm8k", "multiarith", "svamp"]},
    ),
    "dpo_st_table2": (
        ["sft", "st", "dpo_st"],
        {
            model: ["gsm8k", "gsm8k>multiarith", "gsm8k>asdiv", "gsm8k>svamp"]
            for model in ("flan_t5_base", "flan_t5_large")
        },
    ),
    "learn_to_reason_table1": (
        [
            "learn_to_reason_round0",
            "learn_to_reason",
            "no_feedback",
            "no_reflection",
            "single_round",
            "random_questions",
        ],
        {"gptj_6b": ["gsm8k", "multiarith", "svamp", "commonsense_qa", "strategy_qa"]},
    ),
    "icot_table1": (
        ["no_cot", "explicit_cot", "icot"],
        {model: ["mult_4x4", "mult_5x5", "gsm8k"] for model in ("gpt2", "gpt2_medium", "gpt2_large")},
    ),
    "latro_table2": (
        ["base", "base_maj", "latro_sft", "latro_sft_maj", "latro", "latro_maj"],
        {model: ["gsm8k", "arc_challenge"] for model in ("phi35_mini", "mistral_7b", "llama31_8b")},
    ),
}
TABLE_FORMS = (".csv", ".md", ".html")
# Figures and their forms.
FIGURES = {
    "dpo_st_rounds": (".json", ".svg"),
    "icot_accuracy_vs_speed": (".svg",),
    "learn_to_reason_TASK": (".json", ".svg"),
    "latro_TASK_MODEL": (".svg",),
}
# Of a task and a model, and the methods that these files rest on.
SINGLE_FILES = {
    "dpo_st_pass_at_k.json": ["dpo_st"],
    "grace_beta_sweep.json": ["grace"],
    "grace_beta_sweep.svg": ["grace"],
    "icot_speed.json": ["icot"],
}
# Of a checkpoint, beside those of its decoders.
FOLDERS_OF_CHECKPOINTS = {"model", "shards", "states", "released"}
NO_TASKS = ("data", "models", "tables", "figures")  # folders of results/
FORMS = [
    "METHOD_acc.json",
    "MODEL/METHOD_acc.json",
    "MODEL/compare/METHOD_vs_METHOD.json",
    "MODEL/transfer/TASK/METHOD_acc.json",
    *(f"MODEL/{name}" for name in sorted(SINGLE_FILES)),
    "MODEL/seedN/CHECKPOINT/model",
    "MODEL/seedN/CHECKPOINT/DECODER/SPLIT.jsonl",
]
FORMS_IN_WORDS = f"the results of a task are results/TASK/ and {', '.join(FORMS)}"


# ---------------------------------------------------------------- tables


def results_of_table(name: str, settings: Settings) -> list[str]:
    """The results that a paper's table is made of: its own models in the paper preset, the small model otherwise."""
    if name not in TABLES:
        raise UserError(f"there is no table {name}; valid: {', '.join(TABLES)}")
    methods, rows = TABLES[name]
    models = settings.values.headline_models
    model = models.get(name.rpartition("_")[0]) or models["default"]
    if settings.model(model).scratch is not None:
        rows = {model: settings.values.figures.icot_tasks if name == "icot_table1" else ["arithmetic"]}
    return [result_of(model, task, method) for model in rows for task in rows[model] for method in methods]


def result_of(model: str, task: str, method: str) -> str:
    """The result of a method on a task; SOURCE>TASK: of a model that was trained on another one."""
    source, _, target = task.rpartition(">")
    between = f"transfer/{source}/" if source else ""
    return f"results/{target}/{model}/{between}{method}_acc.json"


# ---------------------------------------------------------------- what a target asks for


class Targets:
    """Checks targets against a configuration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def check(self, target: str) -> None:
        """Raise UserError for a path below results/ that names what there is not, or what cannot work."""
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
        for result in results_of_table(name.stem, self.settings):
            self.check(result)  # which of them is named, too
        _check_form(name, TABLE_FORMS)

    def _of_figures(self, rest: Sequence[str]) -> None:
        path, settings = Path("/".join(rest)), self.settings
        name, forms = path.stem, FIGURES.get(path.stem, ())
        if name.startswith("learn_to_reason_"):
            task, forms = name.removeprefix("learn_to_reason_"), FIGURES["learn_to_reason_TASK"]
            settings.task(task)
            settings.checkpoint(task, settings.headline_model(task, "learn_to_reason"), "learn_to_reason")
        elif name.startswith("latro_"):
            forms = FIGURES["latro_TASK_MODEL"]
            settings.checkpoint(*self._task_and_model(name.removeprefix("latro_")), "latro")
        elif not forms:
            raise UserError(f"there is no figure {name}; valid: {', '.join(FIGURES)}")
        _check_form(path, forms)

    def _task_and_model(self, name: str) -> tuple[str, str]:
        """TASK_MODEL; both names may hold underscores, and one task's may begin another's."""
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
        """Of a task's result: `rest` is what follows its name, in parts."""
        settings = self.settings
        settings.task(task)
        if len(rest) == 1 and rest[0].endswith("_acc.json"):
            method = rest[0].removesuffix("_acc.json")
            settings.checkpoint(task, settings.headline_model(task, method), method)
            return
        if len(rest) > 1:
            settings.generator_model(rest[0])
        match rest:
            case [model, file] if file.endswith("_acc.json"):
                settings.checkpoint(task, model, file.removesuffix("_acc.json"))
            case [model, file] if file in SINGLE_FILES:
                for method in SINGLE_FILES[file]:
                    settings.checkpoint(task, model, method)
            case [model, "transfer", source, file] if file.endswith("_acc.json"):
                settings.task(source)
                settings.checkpoint(source, model, file.removesuffix("_acc.json"), task)
            case [model, "transfer", source, seed, checkpoint, decoder, _] if seed.startswith("seed"):
                settings.task(source)
                _check_seed(seed)
                settings.checkpoint(source, model, f"{checkpoint}_{decoder}", task)
            case [model, "compare", file] if "_vs_" in file:
                methods = file.removesuffix(".json").split("_vs_", 1)
                for method in methods:
                    settings.checkpoint(task, model, method)
                settings.seeds_of(task, model, *methods)
            case [model, seed, checkpoint, *file] if file and re.fullmatch(r"seed\d+", seed):
                _check_seed(seed)
                self._of_seed(task, model, checkpoint, file)
            case _:
                raise UserError(f"there is no such result; those of a task are results/{task}/ and {', '.join(FORMS)}")

    def _of_seed(self, task: str, model: str, checkpoint: str, file: Sequence[str]) -> None:
        """`file`: what follows the checkpoint's name, in parts."""
        settings = self.settings
        trained = checkpoint.removesuffix("_discriminator").removesuffix("_verifier")
        stages = {stage for stages in STAGES_BEHIND.values() for stage in stages}
        if not kind_of(trained) and trained not in stages:
            raise UserError(f"checkpoint {trained!r} is unknown; {closest(trained, settings.checkpoints)}")
        decoder = file[0]
        if len(file) > 1 and trained == checkpoint and decoder not in FOLDERS_OF_CHECKPOINTS:
            if decoder not in settings.decoders:
                raise UserError(f"decoder {decoder!r} is unknown; {closest(decoder, settings.decoders)}")
            self._check_split(task, file[1:])
        elif checkpoint != trained:
            decoder = "grace" if checkpoint.endswith("_discriminator") else "verifier"
        elif trained == "icot" or not kind_of(trained):
            trained, decoder = "icot", "implicit"
        elif trained == "base" and settings.model(model).scratch is None:
            raise UserError(f"{model} is fetched once for all tasks and seeds: results/models/{model}")
        else:
            decoder = "greedy"
        settings.checkpoint(task, model, f"{trained}_{decoder}")

    def _check_split(self, task: str, file: Sequence[str]) -> None:
        """`file`: what follows the decoder's name, in parts."""
        split, splits = file[0].partition(".")[0], self.settings.task(task).splits
        if len(file) == 1 and split not in splits and file[0] not in ("marks.jsonl", "marks.json"):
            raise UserError(f"task {task} has no split {split!r}; {closest(split, splits)}")

    # ------------------------------------------------------------ words that are no path below results/

    def explain_word(self, word: str, folder: Path, rules: Iterable[str]) -> str | None:
        """Why a word on the command line is no target, and what was likely meant; None for one that may be.

        folder: the working folder. rules: the rules that may be named as targets.
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
        names = [*settings.tasks, *settings.methods, *TABLES, *known]
        return (
            "no target; targets are files, for instance results/gsm8k/grace_acc.json, or one of "
            f"{', '.join(sorted(known))}; {closest(word, names).partition('valid: ')[0].strip()}"
        ).rstrip("; ")

    def _file_for(self, word: str) -> str | None:
        """A file that is made of a task, a model, a method, a table or a figure."""
        settings = self.settings
        tasks, methods = ["gsm8k", "arithmetic", *settings.tasks], ["grace", "greedy", *settings.methods]
        if word in TABLES:
            return f"results/tables/{word}.html"
        if word in FIGURES:
            return f"results/figures/{word}{FIGURES[word][-1]}"
        choices: Callable[[], Iterable[str]] | None = None
        if word in settings.tasks:
            choices = lambda: (f"results/{word}/{method}_acc.json" for method in methods)  # noqa: E731
        elif word in settings.models:
            choices = lambda: (f"results/{task}/{word}/greedy_acc.json" for task in tasks)  # noqa: E731
        elif word in settings.methods or kind_of(word) or word in DECODERS or helped_decoder(word) in settings.methods:
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
