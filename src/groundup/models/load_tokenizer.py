"""A model's tokenizer, without the model: servers and commands start sooner without torch."""

from groundup.models.gguf import read_gguf
from groundup.models.locate import locate
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["load_tokenizer"]


def load_tokenizer(source: str) -> Tokenizer:
    """The tokenizer alone; ``source`` and errors as `locate` has them."""
    path = locate(source)
    if path.is_dir():
        return tokenizer_from_folder(path)
    return tokenizer_from_gguf(read_gguf(path).metadata)
