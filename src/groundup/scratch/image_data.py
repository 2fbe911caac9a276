"""Labelled grey images to learn from: Fashion-MNIST, and scikit-learn's digits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.scratch.idx import read_idx
from groundup.scratch.tensor import Array

__all__ = ["FASHION_FOLDER", "ImageData", "digits", "fashion"]

FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's package puts it
FASHION_CLASSES = (
    "T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot",
)  # fmt: skip
DIGITS_FOR_TESTING = 297


@dataclass(frozen=True)
class ImageData:
    """Images to train on, and others that are looked at only to see how well it went.

    Images have shape (N, 1, side, side), float32, shifted and scaled so that the pixels of the
    training images have mean 0 and variance 1. Labels have shape (N,), integers.
    """

    images: Array
    labels: NDArray[np.int64]
    test_images: Array
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]


def fashion(folder: Path = FASHION_FOLDER) -> ImageData:
    """Fashion-MNIST: 60,000 and 10,000 photographs of clothes, 28×28, ten classes.

    Raises:
        GroundupError: the folder lacks one of the four files, or one is damaged.

    Source: Xiao et al. 2017, "Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms", arXiv:1708.07747.
    """
    if not folder.is_dir():
        raise GroundupError(
            f"Fashion-MNIST is not in {folder}: on Debian, `apt install dataset-fashion-mnist`; "
            "elsewhere, put its four .gz files in a folder and name that with --data; or train on "
            "the digits, which need no download: groundup train digits"
        )
    train, test = (
        (
            read_idx(folder / f"{part}-images-idx3-ubyte.gz", 3),
            read_idx(folder / f"{part}-labels-idx1-ubyte.gz", 1),
        )
        for part in ("train", "t10k")
    )
    return _prepared(*train, *test, FASHION_CLASSES)


def digits() -> ImageData:
    """Scikit-learn's digits: 1,500 and 297 handwritten digits, 8×8, always the same split.

    Raises:
        GroundupError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise GroundupError(
            "the digits come with scikit-learn, which is not installed: "
            "pip install 'groundup[train]'"
        ) from None
    images, labels = load_digits(return_X_y=True)
    # In the data's own order the last ones are of other writers, whose digits are harder.
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images.reshape(-1, 8, 8)[order], labels[order]
    n = len(images) - DIGITS_FOR_TESTING
    return _prepared(images[:n], labels[:n], images[n:], labels[n:], tuple("0123456789"))


def _prepared(
    images: Array, labels: Array, test_images: Array, test_labels: Array, classes: tuple[str, ...]
) -> ImageData:
    for some, named in ((images, labels), (test_images, test_labels)):
        if len(some) != len(named) or not len(some):
            raise GroundupError(f"{len(some)} images and {len(named)} labels: expected as many")
        if named.max() >= len(classes):
            raise GroundupError(f"a label is {named.max()}: expected 0 to {len(classes) - 1}")
        if some.shape[1:] != (side := images.shape[1], side):
            raise GroundupError(f"images of shape {some.shape[1:]}: expected ({side}, {side})")
    mean, deviation = images.mean(), images.std()
    return ImageData(
        ((images[:, None] - mean) / deviation).astype(np.float32),
        labels.astype(np.int64),
        ((test_images[:, None] - mean) / deviation).astype(np.float32),
        test_labels.astype(np.int64),
        classes,
    )
