"""The source of the reference, read and run."""

from pathlib import Path

import groundup

PATH = Path(groundup.__file__).parent / "models" / "attention.py"
exec(PATH.read_text())
