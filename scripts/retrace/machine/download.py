"""Downloads from pinned URLs: a mirror folder first, verified, and written atomically."""

import email.utils
import hashlib
import http.client
import math
import os
import re
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

from retrace.errors import UserError
from retrace.machine.storage import atomic_path, refusal, sha256_of

MIRROR_VARIABLE = "RETRACE_MIRROR"
CACHE_VARIABLE = "RETRACE_CACHE"
BLOCK = 1 << 16
SLOWEST = 1000  # bytes a second, over each span of `timeout` seconds; a server that sends less is taken for stuck
LONGEST = 6 * 3600.0  # seconds for one file, all attempts together
_LONGEST_PAUSE = 60.0  # seconds, whatever the server asks for


class _Temporary(Exception):
    """A failure that may go away on retry. pause: seconds that the server asks to wait."""

    def __init__(self, fault: str, pause: float | None = None) -> None:
        super().__init__(fault)
        self.pause = pause


def mirror_path(url: str, mirror: str | Path) -> Path:
    """Path of a URL's file in a mirror folder: MIRROR/HOST/PATH.

    Rejects URLs that lead out of the folder, and URLs with credentials, which would end up in logs and results.
    """
    if any(not sign.isprintable() or sign.isspace() for sign in url):
        raise UserError(f"{url.rpartition('@')[2]!r}: a URL may hold no space and no line break; write %20 for a space")
    try:
        parts = urlsplit(url)
        named = parts.username is not None or parts.password is not None
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise UserError(f"{url.rpartition('@')[2]}: no URL ({error}); mend it") from None
    if named:
        raise UserError(
            f"a URL of {parts.hostname} holds a user name or password; take it out, and put the file into a mirror folder"
        )
    if not known:
        raise UserError(f"{url}: not an http(s) URL")
    path = unquote(parts.path).strip("/")
    if ".." in path.split("/"):
        raise UserError(f"{url}: a URL may not hold '..'")
    return Path(mirror) / parts.hostname / path


def download(
    url: str,
    sha256: str | None,
    target: str | Path,
    mirror: str | Path | None = None,
    *,
    attempts: int = 4,
    timeout: float = 30.0,
    pause: float = 1.0,
    longest: float = LONGEST,
) -> Path:
    """Download `url` to `target` and return it; does nothing if it already exists.

    The mirror folder (argument, or the environment's RETRACE_MIRROR) is searched first, then the network: up to
    `attempts` times, waiting `pause`, 2 x `pause`, ... seconds between, or as long as the server asks. An attempt ends
    where nothing, or hardly anything, comes for `timeout` seconds; the download ends after `longest` seconds in all.
    Proxies of the environment (https_proxy, no_proxy) are honored. Raises UserError for a checksum that differs, a
    missing page, or a network that does not answer, naming what was tried and what to do.
    """
    target = Path(target)
    if target.is_file() and sha256_of(target) == sha256:
        return target
    found = _in_mirror(url, sha256, mirror)
    with atomic_path(target) as temporary:
        if found is not None:
            temporary.write_bytes(found.read_bytes())
        else:
            _from_network(url, sha256, temporary, mirror, attempts, timeout, pause, time.monotonic() + longest)
    return target


def fetch(url: str, sha256: str | None, mirror: str | Path | None = None) -> Path:
    """Path of the verified file of `url`, in the mirror or the cache (RETRACE_CACHE, ~/.cache/retrace).

    sha256 None: no checksum is known; the caller checks the contents.
    """
    found = _in_mirror(url, sha256, mirror)
    if found is not None:
        return found
    home = own_cache()
    name = Path(urlsplit(url).path).name
    if sha256 is None:
        kept = home / hashlib.sha256(url.encode()).hexdigest() / name
        return kept if kept.is_file() else download(url, None, kept, mirror)
    return download(url, sha256, home / sha256 / name, mirror)


def own_cache() -> Path:
    """The folder of downloads that are kept: RETRACE_CACHE, or ~/.cache/retrace."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retrace"


def without_secrets(text: str) -> str:
    """A message without what may be a secret: user names and passwords in addresses, and what signs an address."""
    return re.sub(r"//[^/@\s]*@", "//", re.sub(r"\?\S*", "", text))


def mirror_folder(mirror: str | Path | None) -> Path | None:
    """The mirror folder, from the argument or RETRACE_MIRROR; None if unset. Raises UserError if it does not exist."""
    chosen = mirror or os.environ.get(MIRROR_VARIABLE)
    if not chosen:
        return None
    folder = Path(chosen)
    if not folder.is_dir():
        raise UserError(f"mirror {folder}: no such folder; mend the setting `mirror` or {MIRROR_VARIABLE}")
    return folder


def _in_mirror(url: str, sha256: str | None, mirror: str | Path | None) -> Path | None:
    folder = mirror_folder(mirror)
    if folder is None:
        return None
    path = mirror_path(url, folder)
    if not path.is_file():
        return None
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise UserError(f"{path}: sha256 is {found}, expected {sha256}; replace the mirror's file by the one at {url}")
    return path


def _from_network(
    url: str,
    sha256: str | None,
    target: Path,
    mirror: str | Path | None,
    attempts: int,
    timeout: float,
    pause: float,
    end: float,
) -> None:
    mirror_path(url, ".")  # rejects URLs other than http(s), such as file:
    tried: list[str] = []
    for attempt in range(1, attempts + 1):
        try:
            found = _read(url, target, timeout, end)
        except _Temporary as error:
            tried.append(str(error))
            wait = max(pause * 2 ** (attempt - 1), min(error.pause or 0.0, _LONGEST_PAUSE))
            if time.monotonic() + wait >= end:
                attempts = attempt
                break
            if attempt < attempts:
                print(f"{url}: {error}; attempt {attempt + 1} of {attempts} follows", file=sys.stderr)
                time.sleep(wait)
            continue
        if sha256 is not None and found != sha256:
            raise UserError(
                f"{url}: sha256 is {found}, expected {sha256}; the download is corrupt or the file changed. "
                "Nothing was kept: run again, or put the right file into a mirror folder"
            )
        return
    folder = mirror_folder(mirror)
    place = mirror_path(url, folder or "MIRROR")
    looked = f"{place} does not exist; " if folder else "no mirror folder was given; "
    raise UserError(
        f"{url}: not reached in {attempts} attempts ({'; '.join(dict.fromkeys(tried))}); {looked}"
        f"either allow network access to {urlsplit(url).hostname} (proxies: https_proxy), "
        f"or put the file at {place} and set `mirror` or {MIRROR_VARIABLE}"
    )


def asked_pause(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks to wait, given as such or as a date; None where it says nothing that counts."""
    text = (text or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError, OverflowError):
            return None
    return None if math.isnan(seconds) else max(seconds, 0.0)


class _Redirection(urllib.request.HTTPRedirectHandler):
    """Follows a server to another address, but never from https to one that others can read and change on the way."""

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        target = urljoin(req.full_url, headers.get("location") or headers.get("uri") or "")
        allowed = ("https",) if req.type == "https" else ("http", "https")
        if urlsplit(target).scheme.lower() not in allowed:
            raise UserError(
                f"{req.full_url}: the server sends on to {target.partition('?')[0]}, which is no {' or '.join(allowed)} "
                "address; check the URL, or put the file into a mirror folder"
            )
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _opened(url: str, timeout: float) -> Any:
    """The response to a request, with its headers. Raises _Temporary where they do not come in time.

    A server that sends its headers letter by letter never breaks the limit on a single read, so another thread waits.
    """
    address = quote(url, safe="%:/?#[]@!$&'()*+,;=~")  # letters that the line of a request cannot hold
    request = urllib.request.Request(address, headers={"User-Agent": "retrace", "Accept-Encoding": "identity"})
    # A new opener, because urlopen caches the proxies of the process's first request.
    opener = urllib.request.build_opener(_Redirection)
    came: list[Any] = []
    given_up = threading.Event()

    def ask() -> None:
        try:
            answer: Any = opener.open(request, timeout=timeout)
        except BaseException as error:  # for the thread that waits
            answer = error
        came.append(answer)
        if given_up.is_set() and not isinstance(answer, BaseException):
            answer.close()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(2 * timeout)
    if not came:
        given_up.set()
        raise _Temporary(f"no answer in {2 * timeout:g} s")
    if isinstance(came[0], BaseException):
        raise came[0]
    return came[0]


def _read(url: str, target: Path, timeout: float, end: float) -> str:
    """Stream `url` into `target` and return its SHA-256. Raises _Temporary if a retry may help.

    end: when (monotonic) the download is given up.
    """
    digest = hashlib.sha256()
    try:
        with _opened(url, timeout) as response, open(target, "wb") as handle:
            length = response.headers.get("Content-Length", "")
            progress = _Progress(url, int(length) if length.isdecimal() else None)
            pace = _Pace(timeout, end)
            while block := response.read1(BLOCK):  # what has come: `read` would wait for a whole block
                handle.write(block)
                digest.update(block)
                progress.add(len(block))
                pace.check(progress.done)
            progress.end()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code >= 500 or error.code in (408, 425, 429):
            pause = asked_pause(error.headers.get("Retry-After"))
            raise _Temporary(f"the server answered {error.code} {error.reason}", pause) from None
        raise UserError(f"{url}: the server answered {error.code} {error.reason}; check the URL") from None
    except urllib.error.URLError as error:
        raise _Temporary(str(error.reason)) from None
    except (OSError, http.client.HTTPException) as error:
        if refusal(error):  # a disk error: retrying would not help
            raise
        raise _Temporary(str(error) or type(error).__name__) from None
    except ValueError as error:  # a proxy's address that is none, a redirection to an address that is none
        raise UserError(
            f"{url}: cannot be asked for ({error}); check the URL, and the proxies of the environment (https_proxy)"
        ) from None
    if progress.total is not None and progress.done != progress.total:
        raise _Temporary(f"cut off after {progress.done} of {progress.total} bytes")
    return digest.hexdigest()


class _Pace:
    """Gives up on a download that hardly moves, or that takes too long in all."""

    def __init__(self, span: float, end: float) -> None:
        self._span, self._end = span, end
        self._since, self._had = time.monotonic(), 0

    def check(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._end:
            raise _Temporary(f"not done in the time allowed, {done} bytes came")
        if now - self._since >= self._span:
            if done - self._had < SLOWEST * self._span:
                raise _Temporary(f"too slow: {done - self._had} bytes in {now - self._since:.0f} s")
            self._since, self._had = now, done


class _Progress:
    """Download progress on standard error: a live line on a terminal, otherwise one line every ten seconds."""

    def __init__(self, url: str, total: int | None) -> None:
        self.name = url.rsplit("/", 1)[-1]
        self.total = total
        self.done = 0
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()

    def add(self, count: int) -> None:
        self.done += count
        now = time.monotonic()
        if now - self._last >= (0.2 if self._terminal else 10):
            self._last = now
            self._show("\r" if self._terminal else "\n")

    def end(self) -> None:
        self._show("\n", start="\r" if self._terminal else "")

    def _show(self, end: str, start: str = "") -> None:
        share = f" of {self.total / 1e6:.1f}" if self.total else ""
        print(f"{start}{self.name}: {self.done / 1e6:.1f}{share} MB", end=end, file=sys.stderr, flush=True)
