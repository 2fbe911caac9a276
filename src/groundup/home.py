"""Where groundup keeps what it fetched once: models, data sets, compiled kernels."""

import os
from pathlib import Path

__all__ = ["home"]


def home() -> Path:
    """The cache folder: ``$GROUNDUP_HOME``, or ``~/.cache/groundup``. Not created here."""
    named = os.environ.get("GROUNDUP_HOME")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "groundup"
