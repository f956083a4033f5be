"""Generate config/schema.json from the typed configuration, or check that it is up to date.

    python scripts/make_schema.py            writes config/schema.json
    python scripts/make_schema.py --check    exits with 2 if the file is stale

Editors that know JSON schemas complete and check config/config.yaml with it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from retrace import cli
from retrace.errors import UserError
from retrace.machine.storage import write_text
from retrace.models.options import ModelConfig
from retrace.systems.declaration import Checkpoint
from retrace.tasks.options import TaskConfig
from retrace.workflow.configuration import Configuration
from retrace.workflow.decoders import DecoderConfig
from retrace.workflow.methods import MethodConfig

SCHEMA = Path(__file__).parent.parent / "config" / "schema.json"


def schema_text() -> str:
    """The schema of config.yaml, with those of task, model, checkpoint, decoder and method files as definitions."""
    schema = Configuration.model_json_schema()
    for kind in (TaskConfig, ModelConfig, Checkpoint, DecoderConfig, MethodConfig):
        part = kind.model_json_schema()
        schema["$defs"].update(part.pop("$defs", {}))
        schema["$defs"][kind.__name__] = part
    return json.dumps(schema, indent=2) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = cli.command(__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    args = parser.parse_args(arguments)
    if not args.check:
        write_text(SCHEMA, schema_text())
    elif not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != schema_text():
        raise UserError(f"{SCHEMA} is stale; run: python scripts/make_schema.py")


if __name__ == "__main__":
    cli.run(main)
