"""The source of the reference, read and run."""

from pathlib import Path

import groundup

PATH = Path(groundup.__file__).parent / "models" / "attention.py"
from importlib.machinery import SourceFileLoader

attention = SourceFileLoader("reference", str(PATH)).load_module().attention
