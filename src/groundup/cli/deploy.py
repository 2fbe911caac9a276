"""``groundup deploy``: the server on several machines."""

import logging
import os
import signal
import socket
import threading
from typing import Annotated

import typer

from groundup.cli.serve import ApiKeys, Host, keys_for
from groundup.errors import GroundupError

__all__ = ["deploy_app"]

deploy_app = typer.Typer(
    help="Serve a model on several machines.", no_args_is_help=True, add_completion=False
)


@deploy_app.callback()
def deploy() -> None:
    """Serve a model on several machines."""


@deploy_app.command()
def ray(
    model: Annotated[
        str,
        typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id, on each machine."),
    ] = "smollm2-135m-instruct",
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster: host:port of its head, or auto for the one on this machine.",
            show_default="a new one on this machine, until Ctrl-C",
        ),
    ] = None,
    replicas: Annotated[int, typer.Option(min=1, help="How many replicas, at least.")] = 1,
    max_replicas: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many replicas at most, where their number is to follow the requests.",
            show_default="as many as --replicas, always",
        ),
    ] = None,
    ongoing_requests: Annotated[
        float,
        typer.Option(min=1, help="Requests at once in each replica, which that number aims at."),
    ] = 16,
    cpus: Annotated[float, typer.Option(min=0.01, help="CPUs that each replica takes.")] = 1,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    api_key: ApiKeys = None,
) -> None:
    """Serve a model from replicas on a Ray cluster, as OpenAI's API does.

    With --address the replicas stay when this command ends, until "serve shutdown". The machines of
    the cluster need groundup, too.
    """
    keys = keys_for(host, api_key)
    if max_replicas is not None and max_replicas < replicas:
        raise GroundupError(
            f"--max-replicas {max_replicas} is less than --replicas {replicas}: raise the one or "
            "lower the other"
        )
    # Before Ray is imported: nothing about its use is told to its makers, unless the user wants.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray lets its workers give way to all other processes; a server should not.
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        from groundup.serving.server import listen

        if address is None:
            listen(host, port).close()  # that it is taken is better told now
        elif ":" in address:
            check_reachable(address)
        import ray as ray_package
        from ray import serve

        from groundup.serving.ray_serve import APPLICATION, Deployment
        from groundup.serving.ray_serve import deploy as deploy_on_ray
    except ModuleNotFoundError as error:
        raise GroundupError(
            f"this needs {error.name}, which is not installed: pip install 'groundup[ray]'"
        ) from None

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    try:
        ray_package.init(
            address or "local",
            include_dashboard=False,
            logging_level=logging.WARNING,
            log_to_driver=False,
        )
    except (ConnectionError, RuntimeError) as error:
        raise no_cluster(address, str(error)) from None
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ray's own ends with an error
    shown = f"[{host}]" if ":" in host else host
    try:
        there = ray_package.cluster_resources().get("CPU", 0)
        if there < replicas * cpus:
            lacking = f"{replicas} replicas of {cpus:g} CPUs, and the cluster has {there:g} CPUs"
            if address is None:
                raise GroundupError(f"{lacking}: lower --replicas or --cpus")
            typer.echo(f"{lacking}: waiting for it to grow (Ctrl-C ends)", err=True)
        deployment = Deployment(replicas, max_replicas, ongoing_requests, cpus)
        deploy_on_ray(model, deployment, keys, host, port)
        typer.echo(f"{model} on http://{shown}:{port}/v1", err=True)
        if address is None:
            typer.echo("Ctrl-C ends it, and the cluster on this machine", err=True)
            threading.Event().wait()
        else:
            typer.echo("serve status shows it, serve shutdown ends it", err=True)
    except KeyboardInterrupt:
        if address is not None:
            raise typer.Exit(130) from None
        serve.delete(APPLICATION)  # what was begun is finished
    finally:
        ray_package.shutdown()


def check_reachable(address: str) -> None:
    """Raises: GroundupError, where Ray itself would try again for minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError, OverflowError) as error:
        raise no_cluster(address, str(error)) from None


def no_cluster(address: str | None, reason: str) -> GroundupError:
    return GroundupError(
        f"there is no Ray cluster at {address}: {reason}; start one with ray start --head, or "
        "leave --address out"
    )
