"""From files to rows: documents, shards, packing, order."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.errors import GroundupError
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.tokenizer_json import save_tokenizer
from groundup.training import corpus
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.corpus import Piece, cut, find_documents, hold_out, read_piece
from groundup.training.gradient_accumulation import IGNORED
from groundup.training.html_text import html_text
from groundup.training.man_page import man_text
from groundup.training.preparation import prepare
from groundup.training.rows import PackedRows, StreamRows
from groundup.training.token_shards import TokenShards, write_token_shards

PAGE = """<html><head><title>T</title></head><body><nav>menu</nav><div role="main"><h1>Lists</h1>
<p>A list &amp; its
items.</p><pre>a = [1,
     2]</pre></div><footer>end</footer></body></html>"""
MANUAL = r"""'\" t
.TH LS 1 "2022" "x" "y"
.SH NAME
ls \- list directory contents
.SH OPTIONS
.TP
\fB\-a\fR, \fB\-\-all\fR
do not ignore entries starting with .\"
.BR stat (2),
"""


def texts(pieces: Sequence[Piece]) -> str:
    return "".join(map(read_piece, pieces))


def test_html_gives_its_main_part() -> None:
    assert html_text(PAGE) == "Lists\n\nA list & its items.\n\na = [1,\n     2]\n"


def test_a_manual_page_gives_its_words() -> None:
    assert man_text(MANUAL) == (
        "LS(1)\n\nNAME ls - list directory contents\n\nOPTIONS\n\n"
        '-a, --all do not ignore entries starting with ." stat(2),\n'
    )


def test_documents_are_found_in_a_fixed_order(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "c.png", ".hidden.txt", "sub/ls.1.gz", "page.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "sub/ls.1.gz").write_bytes(gzip.compress(MANUAL.encode()))
    names = [path.name for path in find_documents([tmp_path])]
    assert names == ["a.txt", "b.md", "page.html", "ls.1.gz"]
    assert read_piece(Piece(tmp_path / "sub/ls.1.gz", 0, -1, True)) == man_text(MANUAL)
    with pytest.raises(GroundupError, match="there is no"):
        find_documents([tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(GroundupError, match="holds no documents"):
        find_documents([tmp_path / "empty"])


@given(st.text(alphabet="aé水🙂\n", min_size=1, max_size=300), st.integers(4, 60))
@settings(max_examples=60, deadline=None)
def test_pieces_join_to_the_text(text: str, size: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "PIECE_BYTES", size)
        path = Path(folder) / "text.txt"
        path.write_text(text, newline="")
        training, validation = hold_out([path])
        parts = [piece for group in cut(training) for piece in group]
        assert texts(parts) + texts(validation) == text
        assert sum(piece.last for piece in [*parts, *validation]) == 1
        tenth = len(text.encode()) / 10
        assert tenth - 4 <= len(texts(validation).encode()) <= tenth


def test_of_many_documents_whole_ones_are_held_out(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i}.txt").write_text(f"document {i}\n")
    training, validation = hold_out(find_documents([tmp_path]))
    assert (len(training), len(validation)) == (36, 4)
    assert {p.path for p in training}.isdisjoint(p.path for p in validation)


def test_shards_are_the_same_for_every_number_of_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "".join(f"line {i} <|endoftext|> of a text with an é and a 水\n" for i in range(400))
    (tmp_path / "text.txt").write_text(text)
    pieces = [Piece(tmp_path / "text.txt", 0, -1, last=True)]
    save_tokenizer(character_tokenizer([text]), tmp_path)
    monkeypatch.setattr(corpus, "PIECE_BYTES", 3000)  # the parent cuts: workers only read
    seen: list[int] = []
    one = write_token_shards(pieces, tmp_path, tmp_path / "one", workers=1)
    two = write_token_shards(
        pieces, tmp_path, tmp_path / "two", workers=2, progress=lambda done, _: seen.append(done)
    )
    assert seen == list(range(1, len(two.shards) + 1))
    assert len(one.shards) == len(two.shards) > 3
    tokenizer = tokenizer_from_folder(tmp_path)
    expected = [*tokenizer.encode(text, special=False), *tokenizer.eos_ids]
    assert expected.count(0) == 1  # what documents spell ends none of them
    for shards in (one, two):
        assert shards.read(0, len(shards)).tolist() == expected
        border = int(shards.ends[0])
        assert shards.read(border - 3, 6).tolist() == expected[border - 3 : border + 3]
        for start in (len(shards) - 2, -1):
            with pytest.raises(IndexError):
                shards.read(start, 3)
    assert tokenizer.decode(expected[:-1]) == text


@pytest.mark.parametrize(("largest", "dtype"), [(2**16 - 1, "uint16"), (2**16, "uint32")])
def test_ids_fit_in_their_type(tmp_path: Path, largest: int, dtype: str) -> None:
    (tmp_path / "text.txt").write_text("ab<far>a")
    spec = character_tokenizer(["ab"])
    far = spec["added_tokens"][0] | {"id": largest, "content": "<far>", "special": False}
    save_tokenizer(spec | {"added_tokens": [*spec["added_tokens"], far]}, tmp_path)
    pieces = [Piece(tmp_path / "text.txt", 0, -1, last=True)]
    for _ in range(2):  # made anew over what is there
        shards = write_token_shards(pieces, tmp_path, tmp_path / "data", workers=1)
    assert shards.dtype == dtype
    assert shards.read(0, 5).tolist() == [1, 2, largest, 1, 0]
    with pytest.raises(GroundupError, match=r"cannot write the tokens to .*Not a directory"):
        write_token_shards(pieces, tmp_path, tmp_path / "text.txt" / "data", workers=1)


def test_damaged_shards_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("some text")
    save_tokenizer(character_tokenizer(["some text"]), tmp_path)
    folder = tmp_path / "data"
    write_token_shards([Piece(tmp_path / "text.txt", 0, -1, True)], tmp_path, folder, workers=1)
    shard = folder / "00000.npy"
    whole = shard.read_bytes()
    np.save(shard, np.zeros(10, np.int64))
    with pytest.raises(GroundupError, match=r"holds int64 .* says uint16"):
        TokenShards(folder)
    np.save(shard, np.zeros(9, np.uint16))
    with pytest.raises(GroundupError, match=r"shape \(9,\).*\(10,\)"):
        TokenShards(folder)
    shard.write_bytes(whole[:-4])
    with pytest.raises(GroundupError, match="not a whole NumPy file"):
        TokenShards(folder)
    np.save(shard, np.array([object()] * 10), allow_pickle=True)
    with pytest.raises(GroundupError, match="not a whole NumPy file"):
        TokenShards(folder)
    shard.unlink()
    with pytest.raises(GroundupError, match="is missing"):
        TokenShards(folder)
    (folder / "index.json").write_text("{")
    with pytest.raises(GroundupError, match="is damaged"):
        TokenShards(folder)
    with pytest.raises(GroundupError, match="holds no token shards"):
        TokenShards(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "are empty"), (b"ab\xff\xfecd" * 9, r"text.txt is not UTF-8: byte 2 is 0xff")],
)
def test_corpora_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "text.txt").write_bytes(content)
    with pytest.raises(GroundupError, match=message):
        prepare([tmp_path / "text.txt"], tmp_path / "out", None)
    assert not (tmp_path / "out" / "data" / "corpus.json").exists()


def test_a_tiny_corpus_says_how_much_is_missing(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("abcdefghij" * 2 + "abcdefg" + "xyz")
    tokens, _ = prepare([tmp_path / "text.txt"], tmp_path / "out", None)
    assert tokenizer_from_folder(tmp_path / "out").size == 11  # of what is trained on alone
    with pytest.raises(GroundupError, match="27 tokens, and rows of 16 need at least 32"):
        StreamRows(tokens, 16, 0)


def test_prepared_tokens_are_found_again_and_not_mixed_up(tmp_path: Path) -> None:
    source, out = tmp_path / "text.txt", tmp_path / "out"
    source.write_text("abcdefghij" * 10)
    first, held_out = prepare([source], out, None)

    made = (out / "data" / "training" / "00000.npy").stat().st_mtime_ns
    again, _ = prepare([source], out, None)
    assert (out / "data" / "training" / "00000.npy").stat().st_mtime_ns == made
    assert len(again) == len(first) == 90
    assert len(held_out) == 11
    with pytest.raises(GroundupError, match="another corpus or vocabulary"):
        prepare([source], out, 300)
    for changed in ("abcdefghij" * 11, "abcdefghik" * 10):
        source.write_text(changed)
        with pytest.raises(GroundupError, match="documents changed"):
            prepare([source], out, None)


def test_each_token_is_a_target_once_an_epoch_and_cuts_move(rows: StreamRows) -> None:
    starts = [rows.starts(np.arange(e * len(rows), (e + 1) * len(rows))) for e in range(3)]
    for found in starts:
        assert np.array_equal(np.diff(np.sort(found)), np.full(len(rows) - 1, 16))
        assert 0 <= found.min() <= found.max() <= len(rows.tokens) - 17
    assert len({int(found.min()) for found in starts}) > 1
    assert not np.array_equal(starts[0], np.sort(starts[0]))
    ids, targets = rows.take(np.arange(4))
    assert ids[:, 1:].tolist() == targets[:, :-1].tolist()
    # A batch is a function of its number alone.
    across = np.arange(len(rows) - 2, len(rows) + 2)
    assert rows.starts(across).tolist() == [
        int(rows.starts(one)[0]) for one in across.reshape(4, 1)
    ]


def test_packed_rows_hold_whole_documents() -> None:
    documents = [list(range(1, n + 1)) for n in (3, 8, 5, 1, 20, 4)]  # 1 and 20 do not fit
    rows = PackedRows(documents, 8, seed=1)
    assert len(rows) == 3
    ids, targets = rows.take(np.arange(3))
    counted = targets != IGNORED
    assert int(counted.sum()) == 20 - 3  # the first of each row is nobody's target
    pairs = [[int(a), *b[c].tolist()] for a, b, c in zip(ids[:, 0], targets, counted, strict=True)]
    assert sorted(pairs) == sorted([documents[1], documents[2] + documents[5], documents[0]])
    with pytest.raises(GroundupError, match="none of 1 documents"):
        PackedRows([[1]], 8, 0)


def test_the_character_tokenizer_is_read_by_transformers(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    text = "Zwölf Boxkämpfer jagen 水 und 🙂 über\n\n  den Deich."
    save_tokenizer(character_tokenizer([text]), tmp_path)
    ours = tokenizer_from_folder(tmp_path)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert ours.encode(text) == theirs.encode(text).ids
    assert len(ours.encode(text)) == len(text)
    assert ours.decode(ours.encode(text)) == text
    assert ours.size == theirs.get_vocab_size()
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    assert spec["added_tokens"][0]["content"] == "<|endoftext|>"
