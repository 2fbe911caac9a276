"""The load generator's client, against a server that misbehaves on request."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from benchmarks.http_client import Client, Outcome, post

GOOD = b'{"usage":{"completion_tokens": 16}}'


async def with_server(
    use: Callable[[Client], Awaitable[list[Outcome]]], *, deadline: float = 20, pause: float = 0
) -> list[Outcome]:
    """``use`` a client of one connection; the request's body tells the server what to do."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await answer(reader, writer)
        except ConnectionResetError:  # it closes without a word
            pass
        finally:
            writer.close()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readline():
            while (line := await reader.readline()) != b"\r\n":
                head += line
            length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
            what = await reader.readexactly(length)
            await asyncio.sleep(pause)
            if what == b"drop":
                break
            if what == b"wait":
                continue
            if what == b"chunks":
                writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                for part in (GOOD[:10], GOOD[10:], b""):
                    await writer.drain()
                    await asyncio.sleep(0.01)  # so that they arrive apart
                    writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                continue
            status, body = (b"503 Busy", b"{}") if what == b"busy" else (b"200 OK", GOOD)
            body = b'{"usage": {"completion_tokens": 15}}' if what == b"short" else body
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
            for part in (body[:-4], body[-4:]):  # what is expected ends in the second
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Client(
            "127.0.0.1", port, connections=1, deadline=deadline,
            expected=b'"completion_tokens":16',
        )  # fmt: skip
        async with asyncio.timeout(20):
            outcomes = await use(client)
            client.close()
            await asyncio.gather(*serving)
    return outcomes


def requests(*what: bytes) -> list[bytes]:
    return [post("localhost", "/", each) for each in what]


def test_failures_are_told_apart_and_the_rest_is_answered() -> None:
    sent = requests(b"good", b"busy", b"chunks", b"drop", b"short", b"good", b"chunks")
    outcomes = asyncio.run(with_server(lambda client: client.open_loop(sent, [0.0] * 7)))
    assert [(sent.index(o.request), o.failure) for o in outcomes] == [
        (0, None), (1, "status 503"), (2, None), (3, "connection lost"), (4, "incomplete answer"),
        (0, None), (2, None),
    ]  # fmt: skip


def test_what_is_never_answered_times_out_and_is_followed_by_others() -> None:
    sent = requests(b"wait")
    outcomes = asyncio.run(
        with_server(lambda client: client.open_loop(sent * 2, [0.0, 0.4]), deadline=0.3)
    )
    assert [outcome.failure for outcome in outcomes] == ["timed out"] * 2


def test_latency_counts_from_the_intended_time() -> None:
    """Five are meant to be sent at once, over one connection: the last has waited for all."""
    sent = requests(b"good") * 5
    outcomes = asyncio.run(with_server(lambda client: client.open_loop(sent, [0.0] * 5), pause=0.1))
    latencies = [outcome.end - outcome.intended for outcome in outcomes]
    assert len(latencies) == 5
    assert all(late - early > 0.09 for early, late in itertools.pairwise(latencies))


def test_a_client_that_is_late_counts_it() -> None:
    """Meant to be sent five seconds ago."""
    sent = requests(b"good")
    [outcome] = asyncio.run(with_server(lambda client: client.open_loop(sent, [-5.0])))
    assert outcome.end - outcome.intended > 5


def test_the_first_byte_of_a_stream_comes_before_its_end() -> None:
    sent = requests(b"chunks")
    [outcome] = asyncio.run(with_server(lambda client: client.open_loop(sent, [0.0])))
    assert outcome.intended < outcome.first < outcome.end


def test_a_closed_loop_ends_with_its_requests() -> None:
    sent = requests(b"good", b"drop", b"good", b"busy", b"good")
    outcomes = asyncio.run(with_server(lambda client: client.closed_loop(iter(sent), 3, 30)))
    assert Counter(o.failure for o in outcomes) == {
        None: 3, "connection lost": 1, "status 503": 1
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 3])
def test_a_server_that_is_not_there(count: int) -> None:
    async def refused() -> list[Outcome]:
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        client = Client("127.0.0.1", port, connections=1, expected=b"")
        return await client.open_loop(requests(b"good") * count, [0.0] * count)

    outcomes = asyncio.run(refused())
    assert [o.failure for o in outcomes] == ["cannot connect: ConnectionRefusedError"] * count
