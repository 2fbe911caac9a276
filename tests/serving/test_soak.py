"""After many requests, good and bad, a server holds nothing that it did not hold before."""

from benchmarks.soak import serve_and_soak


async def test_nothing_is_left(tiny_model: str) -> None:
    soaked = await serve_and_soak(tiny_model, 2, seconds=12)
    assert not soaked.wrong
    assert not soaked.held
    kinds = {"answer", "stream", "left", "wrong", "too long", "dawdled"}
    assert soaked.answers.keys() == kinds
    # Of the server. An engine's memory takes minutes to its plateau: `benchmarks/soak.py` shows it.
    assert next(iter(soaked.grown.values())) < 32 * 2**20, soaked
