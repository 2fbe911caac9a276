"""After many requests, good and bad, a server holds nothing that it did not hold before."""

from benchmarks.soak import serve_and_soak


async def test_nothing_is_left(tiny_model: str) -> None:
    soaked = await serve_and_soak(tiny_model, 2, seconds=16)
    assert not soaked.wrong
    assert not soaked.held
    kinds = {"answer", "stream", "left", "wrong", "too long", "dawdled"}
    assert soaked.answers.keys() == kinds
    # A prompt, its text or a stream that is kept for each request would be more.
    assert max(soaked.grown.values()) < 48 * 2**20, soaked
