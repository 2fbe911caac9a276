"""Which tokens of a conversation a model learns to write: those of the assistant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["MaskedSequence", "mask_conversation", "mask_text"]

# Tokens that end a text, by name; others in a tokenizer's eos_ids end a turn of a conversation.
END_OF_TEXT = ("<|endoftext|>", "<|end_of_text|>", "</s>")


@dataclass(frozen=True)
class MaskedSequence:
    """Token ids, and which of them have a loss: those that the model is to write."""

    ids: list[int]
    counts: list[bool]  # as long as ids


def mask_conversation(
    tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]
) -> list[MaskedSequence]:
    """The tokens of a conversation, of which the assistant's count.

    Where an answer begins is not searched for in the rendered text: it is what the model's own
    template writes behind the prompt of that turn. So each answer is learned behind exactly the
    tokens after which the model will be asked for it, and counts up to the token that ends the
    turn: the last of ``eos_ids`` in it, or all of it where there is none. The opening of the
    assistant's turn is given to the model, and does not count.

    Commonly one sequence holds all turns. Where a template writes an earlier turn differently once
    others follow (some leave out its reasoning), the turn has a sequence of its own, and in the
    later one it does not count.

    Args:
        tokenizer: with a chat template.
        messages: with at least one of the assistant; what follows the last of these is left out.

    Raises:
        GroundupError: there is no template, or it fails, or it does not write an answer behind its
            prompt.
        ValueError: there is no message of the assistant.
    """
    sequences: list[MaskedSequence] = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt, answer = tokenizer.encode_answer(messages[: number + 1])
        ends = [place for place, token in enumerate(answer, start=1) if token in tokenizer.eos_ids]
        answer = answer[: ends[-1]] if ends else answer  # a line end behind it is not the model's
        counts: list[bool] = []
        if sequences and prompt[: len(sequences[-1].ids)] == sequences[-1].ids:
            counts = sequences.pop().counts
        counts = counts + [False] * (len(prompt) - len(counts)) + [True] * len(answer)
        sequences.append(MaskedSequence(prompt + answer, counts))
    if not sequences:
        raise ValueError("there is no message of the assistant")
    return sequences


def mask_text(tokenizer: Tokenizer, text: str) -> MaskedSequence:
    """The tokens of a text that is no conversation, and its end: all of them count.

    No special token is put before it. Its end is the one of the tokenizer's ``eos_ids`` whose name
    is in `END_OF_TEXT`: of several the smallest, of none nothing.
    """
    ids = tokenizer.encode(text, special=False)
    ends = [i for i in sorted(tokenizer.eos_ids) if tokenizer.token_of(i) in END_OF_TEXT]
    ids += ends[:1]
    return MaskedSequence(ids, [True] * len(ids))
