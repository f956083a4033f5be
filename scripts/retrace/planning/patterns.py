"""Which rule wrote a file: the paths that the rules name, read from the workflow's text.

Snakemake writes a rule's name into a benchmark record only where `--benchmark-extended` is set, and never into a result;
the paths tell it all the same. Outputs and benchmarks are fixed patterns by Snakemake's own law, so their text is enough.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_RULE = re.compile(r"^(?:(?:rule|checkpoint)\s+|use rule \w+ as )(\w+)(?:\s*:| with:)", re.M)
_SECTION = re.compile(r"^    (\w+):\s*(.*)$")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_OF_A_RUN = re.compile(r'\b(run|benchmarks)\("')
_WILDCARD = re.compile(r"\{(\w+)(?:,[^{}]*)?\}")
NAME = r"[a-z0-9]+(?:_[a-z0-9]+)*"
# What the rules' names for paths of one run stand for.
_FOLDERS = {
    name: f'"{folder}/{{task}}/{{model}}/seed{{seed}}/'
    for name, folder in [("run", "results"), ("benchmarks", "benchmarks")]
}
NUMBERS = {"seed", "shard", "round"}


@dataclass(frozen=True)
class Pattern:
    """A path of a rule with wildcards. section: `output` or `benchmark`."""

    rule: str
    section: str
    text: str
    temporary: bool

    @property
    def expression(self) -> re.Pattern[str]:
        """Matches a file, or any file in a folder of that name."""
        parts, seen, last = [], set(), 0
        for match in _WILDCARD.finditer(self.text):
            name = match[1]
            parts.append(re.escape(self.text[last : match.start()]))
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{_constraint(name)})")
            seen.add(name)
            last = match.end()
        parts.append(re.escape(self.text[last:]))
        return re.compile("".join(parts) + ("(?:/.*)?" if self.section == "output" else ""))


def _constraint(name: str) -> str:
    # `round` and the like are numbers too, and match as names do.
    return r"\d+" if name in NUMBERS else NAME


def patterns_of(texts: Iterable[str]) -> list[Pattern]:
    """The output and benchmark paths of all rules in these .smk texts."""
    found = []
    for text in texts:
        pieces = _RULE.split(text)
        for rule, body in zip(pieces[1::2], pieces[2::2], strict=True):
            section = before = ""
            for line in body.splitlines():
                if line.strip() and not line.startswith(" "):
                    break  # the next helper or include
                if match := _SECTION.match(line):
                    section = match[1]
                line = _OF_A_RUN.sub(lambda match: _FOLDERS[match[1]], line)
                if section in ("output", "benchmark") and not line.strip().startswith("#"):
                    # The formatter puts a long path on a line of its own.
                    temporary = "temp(" in line or before.endswith("temp(")
                    found += [Pattern(rule, section, path, temporary) for path in _TEXT.findall(line)]
                before = line.rstrip()
    return found


class Rules:
    """All rules of a workflow, asked by file name."""

    def __init__(self, folder: str | Path) -> None:
        files = sorted(Path(folder).rglob("*.smk"))
        found = patterns_of(file.read_text(encoding="utf-8") for file in files)
        # The more of a path is fixed text, the surer it is: `verifier/{split}.tsv` before `{decoder}/{split}.tsv`.
        fixed = sorted(found, key=lambda pattern: -len(_WILDCARD.sub("", pattern.text)))
        self.patterns = [(pattern, pattern.expression) for pattern in fixed]

    def behind(self, path: str, section: str) -> tuple[str, Mapping[str, str]] | None:
        """(rule, wildcards) of the rule that wrote `path`, relative to the working folder; None where none did."""
        for pattern, expression in self.patterns:
            if pattern.section == section and (match := expression.fullmatch(path)):
                return pattern.rule, match.groupdict()
        return None

    def temporary(self, rule: str) -> bool:
        """Whether all that a rule writes is deleted once it was used."""
        outputs = [pattern for pattern, _ in self.patterns if pattern.rule == rule and pattern.section == "output"]
        return bool(outputs) and all(pattern.temporary for pattern in outputs)
