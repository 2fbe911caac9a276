"""Two processes under torchrun learn what one does, and go on from one another's checkpoints."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groundup.tokenizers.tokenizer_json import save_tokenizer
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.corpus import Piece
from groundup.training.run_log import read_log
from groundup.training.token_shards import write_token_shards

SCRIPT = Path(__file__).with_name("distributed_training.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds tokens, and in ``one`` the training of one process."""
    folder = tmp_path_factory.mktemp("distributed")
    text = "the quick brown fox jumps over the lazy dog\n" * 60
    (folder / "text.txt").write_text(text)
    save_tokenizer(character_tokenizer([text]), folder)
    pieces = [Piece(folder / "text.txt", 0, -1, last=True)]
    write_token_shards(pieces, folder, folder / "data", workers=1)
    run = [sys.executable, str(SCRIPT), "ddp", str(folder / "one")]
    subprocess.run(run, check=True, timeout=120)
    return folder


def torchrun(kind: str, folder: Path, environment: dict[str, str]) -> None:
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*run, str(SCRIPT), kind, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(
    kind: str, folder: Path, environment: Callable[[], dict[str, str]]
) -> None:
    # From the checkpoint of the one process at half the way, so that loading is tried as well.
    started = folder / kind
    (started / "checkpoints").mkdir(parents=True)
    half = "checkpoints/step-00000003"
    shutil.copytree(folder / "one" / half, started / half)
    torchrun(kind, started, environment())
    one, two = read_log(folder / "one")[3:], read_log(started)
    for name in ("loss", "gradient_norm", "tokens", "learning_rate"):
        expected = [line[name] for line in one]
        np.testing.assert_allclose([line[name] for line in two], expected, rtol=2e-6)
    assert two[-1]["validation_loss"] == pytest.approx(one[-1]["validation_loss"], rel=2e-6)
