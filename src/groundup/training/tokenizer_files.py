"""A trained vocabulary as the files of a model folder."""

import json
from collections.abc import Sequence
from pathlib import Path

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

__all__ = ["CHAT_TEMPLATE", "END_OF_TEXT", "PLAIN_TEMPLATE", "write_tokenizer_files"]

END_OF_TEXT, TURN, END_OF_TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"

# A model that was taught no roles goes on from what was written.
PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    f"{{{{ '{TURN}' + message['role'] + '\\n' + message['content'] + '{END_OF_TURN}\\n' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{TURN}assistant\\n' }}}}{{% endif %}}"
)


def write_tokenizer_files(
    tokens: Sequence[str], merges: Sequence[tuple[str, str]], folder: Path, template: str
) -> int:
    """Write ``tokenizer.json`` and ``tokenizer_config.json`` for byte-level BPE.

    Args:
        tokens: the vocabulary in the characters of ``byte_alphabet``, in the order of the ids.
        merges: of the vocabulary, the first learned first.
        folder: made where it is missing.
        template: how a chat is written. One with turns adds their tokens to the vocabulary.

    Returns:
        The size of the vocabulary, special tokens included; the end of a text is the first of them.

    Raises:
        GroundupError: the folder cannot be written.
    """
    specials = [END_OF_TEXT, *([TURN, END_OF_TURN] if TURN in template else [])]
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    spec = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": len(tokens) + i, "content": token, **flags, "special": True}
            for i, token in enumerate(specials)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [list(merge) for merge in merges],
        },
    }  # fmt: skip
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": specials[-1],
        "chat_template": template,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, entries in (("tokenizer.json", spec), ("tokenizer_config.json", config)):
            write_text(folder / name, json.dumps(entries, ensure_ascii=False, indent=1) + "\n")
    except OSError as error:
        raise GroundupError(f"cannot write the tokenizer to {folder}: {error.strerror}") from None
    return len(tokens) + len(specials)
