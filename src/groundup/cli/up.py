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
    sign_in: Annotated[
        bool,
        typer.Option(
            "--sign-in",
            help="Ask for a name and a password, as is always done beyond this machine. For a "
            "proxy in front; groundup users makes accounts.",
        ),
    ] = False,
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

    from groundup.app.application import App
    from groundup.app.sign_in import LiveSessions
    from groundup.app.store.database import default_url
    from groundup.app.store.store import Store
    from groundup.app.web import create_web, serve_web
    from groundup.home import home
    from groundup.serving.server import listen

    folder = home() / "app"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = [] if threads is None else ["--threads", str(threads)]
    with closing(Store(database or default_url(folder))) as store:
        sessions = LiveSessions(store) if sign_in or not is_loopback(host) else None
        if sessions is not None and not store.accounts.all():
            raise GroundupError(
                "there is no account to sign in with, and nobody gets in without: make one with "
                "groundup users add NAME, or listen on 127.0.0.1 without --sign-in"
            )
        chosen = port if port is not None else next_free(host, PORT)
        try:
            listener = listen(host, chosen)
        except GroundupError as error:
            free = next_free(host, chosen + 1)
            raise GroundupError(f"{error}. Free: --port {free}") from None
        url = f"http://{f'[{host}]' if ':' in host else host}:{chosen}"

        async def run() -> None:
            app = App.create(folder, store, model, options=options, sessions=sessions)
            web = create_web(app)
            await serve_web(web, listener, lambda: announce(url, open_browser))

        with closing(listener):
            fetch_if_packaged(model)
            try:
                uvloop.run(run())
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
