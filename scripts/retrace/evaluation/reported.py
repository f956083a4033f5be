"""What the papers report (config/papers/*.yaml), and whether a result of ours may be held against it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from retrace.checkpoints import helped_decoder, round_of, system_of
from retrace.config import Configuration, ModelConfig, Section, TaskConfig
from retrace.config_icot import STAGES_BEHIND
from retrace.config_types import speed_options
from retrace.errors import UserError
from retrace.evaluation.intervals import Estimate
from retrace.schemas import Row
from retrace.yaml_files import read_yaml, validated

ACCURACY = "accuracy"


class ReportedRow(Section):
    """One number of a paper."""

    table: str
    model: str = Field(description="as the paper names it")
    dataset: str
    trained_on: str | None = Field(default=None, description="the data set of the training, if it is another one")
    split: str = "test"
    method: str
    metric: str = Field(default=ACCURACY, description="what the number is, if not final-answer accuracy in percent")
    value: float | str = Field(description="as printed, percent; text where the paper gives a bound only")
    source: str = Field(description="key of `sources`")
    source_kind: Literal["primary", "official-log", "official-rerun", "repository", "secondary", "figure-digitised"]
    note: str = ""


class PaperFile(Section):
    """config/papers/NAME.yaml."""

    paper: str
    title: str
    citation: str
    sources: dict[str, str]
    headline_model: str = Field(description="shown beside results of models that the paper does not have")
    checkpoints: dict[str, str] = Field(description="for each model of the paper: fine-tuned (sft) or frozen (base)")
    test_sizes: dict[str, int] = Field(description="questions in the test split that the paper's code brings")
    rows: list[ReportedRow]
    missing: str = Field(default="", description="what was not found, for a table without the paper's numbers")


class Reported(Row):
    """The paper's number beside ours, and whether the two may be compared."""

    value: float = Field(description="share of 1, like all of ours")
    percent: float = Field(description="as the paper prints it")
    model: str
    dataset: str
    method: str
    table: str
    paper: str
    source: str
    source_kind: str
    note: str = ""
    comparable: bool = Field(description="same model, checkpoint kind, data and the paper's settings")
    verdict: str = Field(description="inside or outside our 95 % interval, or `not comparable because ...`")


def load_paper(path: str | Path) -> PaperFile:
    """Read a paper's reported results. Raises UserError naming file, entry and fault."""
    paper = validated(PaperFile, read_yaml(path), str(path))
    for number, row in enumerate(paper.rows):
        if row.source not in paper.sources:
            raise UserError(f"{path}: rows.{number}: source {row.source!r} is not among `sources`; add it there")
    return paper


def load_papers(folder: str | Path) -> list[PaperFile]:
    """All papers of a folder, by name; a folder without any gives an empty list."""
    return [load_paper(path) for path in sorted(Path(folder).glob("*.yaml"))]


def same_name(a: str, b: str) -> bool:
    """Names match by letters and digits; what stands in brackets (a setting, not a name) may be missing in one."""

    def key(text: str) -> str:
        return "".join(letter for letter in text.casefold() if letter.isalnum())

    return key(a) == key(b) or key(a.split("(")[0]) == key(b.split("(")[0])


def _names(name: str, candidates: Sequence[str]) -> bool:
    return any(same_name(name, candidate) for candidate in candidates)


def find_row(
    papers: Sequence[PaperFile],
    datasets: Sequence[str],
    models: Sequence[str],
    methods: Sequence[str],
    split: str,
    trained_on: Sequence[str] = (),
) -> tuple[PaperFile, ReportedRow] | None:
    """The number that stands beside a result: the same model's if a paper has it, else its headline model's, else any.

    Only final-answer accuracies of the same data set, method and split count; a paper's own print goes first.
    trained_on: names of the data set of the training, where it is another one than `datasets` name.
    """
    found = []
    for paper in papers:
        for order, row in enumerate(paper.rows):
            fits = row.metric == ACCURACY and row.split == split and isinstance(row.value, float)
            if not (fits and _names(row.dataset, datasets) and row.method in methods):
                continue
            if not _names(row.trained_on or row.dataset, trained_on or datasets):
                continue
            rank = 0 if _names(row.model, models) else 1 if same_name(row.model, paper.headline_model) else 2
            found.append(((rank, row.source_kind != "primary", order), paper, row))
    if not found:
        return None
    _, paper, row = min(found, key=lambda entry: entry[0])
    return paper, row


# Which sections of the configuration a method's result depends on.
_GUIDANCE = ("sample", "align", "pair", "discriminator")


def sections_behind(
    checkpoint: str, decoder: str, scratch: bool, chosen: bool = False, start: str = "base", votes: str | None = None
) -> list[str]:
    """The configuration's sections that a result rests on. chosen: beta was picked on the development split.

    start: the checkpoint that LaTRO and Learn-to-Reason start from. votes: the decoder behind maj@k, if not the result's
    own.
    """
    sections = ["base"] if scratch else []
    decoder, system = helped_decoder(decoder), system_of(checkpoint)
    if system == "dpo_st":
        sections.append("dpo_st")
    elif system == "icot":
        sections += ["icot_data", *STAGES_BEHIND[checkpoint]]
    elif system == "learn_to_reason" and round_of(checkpoint) == 0:
        sections.append("learn_to_reason")  # its text form
    elif system == "learn_to_reason":
        sections += [*(["sft"] if start == "sft" else []), "exam", "teacher", "feedback", "learn_to_reason", "rounds"]
    else:
        trained = [start, checkpoint] if system == "latro" else [checkpoint]
        sections += [name for name in trained if name != "base"]
    if votes is not None:
        sections.append(helped_decoder(votes))
    if decoder.startswith("grace"):
        # The sweep decodes with the options of `grace`, whichever guided decoder uses its choice.
        sections += [*_GUIDANCE, "sweep", "grace"] if chosen else _GUIDANCE
    if decoder == "verifier":
        sections += ["sample", "verifier", "self_consistency"]
    elif decoder == "samples":
        sections += [] if "dpo_st" in sections else ["dpo_st"]
    elif decoder not in sections:
        sections.append(decoder)
    return sections


# Sizes of batches on the device change speed and memory, not what is computed.
_WITHOUT_EFFECT = {"device_batch_size", "rows_at_once", "cached", "compile_layers"}
_DECODERS = {"sample", "greedy", "beam", "self_consistency", "stepwise", "grace", "grace_self_consistency", "align"}
_DECODERS |= {"pair_samples", "label_samples", "samples", "exam", "implicit", "maj", "few_shot", "few_shot_maj"}


def _speed_options(section: str) -> set[str]:
    """Options of a section that change no result: a configuration may come without them."""
    field = Configuration.model_fields.get(section)
    return speed_options(field.default) if field and isinstance(field.default, Section) else set()


def differences(ours: Mapping[str, Any], papers: Mapping[str, Any], sections: Sequence[str]) -> list[str]:
    """Options of these sections that are not as in the paper's preset, as `section.option`."""
    found = []
    for section in sections:
        mine, theirs = ours.get(section, {}), papers.get(section, {})
        ignored = _WITHOUT_EFFECT | ({"batch_size"} if section in _DECODERS else set()) | _speed_options(section)
        for option in sorted({*mine, *theirs} - ignored):
            if isinstance(mine.get(option), dict) and isinstance(theirs.get(option), dict):
                inner = differences({option: mine[option]}, {option: theirs[option]}, [option])
                found += [f"{section}.{name}" for name in inner]
            elif mine.get(option) != theirs.get(option):
                found.append(f"{section}.{option}")
    return found


def judge(
    found: tuple[PaperFile, ReportedRow],
    accuracy: Estimate,
    task: TaskConfig,
    model: ModelConfig,
    checkpoint: str,
    split: str,
    n: int,
    preset: str,
    changed: Sequence[str] | None,
) -> Reported:
    """Put the paper's number beside ours.

    changed: options that differ from the paper's preset; None where the configuration is not known.
    """
    paper, row = found
    reasons = []
    if not _names(row.model, model.paper_names):
        reasons.append(f"this is {model.name} ({model.title}), the paper's number is of {row.model}")
    elif (kind := paper.checkpoints.get(row.model)) and kind != checkpoint:
        reasons.append(f"this is the checkpoint {checkpoint}, the paper's number is of {row.model} ({kind})")
    source = task.splits.get(split)
    size = paper.test_sizes.get(row.dataset)
    if source is None or (source.url is None and source.hub is None):
        reasons.append("the questions are not the paper's file")
    elif size is not None and n != size:
        reasons.append(f"{n} questions were answered, the test set has {size}")
    # Where model or data differ, other settings go without saying.
    if not reasons and changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        reasons.append(f"settings differ from the paper's preset ({', '.join(changed[:4])}{more})")
    if not reasons and changed is None and preset != "paper":
        reasons.append(f"the preset is {preset}, not paper")
    value = float(row.value) / 100
    inside = accuracy.low <= value <= accuracy.high
    verdict = (
        "not comparable because " + "; ".join(reasons)
        if reasons
        else f"{'inside' if inside else 'outside'} our 95 % interval"
    )
    return Reported(
        value=round(value, 6),
        percent=float(row.value),
        model=row.model,
        dataset=row.dataset,
        method=row.method,
        table=row.table,
        paper=paper.paper,
        source=paper.sources[row.source],
        source_kind=row.source_kind,
        note=row.note,
        comparable=not reasons,
        verdict=verdict,
    )
