"""The user's configuration files, read before Snakemake does, which would take the last of two equal keys. Defines no rules."""

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

if not (ROOT / "scripts/retrace").is_dir():
    raise WorkflowError(
        f"{ROOT}: the rules need the scripts in the same checkout; clone the repository and use its Snakefile"
    )

sys.path.insert(0, str(ROOT / "scripts"))
from retrace.errors import UserError
from retrace.workflow.configuration_files import read_files

OWN_CONFIG = Path("config/config.yaml")
DEFAULT_CONFIG = OWN_CONFIG if OWN_CONFIG.exists() and not is_module else ROOT / OWN_CONFIG

try:
    # A module's configuration is the importing workflow's concern.
    configuration_files = {} if is_module else read_files([DEFAULT_CONFIG, *workflow.configfiles], sys.argv)
except UserError as error:
    raise WorkflowError(str(error)) from None
