"""From a file's examples to sequences that are learned and others that are held out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from groundup.errors import GroundupError
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tuning.data_file import Example
from groundup.tuning.loss_mask import MaskedSequence, mask_conversation, mask_text

__all__ = [
    "Encoded",
    "Split",
    "encode_examples",
    "hold_out",
    "split_examples",
    "without_duplicates",
]


@dataclass(frozen=True)
class Encoded:
    """Sequences that fit, and what became of those that did not."""

    sequences: list[MaskedSequence]
    cut: list[int]  # rows of which the end was cut off
    left_out: list[int]  # rows of which nothing that counts was left


@dataclass(frozen=True)
class Split:
    """A file's examples, ready to be learned and to be evaluated on."""

    duplicates: list[int]  # rows that repeat an earlier one, and are left out
    held_out: list[Example]
    training: Encoded
    validation: Encoded


def split_examples(
    examples: Iterable[Example], tokenizer: Tokenizer, context: int, share: float, seed: int
) -> Split:
    """`without_duplicates`, `hold_out` and `encode_examples`, with their errors."""
    kept, duplicates = without_duplicates(examples)
    learned, held_out = hold_out(kept, share, seed)
    return Split(
        duplicates,
        held_out,
        encode_examples(learned, tokenizer, context),
        encode_examples(held_out, tokenizer, context),
    )


def without_duplicates(examples: Iterable[Example]) -> tuple[list[Example], list[int]]:
    """The examples less those that stood there before, and the rows of these.

    Texts that differ in white space alone are the same.
    """
    kept: dict[bytes, Example] = {}
    repeated = []
    for example in examples:
        if kept.setdefault(_digest(example), example) is not example:
            repeated.append(example.row)
    return list(kept.values()), repeated


def hold_out(
    examples: Sequence[Example], share: float, seed: int
) -> tuple[list[Example], list[Example]]:
    """Examples to learn, and others to be evaluated on, both in their order.

    Which are held out follows from the seed and their own texts, not from their places: an example
    stays where it is when rows are added, and examples that are equal are on one side.

    Args:
        examples: of a file.
        share: from 0 to below 1, of the examples that are held out; at least one, unless it is 0.
        seed: another holds out others.

    Raises:
        GroundupError: there are too few examples for both.
    """
    if not share:
        return list(examples), []
    if len(examples) < 2:
        raise GroundupError(f"{len(examples)} example cannot be both learned and held out: give "
                            "more rows, or --validation 0")  # fmt: skip
    key = str(seed).encode()
    digests = {e.row: _digest(e, key) for e in examples}
    count = min(len(examples) - 1, max(1, round(share * len(examples))))
    limit = sorted(digests.values())[count - 1]
    held_out = [e for e in examples if digests[e.row] <= limit]
    learned = [e for e in examples if digests[e.row] > limit]
    if not learned:
        raise GroundupError("all examples are equal: none is left to be held out")
    return learned, held_out


def encode_examples(examples: Iterable[Example], tokenizer: Tokenizer, context: int) -> Encoded:
    """The masked tokens of examples; of a preference, the chosen conversation's.

    A sequence of more than ``context`` tokens keeps the first of them. Where none of those counts,
    it is left out.

    Raises:
        GroundupError: as `mask_conversation`; names the row.
    """
    encoded = Encoded([], [], [])
    for example in examples:
        try:
            found = (mask_conversation(tokenizer, example.messages) if example.messages
                     else [mask_text(tokenizer, example.text)])  # fmt: skip
        except GroundupError as error:
            raise GroundupError(f"row {example.row}: {error}") from None
        for sequence in found:
            if len(sequence.ids) > context:
                sequence = MaskedSequence(sequence.ids[:context], sequence.counts[:context])
                encoded.cut.append(example.row)
            if any(sequence.counts[1:]):
                encoded.sequences.append(sequence)
            else:
                encoded.left_out.append(example.row)
    # A row that is left out is not cut as well.
    gone = set(encoded.left_out)
    return Encoded(encoded.sequences, [row for row in encoded.cut if row not in gone],
                   encoded.left_out)  # fmt: skip


def _digest(example: Example, key: bytes = b"") -> bytes:
    digest = blake2b(key=key, digest_size=16)
    for turns in (example.messages, example.rejected):
        for turn in turns:
            digest.update(f"{turn['role']}\0{' '.join(turn['content'].split())}\0".encode())
        digest.update(b"\1")
    digest.update(" ".join(example.text.split()).encode())
    return digest.digest()
