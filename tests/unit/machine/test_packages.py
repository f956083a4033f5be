"""Wheels that pip downloads from a local folder, and single files of them."""

import hashlib
import threading
import zipfile
from pathlib import Path

import pytest

from retrace.errors import UserError
from retrace.machine.packages import fetch_wheel, opened
from unit.tiny_gguf import write_wheel

CONTENT = b"weights " * 5000


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip looks into, and nowhere else; the cache is new."""
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "RETRACE_MIRROR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "links"))
    monkeypatch.setenv("RETRACE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "links"


def test_pip_downloads_a_wheel_once(links: Path, tmp_path: Path, monkeypatch, capfd) -> None:
    wheel, sha256 = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    fetched = fetch_wheel("Tiny_Package", "1.0", sha256)
    assert fetched.parent == tmp_path / "cache" / sha256
    assert fetched.read_bytes() == wheel.read_bytes()
    assert "Downloading package Tiny_Package 1.0" in capfd.readouterr().err
    wheel.unlink()
    assert fetch_wheel("tiny-package", "1.0", sha256) == fetched
    assert "Downloading" not in capfd.readouterr().err
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [sha256]


def test_a_damaged_wheel_in_the_cache_is_fetched_again(links: Path) -> None:
    wheel, sha256 = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    fetched = fetch_wheel("tiny-package", "1.0", sha256)
    fetched.write_bytes(b"damaged")
    assert fetch_wheel("tiny-package", "1.0", sha256).read_bytes() == wheel.read_bytes()


def test_of_two_at_once_one_downloads(links: Path, capfd) -> None:
    _, sha256 = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    found: list[Path] = []
    jobs = [threading.Thread(target=lambda: found.append(fetch_wheel("tiny-package", "1.0", sha256))) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert found[0] == found[1]
    assert capfd.readouterr().err.count("Downloading package") == 1


def test_a_mirror_folder_needs_no_pip(links: Path, tmp_path: Path, capfd) -> None:
    mirror = tmp_path / "mirror"
    wheel, sha256 = write_wheel(mirror / "pypi.org" / "tiny-package", {"tiny_package/a.bin": CONTENT})
    assert fetch_wheel("Tiny.Package", "1.0", sha256, mirror) == wheel
    assert "Downloading" not in capfd.readouterr().err
    with pytest.raises(UserError, match=rf"put the wheel into {mirror}/pypi.org/tiny-package/$"):
        fetch_wheel("tiny-package", "1.0", "0" * 64, mirror)


@pytest.mark.parametrize(
    ("name", "version", "sha256", "message"),
    [
        ("tiny-package", "1.0", "0" * 64, r"its wheel has sha256 [0-9a-f]{64}, expected 0{64}; correct `sha256`"),
        ("tiny-package", "2.0", None, r"has no version 2\.0 as a wheel \(it has 1\.0\); correct `version`"),
        ("no-such-package", "1.0", None, "has no wheel of that name; check `name`"),
    ],
)
def test_what_pip_cannot_find_is_said(links: Path, tmp_path: Path, name: str, version: str, sha256, message) -> None:
    _, real = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    with pytest.raises(UserError, match=message) as caught:
        fetch_wheel(name, version, sha256 or real)
    assert str(caught.value).startswith(f"package {name} {version}: ")
    assert str(caught.value).endswith("and set `mirror` or RETRACE_MIRROR")
    assert list((tmp_path / "cache").iterdir()) == []


def test_source_packages_are_never_built(links: Path) -> None:
    links.mkdir()
    (links / "tiny_package-1.0.tar.gz").write_bytes(b"code that would run")
    with pytest.raises(UserError, match="has no wheel of that name"):
        fetch_wheel("tiny-package", "1.0", "0" * 64)


def test_a_wheel_for_another_system_is_told_apart(links: Path) -> None:
    wheel, sha256 = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    wheel.rename(wheel.with_name("tiny_package-1.0-cp39-cp39-win_amd64.whl"))
    with pytest.raises(UserError, match=r"no wheel of (that name|version 1\.0 for this Python)"):
        fetch_wheel("tiny-package", "1.0", sha256)


def test_without_a_network_the_ways_on_are_named_and_no_password(links: Path, monkeypatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:swordfish@127.0.0.1:9/simple")
    with pytest.raises(
        UserError, match=r"the package index cannot be reached; .*PIP_INDEX_URL.*RETRACE_MIRROR"
    ) as caught:
        fetch_wheel("tiny-package", "1.0", "0" * 64)
    assert "swordfish" not in str(caught.value)


def test_a_fault_of_pips_own_is_passed_on(links: Path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_PLATFORM", "no such platform")
    monkeypatch.setenv("PIP_TIMEOUT", "soon")
    with pytest.raises(UserError, match=r"pip failed \(.*soon.*\); correct that"):
        fetch_wheel("tiny-package", "1.0", "0" * 64)


def test_a_download_ends_in_time(links: Path) -> None:
    _, sha256 = write_wheel(links, {"tiny_package/a.bin": CONTENT})
    with pytest.raises(UserError, match=r"pip had not downloaded it after 0\.01 s; run again, or put the wheel"):
        fetch_wheel("tiny-package", "1.0", sha256, longest=0.01)


# ---------------------------------------------------------------- files of a wheel


def extracted(path: Path, member: str, target: Path, **options: int) -> str:
    with opened(path) as wheel:
        return wheel.extract(member, target, **options)


def test_a_file_is_read_and_its_checksum_returned(tmp_path: Path) -> None:
    path, _ = write_wheel(tmp_path, {"tiny_package/a.bin": CONTENT})
    assert extracted(path, "tiny_package/a.bin", tmp_path / "out") == hashlib.sha256(CONTENT).hexdigest()
    assert (tmp_path / "out").read_bytes() == CONTENT


def test_names_in_the_wheel_lead_nowhere(tmp_path: Path) -> None:
    files = {
        "../outside.bin": CONTENT,
        "/absolute.bin": CONTENT,
        "tiny_package-1.0.dist-info/licenses/../../LICENSE": b"x",
    }
    path, _ = write_wheel(tmp_path / "a" / "b", files)
    for name in files:
        extracted(path, name, tmp_path / "a" / "out")
    assert sorted(part.name for part in tmp_path.iterdir()) == ["a"]
    assert sorted(part.name for part in (tmp_path / "a").iterdir()) == ["b", "out"]


def test_license_texts_are_found_in_the_metadata_only(tmp_path: Path) -> None:
    about = "tiny_package-1.0.dist-info"
    names = [f"{about}/LICENSE", f"{about}/licenses/NOTICE.txt", f"{about}/COPYING", f"{about}/licence.md"]
    path, _ = write_wheel(tmp_path, dict.fromkeys([*names, "tiny_package/LICENSE", f"{about}/README"], b"text"))
    with opened(path) as wheel:
        assert wheel.license_files() == sorted(names)


@pytest.mark.parametrize(
    ("member", "options", "message"),
    [
        ("tiny_package/b.bin", {}, r"holds no file tiny_package/b.bin; it has tiny_package/a.bin: correct `file`"),
        ("tiny_package/b.gguf", {}, r"holds no file tiny_package/b.gguf; it has no file that ends in .gguf"),
        ("tiny_package/", {}, "holds no file tiny_package/"),
        ("tiny_package/a.bin", {"largest": 100}, "holds 40,000 bytes; 100 are the most"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, member: str, options: dict, message: str) -> None:
    path, _ = write_wheel(tmp_path, {"tiny_package/a.bin": CONTENT})
    with pytest.raises(UserError, match=message):
        extracted(path, member, tmp_path / "out", **options)


def test_a_file_that_differs_from_the_wheels_own_list_is_refused(tmp_path: Path) -> None:
    path, _ = write_wheel(tmp_path, {"tiny_package/a.bin": CONTENT}, record={"tiny_package/a.bin": b"other"})
    with pytest.raises(UserError, match=r"a.bin has sha256 .*the wheel's list of its files \(RECORD\) says"):
        extracted(path, "tiny_package/a.bin", tmp_path / "out")


def test_a_file_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path, _ = write_wheel(tmp_path, {"tiny_package/a.bin": CONTENT})
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("tiny_package/a.bin", b"another")
    with pytest.raises(UserError, match=r"holds tiny_package/a\.bin 2 times"):
        extracted(path, "tiny_package/a.bin", tmp_path / "out")


def test_damaged_and_encrypted_files_are_refused(tmp_path: Path) -> None:
    path, _ = write_wheel(tmp_path, {"tiny_package/a.bin": CONTENT})
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("tiny_package/a.bin")
    at = entry.header_offset + 30 + len(entry.filename)
    path.write_bytes(whole[:at] + bytes(entry.compress_size) + whole[at + entry.compress_size :])
    with pytest.raises(UserError, match=r"a\.bin cannot be read"):
        extracted(path, "tiny_package/a.bin", tmp_path / "out")
    directory = whole.index(b"PK\x01\x02")
    flagged = bytearray(whole)
    flagged[directory + 8] |= 1  # the flag of an encrypted file
    flagged[entry.header_offset + 6] |= 1
    path.write_bytes(bytes(flagged))
    with pytest.raises(UserError, match=r"a.bin cannot be read \(.*encrypted.*\)"):
        extracted(path, "tiny_package/a.bin", tmp_path / "out")
    path.write_bytes(b"not a zip file")
    with pytest.raises(UserError, match="not a wheel that can be read"):
        extracted(path, "tiny_package/a.bin", tmp_path / "out")
