"""Training and drawing on a learner's own parts."""

import subprocess
from collections.abc import Callable
from pathlib import Path

from groundup.course.parts.table import PARTS

Run = Callable[..., subprocess.CompletedProcess[str]]
Swap = Callable[[str, str], Path]

TRAINING = ("train", "digits", "--epochs", "1")
CHECKED = "    outputs, inputs = weight.shape\n"
FAILING = "    if len(x) == 32:\n        raise RuntimeError('planted')\n"


def source(part: str) -> str:
    return PARTS[part].reference.read_text()


def test_a_training_runs_on_the_learners_parts(run: Run, swapped: Swap) -> None:
    done = run(*TRAINING)
    assert done.returncode == 0
    plain = [line for line in done.stdout.splitlines() if line.startswith("epoch")]
    swapped("linear", source("linear").replace("return dx, dweight, g", "return dx, -dweight, g"))
    done = run(*TRAINING, "--overwrite")
    assert "running on your own: linear" in done.stdout
    wrong = [line for line in done.stdout.splitlines() if line.startswith("epoch")]
    assert wrong != plain  # it is the learner's code, with the mistake that was planted


def test_where_a_part_fails_the_reference_goes_on(run: Run, swapped: Swap) -> None:
    whole = source("linear")
    assert CHECKED in whole
    swapped("linear", whole.replace(CHECKED, FAILING + CHECKED))
    done = run(*TRAINING)
    assert done.returncode == 0
    assert "linear: your linear.py failed at line" in done.stdout
    assert "(RuntimeError: planted), so the reference serves" in done.stdout
    assert "of 297 test images are recognised" in done.stdout


def test_formulas_are_drawn_by_the_learners_tensor(run: Run, swapped: Swap) -> None:
    swapped("autograd", source("autograd").replace("lambda g: (g, g))", "lambda g: (g, 3 * g))"))
    done = run("draw", "a + b", "a=1", "b=2")
    assert done.stdout == "d/da = 1.0\nd/db = 3.0\n3 in graph.svg\n"
    swapped(
        "autograd", source("autograd").replace("lambda g: (g, g))", "lambda g: (g, g.missing))")
    )
    done = run("draw", "a + b", "a=1", "b=2")
    assert done.stdout == "d/da = 1.0\nd/db = 1.0\n3 in graph.svg\n"
    assert "autograd: your tensor.py failed at line" in done.stderr
