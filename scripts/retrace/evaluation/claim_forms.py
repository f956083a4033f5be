"""The table of all claims in Markdown and HTML."""

from retrace.evaluation.claims import ClaimsDocument, TestedPlace
from retrace.evaluation.table_forms import environment


def difference(place: TestedPlace) -> str:
    """The difference with its interval; empty where it was not measured."""
    if place.difference is None or place.low is None or place.high is None:
        return ""
    return f"{place.difference:+.1f} ({place.low:+.1f} to {place.high:+.1f})"


def sample(place: TestedPlace) -> str:
    """Questions and seeds of a tested place."""
    return f"n {place.n}, {place.seeds} seed{'s' * (place.seeds != 1)}" if place.n else ""


def to_markdown(document: ClaimsDocument) -> str:
    """One line a claim, and one a place below it."""
    out = ["# Claims of the papers", "", f"Preset {document.preset}. {NOTE}", ""]
    out += ["| paper | claim | a − b | verdict | difference (95 % interval) | n, seeds |", "|---|---|---|---|---|---|"]

    def line(*cells: str) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    for claim in document.claims:
        by = "" if claim.measure == "accuracy" else f", by {claim.measure}"
        single = claim.places[0] if len(claim.places) == 1 else None
        shown = (difference(single), sample(single)) if single else ("", "")
        about = f"{claim.claim} ({claim.source})"
        out.append(line(claim.paper, about, f"{claim.a} − {claim.b}{by}", f"**{claim.verdict}**", *shown))
        if not single:
            for place in claim.places:
                out.append(
                    line("", f"{place.task}, {place.model}", "", place.verdict, difference(place), sample(place))
                )
    missing = [
        place.target for claim in document.claims for place in claim.places if place.because.startswith("not made")
    ]
    if missing:
        out += ["", "Not made yet; `snakemake results/claims.html --config tables=run` makes all:", ""]
        out += [f"- `{target}`" for target in dict.fromkeys(missing)]
    return "\n".join(out) + "\n"


NOTE = (
    "A claim is about the difference of two methods on the same questions. It holds where the 95 % interval of the "
    "difference lies on the claimed side, over questions and over seeds; it does not hold where it lies on the other; "
    "elsewhere it cannot be told."
)


def to_html(document: ClaimsDocument) -> str:
    """A page of its own, as those of tables."""
    template = environment().get_template("claims.html")
    return template.render(document=document, note=NOTE, difference=difference, place_sample=sample)
