"""The upstream jobs of a file, found by walking the workflow's rules from its producer to its inputs' producers.

Snakemake's own job graph does not serve: it omits jobs that are up to date and, in the process of a single job, contains
only that job. The rules are always complete.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol

_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)")
SHARD = "shard"


class Rule(Protocol):
    """The part of Snakemake's Rule that the walk uses."""

    name: str

    def get_wildcards(self, requested_output: str) -> dict[str, str]: ...

    def expand_input(self, wildcards: dict[str, str]) -> tuple[Sequence[str], Any, Mapping[str, "Rule"], bool]: ...

    def expand_benchmark(self, wildcards: dict[str, str]) -> str | None: ...


@dataclass(frozen=True, eq=False)
class Job:
    """A job of the workflow, planned or not. inputs: the jobs that produce its input files."""

    benchmark: str | None
    inputs: Sequence["Job"]


class JobsBehind:
    """Upstream jobs of any number of files; shared ancestors are resolved once.

    producers: maps a file to the rules whose output it matches.
    """

    def __init__(self, producers: Callable[[str], Iterable[Rule]]) -> None:
        self._producers = producers
        self._of_file: dict[str, Job | None] = {}
        self._of_rule: dict[tuple, Job] = {}
        self._inputs: dict[tuple, Sequence[Job]] = {}

    def benchmarks(self, files: Iterable[str]) -> list[str]:
        """Benchmark files of all upstream jobs of `files`, sorted and unique."""
        found: set[str] = set()
        seen: set[int] = set()
        waiting = [job for file in files if (job := self._making(file))]
        while waiting:
            job = waiting.pop()
            if id(job) not in seen:
                seen.add(id(job))
                waiting += job.inputs
                if job.benchmark:
                    found.add(job.benchmark)
        return sorted(found)

    def _making(self, file: str) -> Job | None:
        """The job that produces a file; None if no rule does."""
        if file not in self._of_file:
            self._of_file[file] = None  # a file does not depend on itself
            rules = list(self._producers(file))
            rule = rules[0] if len(rules) == 1 else self._choose(rules, file)
            self._of_file[file] = self._job(rule, rule.get_wildcards(file)) if rule else None
        return self._of_file[file]

    def _choose(self, rules: list[Rule], file: str) -> Rule | None:
        """Choose as Snakemake does: the first by `ruleorder` whose inputs can be produced."""
        rules.sort(key=attrgetter("name"))
        rules.sort(key=cmp_to_key(_by_rule_order))
        return next((rule for rule in rules if self._has_inputs(rule, file)), None)

    def _has_inputs(self, rule: Rule, file: str) -> bool:
        try:
            inputs, _, chosen, _ = rule.expand_input(rule.get_wildcards(file))
        except Exception:  # an input function without inputs for these wildcards
            return False
        return all(one in chosen or self._making(str(one)) or Path(one).exists() for one in inputs)

    def _job(self, rule: Rule, wildcards: dict[str, str]) -> Job:
        key = (rule.name, *sorted(wildcards.items()))
        if key not in self._of_rule:
            benchmark = rule.expand_benchmark(wildcards)
            # Shards share their inputs. Four of five jobs are shards: without this cache the walk takes as long as planning.
            shared = (rule.name, *sorted((wildcards | {SHARD: ""}).items()))
            if shared not in self._inputs:
                self._inputs[shared] = self._jobs_before(rule, wildcards)
            self._of_rule[key] = Job(str(benchmark) if benchmark else None, self._inputs[shared])
        return self._of_rule[key]

    def _jobs_before(self, rule: Rule, wildcards: dict[str, str]) -> Sequence[Job]:
        inputs, _, chosen, _ = rule.expand_input(wildcards)
        found = []
        for file in inputs:
            named = chosen.get(file)  # the rule that the input refers to
            job = self._job(named, named.get_wildcards(file)) if named else self._making(str(file))
            if job:
                found.append(job)
        return found


def _by_rule_order(one: Rule, other: Rule) -> int:
    """Sort rules by `ruleorder`, preferred first; Snakemake compares it as greater."""
    return -1 if one > other else 1 if one < other else 0  # type: ignore[operator]


def folded(files: Iterable[str]) -> list[str]:
    """Collapse consecutive numbers before the suffix into shell braces: `test_{0..7}.tsv`.

    Naming thousands of shards would exceed the system's command length.
    """

    def parts(file: str) -> tuple[str, int, str]:
        match = _NUMBERED.fullmatch(file)
        return (match[1], int(match[2]), match[3]) if match else (file, -1, "")

    found: list[str] = []
    numbered = enumerate(sorted(map(parts, files)))
    for (head, ending, _), group in groupby(numbered, lambda one: (one[1][0], one[1][2], one[1][1] - one[0])):
        numbers = [number for _, (_, number, _) in group]
        first, last = numbers[0], numbers[-1]
        number = f"{{{first}..{last}}}" if last > first else str(first) if first >= 0 else ""
        found.append(f"{head}{number}{ending}")
    return found
