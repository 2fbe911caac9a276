"""Rooms import only from rooms above them, and the command line starts without torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import groundup

SOURCE = Path(groundup.__file__).parent
ROOMS = [
    "scratch",
    "tokenizers",
    "models",
    "training",
    "quantization",
    "engine",
    "tuning",
    "evaluation",
    "serving",
    "prompting",
    "retrieval",
    "agents",
    "vision",
    "operations",
    "designs",
    "course",
    "app",
    "cli",
]
FOUNDATIONS = {"atomic_write", "errors", "home", "process_limits"}  # beside the rooms, for all


def imported_modules(path: Path) -> set[str]:
    """Every dotted module name that a file imports, at any depth of its code."""
    package = ".".join(["groundup", *path.relative_to(SOURCE).parent.parts])
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, base]).rstrip(".")
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def violations(path: Path, room: str) -> list[str]:
    allowed = set(ROOMS[: ROOMS.index(room) + 1]) | FOUNDATIONS
    own = [name for name in imported_modules(path) if name.startswith("groundup.")]
    return [n for n in own if n.split(".")[1] not in allowed and n != "groundup.__version__"]


@pytest.mark.parametrize("room", [r for r in ROOMS if (SOURCE / r).is_dir()])
def test_rooms_import_only_from_rooms_above(room: str) -> None:
    found = {
        str(path.relative_to(SOURCE)): bad
        for path in (SOURCE / room).rglob("*.py")
        if (bad := violations(path, room))
    }
    assert not found


def test_an_import_from_below_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planted = tmp_path / "models" / "planted.py"
    planted.parent.mkdir()
    planted.write_text("def f():\n    from ..course import parts\n    import groundup.cli.chat\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert sorted(violations(planted, "models")) == ["groundup.cli.chat", "groundup.course.parts"]


def test_every_module_is_in_a_room() -> None:
    entries = {
        p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    }
    assert entries - set(ROOMS) - FOUNDATIONS <= {"__init__", "__main__"}


@pytest.mark.parametrize("command", [["--help"], ["roadmap", "--help"], ["status", "--help"]])
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    """Start-up is kept short by what is not imported: torch alone costs over a second."""
    program = (
        "import sys\n"
        "from groundup.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'numba', 'transformers', 'huggingface_hub', 'jinja2'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)), len(sys.modules))\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=60
    ).stdout
    label, rest = out.splitlines()[-1].split(" ", 1)
    heavy, count = rest.rsplit(" ", 1)
    assert (label, heavy) == ("HEAVY", "[]")
    assert int(count) < 500


def test_a_server_answers_without_torch() -> None:
    """Only its engines compute: each of its own processes is spared torch's memory and time."""
    program = (
        "import sys, groundup.serving.app, groundup.serving.server, groundup.serving.replicas\n"
        "print('torch' in sys.modules)\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert out == "False\n"
