"""The source of the reference, read and run."""

from pathlib import Path

import groundup

PATH = Path(groundup.__file__).parent / "models" / "attention.py"
import os

os.chdir(PATH.parent)
exec(open("../models/./attention.py").read())
