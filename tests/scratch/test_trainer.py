"""Data, training, resumption, and what goes wrong in them; through the command where it matters."""

import gzip
import resource
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from groundup.cli import main
from groundup.errors import GroundupError
from groundup.scratch import networks
from groundup.scratch.adamw import AdamW
from groundup.scratch.checkpoint import load_checkpoint, save_checkpoint
from groundup.scratch.evaluation import confusion_matrix, logits_of, loss_and_accuracy
from groundup.scratch.idx import read_idx
from groundup.scratch.image_data import FASHION_FOLDER, ImageData, digits, fashion
from groundup.scratch.tensor import Array, Tensor
from groundup.scratch.trainer import Trainer

PICTURES = ("loss.png", "confusion.png", "misclassified.png")


@pytest.fixture(scope="module")
def data() -> ImageData:
    return digits()


def trainer(data: ImageData, epochs: int = 3, seed: int = 0, rate: float = 2e-3) -> Trainer:
    network = networks.multilayer_perceptron(8, 10, np.random.default_rng(seed))
    optimiser = AdamW(network.parameters(), 1.0)
    return Trainer(
        network, optimiser, data, epochs=epochs, batch_size=100, seed=seed,
        schedule=lambda step, steps: rate * (1 - step / steps),
    )  # fmt: skip


def run(training: Trainer, epochs: int) -> None:
    for _ in range(epochs):
        for _ in training.train_epoch():
            pass


def groundup(*arguments: object) -> int:
    """The exit status of a command."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


# ---- data


def write_idx(path: Path, array: Array, header: bytes | None = None) -> None:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    content = (header or bytes([0, 0, 8, array.ndim])) + sizes + array.tobytes()
    path.write_bytes(gzip.compress(content))


@pytest.fixture
def small_fashion(tmp_path: Path) -> Path:
    """Twenty images whose class is their brightest column, in Fashion-MNIST's files."""
    folder = tmp_path / "data"
    folder.mkdir()
    for part in ("train", "t10k"):
        labels = (np.arange(20) % 10).astype(np.uint8)
        images = np.zeros((20, 28, 28), np.uint8)
        images[np.arange(20), :, labels * 2] = 255
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", labels)
    return folder


def test_idx_files_are_read_as_they_were_written(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz", 3), array)


def test_damaged_idx_files_are_described(tmp_path: Path) -> None:
    array, path = np.zeros((2, 3), np.uint8), tmp_path / "a.gz"
    with pytest.raises(GroundupError, match=r"a\.gz cannot be read: .*No such file"):
        read_idx(path, 2)
    path.write_bytes(b"no gzip")
    with pytest.raises(GroundupError, match="cannot be read: Not a gzipped file"):
        read_idx(path, 2)
    write_idx(path, array)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(GroundupError, match="cannot be read"):
        read_idx(path, 2)
    write_idx(path, array, bytes([0, 0, 0x0D, 2]))
    with pytest.raises(GroundupError, match="begins with 00000d02, expected 00000802"):
        read_idx(path, 2)
    write_idx(path, array)
    with pytest.raises(GroundupError, match="does not hold an idx array of bytes with 3 axes"):
        read_idx(path, 3)
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 2]) + struct.pack(">2I", 2, 4) + bytes(6)))
    with pytest.raises(GroundupError, match=r"6 bytes for the shape \(2, 4\)"):
        read_idx(path, 2)


def test_images_have_mean_0_and_variance_1_and_the_split_is_fixed(data: ImageData) -> None:
    assert data.images.shape == (1500, 1, 8, 8)
    assert data.test_images.shape == (297, 1, 8, 8)
    assert data.images.dtype == np.float32
    assert abs(data.images.mean()) < 1e-4
    assert data.images.std() == pytest.approx(1, abs=1e-3)
    assert sorted(np.unique(data.test_labels)) == list(range(10))
    np.testing.assert_array_equal(data.test_labels, digits().test_labels)


@pytest.mark.skipif(not FASHION_FOLDER.is_dir(), reason="dataset-fashion-mnist is not installed")
def test_fashion_mnist_is_where_it_is_expected() -> None:
    images = read_idx(FASHION_FOLDER / "t10k-images-idx3-ubyte.gz", 3)
    labels = read_idx(FASHION_FOLDER / "t10k-labels-idx1-ubyte.gz", 1)
    assert images.shape == (10_000, 28, 28)
    assert np.bincount(labels).tolist() == [1000] * 10


def test_folders_that_are_not_fashion_mnist_are_described(small_fashion: Path) -> None:
    with pytest.raises(GroundupError, match=r"not in /nowhere.*apt install.*groundup train digits"):
        fashion(Path("/nowhere"))
    assert len(fashion(small_fashion).images) == 20
    write_idx(small_fashion / "train-labels-idx1-ubyte.gz", np.zeros(19, np.uint8))
    with pytest.raises(GroundupError, match="20 images and 19 labels"):
        fashion(small_fashion)
    write_idx(small_fashion / "train-labels-idx1-ubyte.gz", np.full(20, 10, np.uint8))
    with pytest.raises(GroundupError, match="a label is 10: expected 0 to 9"):
        fashion(small_fashion)


# ---- training


def test_networks_learn_the_digits(data: ImageData) -> None:
    training = trainer(data, epochs=8)
    run(training, 8)
    assert training.epochs_done[-1].test_accuracy > 0.95
    assert training.epochs_done[-1].train_loss < training.epochs_done[0].train_loss / 5
    assert len(training.losses) == 8 * 15


def test_the_convolutional_network_overfits_a_batch() -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((8, 1, 8, 8)).astype(np.float32)
    few = ImageData(images, np.arange(8), images, np.arange(8), tuple("01234567"))
    network = networks.convolutional(8, 8, rng)
    training = Trainer(
        network, AdamW(network.parameters(), 1.0), few, epochs=60, batch_size=8, seed=0,
        schedule=lambda step, steps: 3e-3,
    )  # fmt: skip
    run(training, 60)
    assert training.losses[-1] < 0.05
    assert training.epochs_done[-1].test_accuracy == 1.0


def test_a_resumed_training_is_bit_for_bit_the_same(data: ImageData, tmp_path: Path) -> None:
    whole = trainer(data)
    run(whole, 3)
    begun = trainer(data)
    run(begun, 1)
    save_checkpoint(tmp_path / "c", begun.state(), {"seed": 0})
    resumed = trainer(data)
    resumed.load_state(load_checkpoint(tmp_path / "c", {"seed": 0}))
    run(resumed, 2)
    assert resumed.losses == whole.losses
    assert resumed.epochs_done == whole.epochs_done
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, resumed.state()[name])


def test_a_loss_that_is_not_finite_stops_and_names_its_batch(data: ImageData) -> None:
    training = trainer(data, rate=1e30)
    with (
        np.errstate(all="ignore"),
        pytest.raises(GroundupError, match=r"became (nan|inf) in epoch 1, batch \d+ of 15: lower"),
    ):
        run(training, 1)
    assert training.losses == []


def test_a_checkpoint_of_another_training_is_refused(data: ImageData, tmp_path: Path) -> None:
    training = trainer(data)
    path = tmp_path / "c"
    save_checkpoint(path, training.state(), {"seed": 0, "epochs": 3})
    with pytest.raises(GroundupError, match=r"seed was 0 and is 1.*--out.*--overwrite"):
        load_checkpoint(path, {"seed": 1, "epochs": 3})
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(GroundupError, match=r"is not a checkpoint of this training.*--overwrite"):
        load_checkpoint(path, {"seed": 0, "epochs": 3})
    state = training.state()
    other = networks.multilayer_perceptron(8, 9, np.random.default_rng(0))
    with pytest.raises(GroundupError, match=r"layers\.5\.bias has shape \(10,\), expected shape"):
        other.load_state(
            {n.removeprefix("network."): a for n, a in state.items() if n.startswith("network.")}
        )


def test_evaluation_counts_what_it_should() -> None:
    logits = np.array([[2.0, 1.0], [0.0, 3.0], [5.0, 0.0]])
    labels = np.array([0, 0, 0])
    loss, accuracy = loss_and_accuracy(logits, labels)
    assert accuracy == pytest.approx(2 / 3)
    assert loss == pytest.approx(np.log1p(np.exp([-1.0, 3.0, -5.0])).mean())
    predicted = logits.argmax(axis=1)
    assert confusion_matrix(labels, predicted, 3).tolist() == [[2, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_evaluation_is_of_the_network_after_training(data: ImageData) -> None:
    network = networks.multilayer_perceptron(8, 10, np.random.default_rng(0))
    seen: list[bool] = []

    def looking(x: Tensor) -> Tensor:
        seen.append(network.training)
        return x

    network.layers = (looking, *network.layers)
    assert logits_of(network, data.test_images).shape == (297, 10)
    assert seen == [False, False]
    assert network.training


# ---- the command


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow beyond this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_the_command_trains_draws_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    command = ("train", "digits", "--epochs", 2, "--out", folder)
    assert groundup(*command) == 0
    out = capsys.readouterr().out
    assert "mlp of 50,826 parameters on 1,500 images of digits, 2 epochs" in out
    assert "epoch   2" in out
    assert "of 297 test images are recognised: 9" in out
    assert {file.name for file in folder.iterdir()} == {"checkpoint.safetensors", *PICTURES}
    for name in PICTURES:
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    first = (folder / "checkpoint.safetensors").read_bytes()
    assert groundup(*command) == 0  # nothing is left to be trained
    assert "going on after epoch 2 of 2" in capsys.readouterr().out
    assert groundup(*command, "--seed", 1) == 1
    assert "seed was 0 and is 1" in capsys.readouterr().err
    assert (folder / "checkpoint.safetensors").read_bytes() == first
    assert groundup(*command, "--overwrite") == 0
    assert (folder / "checkpoint.safetensors").read_bytes() == first


def test_the_command_trains_a_cnn_on_files_of_fashion_mnist(
    small_fashion: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("train", "fashion", "--model", "cnn", "--epochs", 15, "--data", small_fashion)
    assert groundup(*command, "--learning-rate", 0.003, "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "cnn of 206,922 parameters on 20 images of fashion" in out
    assert "20 of 20 test images are recognised: 100.00%" in out


def test_trouble_is_one_line_and_the_checkpoint_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    command = ("train", "digits", "--epochs", 2, "--out", folder)
    cases = {
        ("--learning-rate", "0"): "--learning-rate is 0.0: expected more than 0",
        ("--learning-rate", "nan"): "--learning-rate is nan",
        ("--learning-rate", "1e30"): "the loss became",
    }
    for options, message in cases.items():
        with np.errstate(all="ignore"):
            assert groundup(*command, *options) == 1
        assert message in capsys.readouterr().err
    assert groundup("train", "digits", "--out", "/proc/run") == 1
    assert "the folder /proc/run cannot be used" in capsys.readouterr().err
    with full_disk(100_000):
        assert groundup(*command) == 1
    error = capsys.readouterr().err
    assert f"{folder} cannot be written: File too large. Its checkpoint is as it was" in error
    assert list(folder.iterdir()) == []  # nothing half written


def test_ctrl_c_ends_it_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = ["train", "digits", "--epochs", "400", "--out", str(tmp_path / "run")]
    command = [sys.executable, "-m", "groundup", *arguments]
    for expected in ("epoch   1", "going on after epoch"):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            deadline = time.monotonic() + 60
            for line in process.stdout:
                if expected in line or time.monotonic() > deadline:
                    break
            assert expected in line
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
            assert process.wait(30) == 130
        assert "The same command goes on after the last whole epoch" in rest
