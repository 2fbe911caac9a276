"""Download one file: resumable, hashed, and never half-written under its final name."""

import hashlib
import http.client
import logging
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from groundup.errors import GroundupError

__all__ = ["Progress", "download", "one_at_a_time", "progress_bar", "sha256_of", "writing"]

Progress = Callable[[str, int, int | None], None]
"""Called with what is being done, the bytes done so far, and the bytes in all where known."""

BLOCK = 1 << 18  # bytes at most between two calls of the progress callback
ATTEMPTS = 4  # in a row without one new byte
BACK_OFF = 1.0  # seconds before the second attempt; doubles from one to the next
SOCKET_TIMEOUT = 30.0  # seconds that one connect or read may wait
LOCK_TIMEOUT = 1800.0  # seconds that one process waits for another
TRANSIENT = {408, 429, 500, 502, 503, 504}  # HTTP answers that a later attempt may change

logger = logging.getLogger(__name__)


class _RetryError(Exception):
    """What another attempt may mend: a connection that broke, a server that is busy."""


def _silent(what: str, done: int, total: int | None) -> None:
    """The progress that nobody watches."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str,
    size: int | None = None,
    progress: Progress = _silent,
) -> Path:
    """Fetch ``url`` into ``target`` and return ``target``.

    The bytes go to ``<target>.part``, which survives an interruption: the next call asks only for
    the rest (RFC 9110, section 14, ``Range``). It gets its final name when its hash is right. A
    ``target`` that is there already with that hash is returned without a request.

    Args:
        url: ``https:``, ``file:``, or ``http:`` on 127.0.0.1. Proxies and certificates come from
            the environment variables that pip reads.
        target: the file to write; its folder is made.
        sha256: the expected SHA-256, in lower-case hexadecimal.
        size: the expected size in bytes, where known.
        progress: called at least every 256 KiB.

    Raises:
        GroundupError: another scheme, an answer that no retry mends, a connection that failed
            several times in a row, a wrong hash (the part is deleted), a folder that cannot be
            written or is full (the part stays), or another process that holds the file too long.
    """
    _refuse_other_schemes(url)
    part = target.with_name(target.name + ".part")
    with writing(target), one_at_a_time(target):
        if target.exists() and sha256_of(target, progress) == sha256:
            return target
        found = _complete(url, part, sha256, size, progress)
        if found != sha256:
            got = part.stat().st_size
            part.unlink()
            raise GroundupError(
                f"wrong bytes from {url}: sha256 {found} ({got:,} bytes), expected {sha256}; "
                "they were deleted: run the command again, and if it repeats, distrust that server"
            )
        part.replace(target)
    return target


def _complete(url: str, part: Path, sha256: str, size: int | None, progress: Progress) -> str:
    """Extend ``part`` until the server has no more, and return the SHA-256 of the whole."""
    failures, longest = 0, 0
    while True:
        try:
            return _attempt(url, part, sha256, size, progress)
        except _RetryError as error:
            # A server that ignores Range starts over each time: only a longer part is an advance.
            length = part.stat().st_size if part.exists() else 0
            failures = 1 if length > longest else failures + 1
            longest = max(longest, length)
            if failures == ATTEMPTS:
                raise GroundupError(
                    f"cannot fetch {url}: {error}, {ATTEMPTS} times in a row; check the network, "
                    "the proxy (HTTPS_PROXY) and its certificates (PIP_CERT), then run the "
                    f"command again: it resumes at {length:,} bytes"
                ) from error
            wait = BACK_OFF * 2 ** (failures - 1)
            logger.warning("%s; trying again in %g s", error, wait)
            time.sleep(wait)


def _attempt(url: str, part: Path, sha256: str, size: int | None, progress: Progress) -> str:
    """Ask once for what ``part`` lacks. Returns the SHA-256 of the whole, or raises _RetryError."""
    hasher, start = hashlib.sha256(), 0
    if part.exists():
        start = _hash_into(hasher, part, progress)
        if hasher.hexdigest() == sha256:
            return sha256
    if size is not None and start >= size:  # cannot be the beginning of the file
        hasher, start = hashlib.sha256(), 0
    with _request(url, start) as response:
        if response.status != 206:  # the whole file comes, asked for or not
            hasher, start = hashlib.sha256(), 0
        length = response.headers["Content-Length"]
        total = size if length is None else start + int(length)
        done = start
        with part.open("ab" if start else "wb") as file:
            for block in _blocks(response):
                file.write(block)
                hasher.update(block)
                done += len(block)
                progress(f"fetching {part.stem}", done, total)
    if total is not None and done < total:
        raise _RetryError(f"the connection ended at {done:,} of {total:,} bytes")
    return hasher.hexdigest()


def _request(url: str, start: int) -> Any:  # an HTTPResponse, or urllib's addinfourl for file:
    """Open ``url`` from byte ``start``, or from 0 where the server has no such byte."""
    request = urllib.request.Request(url, headers={"User-Agent": "groundup"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    secure = urllib.request.HTTPSHandler(context=_certificates())
    try:
        opener = urllib.request.build_opener(secure, _SafeRedirects)
        return opener.open(request, timeout=SOCKET_TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return _request(url, 0)
        answer = f"the server answered {error.code} {error.reason}"
        if error.code in TRANSIENT:
            raise _RetryError(answer) from error
        raise GroundupError(
            f"cannot fetch {url}: {answer}; check the address, and whether your mirror or proxy "
            "lets you read it"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _RetryError(f"no connection ({getattr(error, 'reason', error)})") from error


def _blocks(response: Any) -> Iterator[bytes]:
    """The body as it arrives, so that no break loses what came before it.

    A failed read raises another error than a failed write of what was read.
    """
    try:
        while block := response.read1(BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _RetryError(f"the connection broke ({error})") from error


def _certificates() -> ssl.SSLContext:
    """The authorities that pip would trust: the named bundle, else the system's and certifi's."""
    for variable in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if named := os.environ.get(variable):
            if not Path(named).exists():
                raise GroundupError(f"{variable} names {named}, which does not exist: correct it")
            if Path(named).is_dir():
                return ssl.create_default_context(capath=named)
            return ssl.create_default_context(cafile=named)
    import certifi  # some Pythons come without a system store

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _refuse_other_schemes(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in {"https", "file"} or (parts.scheme, parts.hostname) == ("http", "127.0.0.1"):
        return
    raise GroundupError(f"refusing to fetch {url}: expected an https: or file: address")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """A redirection may not lead where a download may not start."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        _refuse_other_schemes(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _hash_into(hasher: Any, path: Path, progress: Progress) -> int:
    """Feed the file at ``path`` to ``hasher`` and return its size in bytes."""
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
            done += len(block)
            progress(f"checking {path.name}", done, total)
    return done


def sha256_of(path: Path, progress: Progress = _silent) -> str:
    """The SHA-256 of a file, in lower-case hexadecimal."""
    hasher = hashlib.sha256()
    _hash_into(hasher, path, progress)
    return hasher.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Make the folder of ``path``; turn a failed write inside the block into a GroundupError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise GroundupError(
            f"cannot write {path}: {error.strerror or error}; make room or mend its permissions, "
            "or set GROUNDUP_HOME to another folder, and run the command again"
        ) from error


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold ``<path>.lock`` inside the block; say so when another process has it, then wait.

    Raises:
        GroundupError: the other process still has it after half an hour.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        logger.warning("waiting for another process, which is fetching %s", path.name)
        try:
            lock.acquire(timeout=LOCK_TIMEOUT)
        except Timeout as error:
            raise GroundupError(
                f"another process has been fetching {path} for {LOCK_TIMEOUT / 60:.0f} minutes; "
                "wait for it or end it, then run the command again"
            ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A bar on stderr, one row for each thing done; where that is no terminal, a plain line."""
    if not sys.stderr.isatty():
        said: set[str] = set()

        def line(what: str, done: int, total: int | None) -> None:
            if what not in said:
                said.add(what)
                size = "" if total is None else f", {total / 1e6:.1f} MB"
                print(f"{what}{size}", file=sys.stderr)

        yield line
        return

    from rich import progress
    from rich.console import Console

    with progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=None),
        progress.DownloadColumn(),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        expand=True,
    ) as bar:
        rows: dict[str, progress.TaskID] = {}

        def row(what: str, done: int, total: int | None) -> None:
            if what not in rows:
                for task in bar.tasks:  # a wait without a known end is shown only while it lasts
                    bar.update(task.id, visible=task.total is not None)
                rows[what] = bar.add_task(what, total=total, completed=done)
            bar.update(rows[what], total=total, completed=done)

        yield row
