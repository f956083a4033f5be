"""Reported results of the papers (config/papers/*.yaml), and whether ours are comparable."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from retrace.errors import UserError
from retrace.evaluation.paper_tables import ACCURACY, Cell, PaperTable, SourceKind, cells_of, load_tables
from retrace.evaluation.verdict import CANNOT_TELL, Judgment, Number, Prediction, Verdict, decide, predict
from retrace.models.options import ModelConfig
from retrace.schemas import Row
from retrace.sections import Count, Section
from retrace.tasks.options import TaskConfig
from retrace.yaml_files import read_yaml, validated


class ReportedRow(Section):
    """One number of a paper, a cell of its tables."""

    table: str
    model: str = Field(description="as the paper names it")
    dataset: str
    trained_on: str | None = Field(default=None, description="the data set of the training, if it is another one")
    split: str = "test"
    method: str
    metric: str = Field(default=ACCURACY, description="what the number is, if not final-answer accuracy in percent")
    value: float | str = Field(description="as printed, percent; text where the paper gives a bound only")
    source: str = Field(description="key of `sources`")
    source_kind: SourceKind
    note: str = ""
    runs: Count = Field(default=1, description="how many runs the number is the mean of")
    spread: float | None = Field(
        default=None, ge=0, description="standard deviation between them, if the paper says it"
    )
    unit: float = Field(default=0.1, gt=0, description="one unit of the last printed digit")

    def number(self) -> Number:
        """The number as the verdict takes it. Only for numbers in percent."""
        spread = None if self.spread is None else self.spread / 100
        return Number(float(self.value) / 100, self.runs, spread, self.unit / 200)


class PaperFile(Section):
    """config/papers/NAME.yaml, with the numbers of config/papers/tables/NAME_*.yaml."""

    paper: str
    title: str
    citation: str
    sources: dict[str, str]
    headline_model: str = Field(description="shown beside results of models that the paper does not have")
    checkpoints: dict[str, str] = Field(description="for each model of the paper: fine-tuned (sft) or frozen (base)")
    margin: float = Field(
        default=6.0, gt=0, description="points: a prediction interval that is wider confirms no number of the paper"
    )
    test_sizes: dict[str, int] = Field(description="questions in the test split that the paper's code brings")
    dev_sizes: dict[str, int] = Field(default={}, description="the same for the paper's development questions")
    rows: list[ReportedRow] = Field(default=[], description="numbers; those of the tables are added")
    missing: str = Field(default="", description="what was not found, for a table without the paper's numbers")


class Reported(Row):
    """The paper's number, and whether ours reproduces it."""

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
    runs: int = Field(default=1, description="how many runs the paper's number is the mean of")
    comparable: bool = Field(description="same model, checkpoint kind, data and the paper's settings")
    verdict: Verdict
    because: str = Field(description="why it is this verdict")
    prediction: Prediction | None = Field(description="of a further run, from our seeds; None with one run")
    margin: float = Field(description="the widest prediction interval that may confirm the number, share of 1")


def load_paper(path: str | Path, tables: Mapping[str, PaperTable] | None = None) -> PaperFile:
    """Read a paper's reported results. Raises UserError naming file, entry and fault.

    tables: of all papers by name, where they are read already.
    """
    folder = Path(path).parent
    paper = validated(PaperFile, read_yaml(path), str(path))
    for number, row in enumerate(paper.rows):
        if row.source not in paper.sources:
            raise UserError(f"{path}: rows.{number}: source {row.source!r} is not among `sources`; add it there")
    # Where several numbers fit a result, the tables' go before those of figures and logs.
    found = sorted(
        (load_tables(folder) if tables is None else tables).items(),
        key=lambda named: not named[1].title.startswith("Table"),
    )
    for name, table in found:
        if table.paper != paper.paper:
            continue
        where = folder / "tables" / f"{name}.yaml"
        for cell in cells_of(table):
            if cell.value is None:
                continue
            row = reported_row(table, cell, str(where))
            if row.source not in paper.sources:
                place = f"rows.{cell.row}, column {cell.column}"
                raise UserError(
                    f"{where}: {place}: source {row.source!r} is not among `sources` of {path}; add it there"
                )
            paper.rows.append(row)
    return paper


def reported_row(table: PaperTable, cell: Cell, where: str) -> ReportedRow:
    """A cell's number with all that is said of it."""
    notes = [table.notes[at].text for at in cell.notes] + [note.text for note in table.notes if not note.cells]
    said = dict(cell.said) | {"table": table.title, "value": cell.value, "note": "; ".join(notes)}
    said |= {} if cell.spread is None else {"spread": cell.spread}
    return validated(ReportedRow, said, f"{where}: rows.{cell.row}, column {cell.column}")


def load_papers(folder: str | Path) -> list[PaperFile]:
    """All papers of a folder, by name; a folder without any gives an empty list."""
    tables = load_tables(folder)
    return [load_paper(path, tables) for path in sorted(Path(folder).glob("*.yaml"))]


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


def judge(
    found: tuple[PaperFile, ReportedRow],
    accuracies: Sequence[float],
    task: TaskConfig,
    model: ModelConfig,
    checkpoint: str,
    split: str,
    n: int,
    preset: str,
    changed: Sequence[str] | None,
    seeds: int | None = None,
) -> Reported:
    """Compare our result with the paper's number.

    accuracies: of our independent runs, by the paper's grader. changed: options that differ from the paper's preset; None
    where the configuration is not known. seeds: how many there were, those with the same predictions included.
    """
    paper, row = found
    reasons = []
    if not _names(row.model, model.paper_names):
        reasons.append(f"this is {model.name} ({model.title}), the paper's number is of {row.model}")
    elif (kind := paper.checkpoints.get(row.model)) and kind != checkpoint:
        reasons.append(f"this is the checkpoint {checkpoint}, the paper's number is of {row.model} ({kind})")
    source = task.splits.get(split)
    size = (paper.test_sizes if row.split == "test" else paper.dev_sizes).get(row.dataset)
    if source is None or (source.url is None and source.hub is None):
        reasons.append("the questions are not the paper's file")
    elif size is not None and n != size:
        reasons.append(f"{n} questions were answered, the {row.split} set has {size}")
    # Where model or data differ, other settings go without saying.
    if not reasons and changed:
        more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
        reasons.append(f"settings differ from the paper's preset ({', '.join(changed[:4])}{more})")
    if not reasons and changed is None and preset != "paper":
        reasons.append(f"the preset is {preset}, not paper")
    prediction = predict(accuracies, row.number())
    judged = (
        Judgment(CANNOT_TELL, "not comparable: " + "; ".join(reasons))
        if reasons
        else decide(prediction, seeds or len(accuracies), paper.margin / 100)
    )
    return Reported(
        value=round(float(row.value) / 100, 6),
        percent=float(row.value),
        model=row.model,
        dataset=row.dataset,
        method=row.method,
        table=row.table,
        paper=paper.paper,
        source=paper.sources[row.source],
        source_kind=row.source_kind,
        note=row.note,
        runs=row.runs,
        comparable=not reasons,
        verdict=judged.verdict,
        because=judged.because,
        prediction=prediction,
        margin=paper.margin / 100,
    )


def judged_again(old: dict[str, Any], accuracies: Sequence[float]) -> dict[str, Any]:
    """The entry `reported` of a document whose verdict was a text of its own, with the verdict of now."""
    margin = PaperFile.model_fields["margin"].default / 100
    prediction = predict(accuracies, Number(old["value"]))
    why = str(old["verdict"]).removeprefix("not comparable because ")
    judged = (
        decide(prediction, len(accuracies), margin)
        if old.get("comparable")
        else Judgment(CANNOT_TELL, f"not comparable: {why}")
    )
    return old | {
        "verdict": judged.verdict,
        "because": judged.because,
        "prediction": prediction and prediction.model_dump(),
        "margin": margin,
    }
