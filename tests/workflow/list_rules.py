"""Prints the shell command of every rule of a Snakefile, with its braces, as JSON: `python list_rules.py SNAKEFILE`."""

import json
import sys
from pathlib import Path

from snakemake.api import SnakemakeApi
from snakemake.settings.types import ConfigSettings, OutputSettings, Quietness, ResourceSettings


def main() -> None:
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as snakemake:
        api = snakemake.workflow(
            resource_settings=ResourceSettings(cores=1), config_settings=ConfigSettings(), snakefile=Path(sys.argv[1])
        )
        print(json.dumps({rule.name: rule.shellcmd or "" for rule in api._workflow.rules}))


if __name__ == "__main__":
    main()
