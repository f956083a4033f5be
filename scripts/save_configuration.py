"""Save the resolved configuration next to the results.

    python scripts/save_configuration.py --configuration '{"preset": "tiny"}' --output results/configuration.yaml

Input: the configuration as JSON text. Output: the same as commented YAML, checked against the typed configuration.
"""

import json
from collections.abc import Sequence

import yaml

from retrace import cli
from retrace.machine.storage import write_text
from retrace.workflow.configuration import Configuration


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--configuration", required=True, help="JSON text")
    parser.add_argument("--output", required=True, help="YAML file to write")
    args = parser.parse_args(arguments)
    configuration = Configuration.model_validate(json.loads(args.configuration))
    text = yaml.safe_dump(configuration.model_dump(mode="json"), sort_keys=False)
    write_text(args.output, "# The configuration of these results, with all layers resolved.\n" + text)


if __name__ == "__main__":
    cli.run(main)
