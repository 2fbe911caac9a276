"""Shared by the tokenizer tests: the chat model's tokenizer, Hugging Face's twin, hard texts."""

import random
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import regex
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.tokenizer import Tokenizer as GroundupTokenizer
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

SPACES = [*"\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000", "\r\n"]
SPACES += [*map(chr, range(0x2000, 0x200E)), "\ufeff", "  ", "\t\t", "    ", "\n\n"]
DIGIT_ZEROS = [0x30, 0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xE50, 0x17E0, 0xFF10, 0x104A0, 0x1D7CE]
OTHER_NUMBERS = "²³¹¼½¾Ⅷⅻ〇①㊿৴፼𐄇𒐕"
WORDS = (  # noqa: SIM905
    "the The THE don't DON'T we'll WE'LL I'm it's IT'S they've 'tis 'ſ 'S 'lL o'clock naïve straße "
    "Łódź été ΑΒΓ привет Ёлка 東京 日本語 한국어 ไทย हिन्दी தமிழ் עברית العربية مرحبا‏ ‮abc‬ "
    "ǅ ﬁ ĳ Å Å e\u0301 a\u0308\u0323 \u0301 q\u0307\u0323 é"
).split()
CODE = [
    "def f(x):\n    return x**2  # square\n",
    "for (int i=0;i<10;++i){a[i]|=0xFF;}",
    '\tif x != "it\'s":\r\n\t\tpass',
    "<div class='a'>&nbsp;</div>",
    "SELECT * FROM t WHERE id >= 1_000.5e-3;",
    "https://a.b/c?d=%20&e=f#g",
    '{"k": [1, 2.5, null]}',
    "```python\nprint(f'{a!r:>10}')\n```",
    "λ x → ∀y. x ≤ y ∧ ¬∃z",
]
EMOJI = ["👩‍👩‍👧‍👦", "👍🏽", "🇩🇪", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "❤️", "🧑‍💻", "1️⃣", "😀"]


GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split_by(*patterns: str) -> Any:
    steps = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*steps, last])


@pytest.fixture(scope="session")
def pre_tokenizer_of() -> dict[str, Any]:
    """The library's pre-tokenizers as the models' own tokenizer.json files have them."""
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return {
        "gpt-2": gpt2,
        "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), gpt2]),
        "llama-bpe": split_by(LLAMA3),
        "qwen2": split_by(LLAMA3.replace("{1,3}", "")),
        "default": split_by(r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    }


@pytest.fixture(scope="session")
def model_path() -> Any:
    return fetch("smollm2-135m-instruct")


@pytest.fixture(scope="session")
def metadata(model_path: Any) -> dict[str, Any]:
    return read_gguf(model_path).metadata


@pytest.fixture(scope="session")
def ours(metadata: dict[str, Any]) -> GroundupTokenizer:
    return tokenizer_from_gguf(metadata)


@pytest.fixture(scope="session")
def special_tokens(metadata: dict[str, Any]) -> list[str]:
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    return [token for token, kind in zip(tokens, kinds, strict=True) if kind == 3]


@pytest.fixture(scope="session")
def hugging_face(
    metadata: dict[str, Any], special_tokens: list[str], pre_tokenizer_of: dict[str, Any]
) -> Any:
    """SmolLM2's tokenizer as its tokenizer.json describes it, in Hugging Face's classes."""
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    built = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    built.pre_tokenizer = pre_tokenizer_of["smollm"]
    built.decoder = decoders.ByteLevel()
    built.add_special_tokens(special_tokens)
    return PreTrainedTokenizerFast(
        tokenizer_object=built,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        chat_template=metadata["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
    )


@pytest.fixture(scope="session")
def hugging_face_from_gguf(model_path: Any) -> Any:
    """What transformers itself makes of the GGUF file (slow: about 8 s)."""
    return AutoTokenizer.from_pretrained(model_path.parent, gguf_file=model_path.name)


@pytest.fixture(scope="session", name="settled_characters")
def settled_characters_fixture() -> frozenset[str]:
    return settled_characters()


@pytest.fixture(scope="session", name="generated_texts")
def generated_texts_fixture() -> Callable[..., list[str]]:
    return generated_texts


@pytest.fixture(scope="session")
def training_texts() -> list[str]:
    return [*CODE, *EMOJI, *WORDS, "1234567890 " * 3, *WORDS] * 20


@cache
def settled_characters() -> frozenset[str]:
    """Every code point but those that one library's Unicode tables know and the other's do not."""
    every = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    split = pre_tokenizers.Split(Regex(r"\p{Cn}+"), "removed")
    theirs = frozenset().union(*(piece for piece, _ in split.pre_tokenize_str(every)))
    mine = frozenset(regex.findall(r"\P{Cn}", every))
    return frozenset(every) - (theirs ^ mine)


@cache
def planes() -> list[list[str]]:
    """The settled characters of each of the 17 planes, and the dense first 0x3000 twice."""
    found: list[list[str]] = [[] for _ in range(17)]
    for character in sorted(settled_characters()):
        found[ord(character) >> 16].append(character)
    return [found[0][:0x3000], *found]


def piece(rng: random.Random, special: list[str]) -> str:
    match rng.randrange(10):
        case 0:
            return "".join(rng.choices(rng.choice(planes()), k=rng.randrange(1, 9)))
        case 1:
            marks = "".join(rng.choices([chr(c) for c in range(0x300, 0x370)], k=3))
            return rng.choice("aeioučçи") + marks
        case 2:
            return rng.choice(CODE)
        case 3:
            return "".join(rng.choices(SPACES, k=rng.randrange(1, 6)))
        case 4:
            return "".join(rng.choices(EMOJI, k=rng.randrange(1, 4)))
        case 5:
            zero = rng.choice(DIGIT_ZEROS)
            return "".join(chr(zero + rng.randrange(10)) for _ in range(rng.randrange(1, 8)))
        case 6:
            return rng.randbytes(rng.randrange(1, 12)).decode(errors="replace")
        case 7:
            return rng.choice(special)
        case 8:
            return rng.choice(OTHER_NUMBERS) * rng.randrange(1, 4)
    return rng.choice([" ", ""]) + rng.choice(WORDS)


def generated_texts(count: int, special: list[str], seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    settled = settled_characters()
    texts = []
    for _ in range(count):
        glue = rng.choice(["", "", " "])
        text = glue.join(piece(rng, special) for _ in range(rng.randrange(1, 12)))
        texts.append("".join(filter(settled.__contains__, text)))
    return texts
