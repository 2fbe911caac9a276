"""The application on Ray Serve: replicas on the machines of a cluster, behind proxies.

Ray places the replicas, sends each request to the less busy of two of them, starts and ends
replicas as requests come and go, and replaces those that are not healthy. What a replica does is
what ``groundup serve`` does.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from ray import serve
from ray.exceptions import RayError
from ray.serve.schema import ApplicationStatus
from starlette.types import Receive, Scope, Send

from groundup.errors import GroundupError
from groundup.serving.app import create_app
from groundup.serving.callers import Callers
from groundup.serving.engine_messages import EngineOptions
from groundup.serving.intake import IntakeSettings
from groundup.serving.replicas import Replicas
from groundup.serving.service import Service
from groundup.serving.traces import tracing

__all__ = ["APPLICATION", "Deployment", "ModelApplication", "deploy"]

APPLICATION = "groundup"  # its name in the cluster


@dataclass(frozen=True)
class Deployment:
    """How many replicas there are, and what each of them takes."""

    replicas: int = 1  # at least
    max_replicas: int | None = None  # at most, where their number follows the requests
    ongoing_requests: float = 16.0  # of each replica, which that number aims at
    cpus: float = 1.0  # of each replica
    drain_deadline: float = 30.0  # seconds that a replica's answers have to end


class ModelApplication:
    """An ASGI application that loads its model at its start, in the process that will serve it."""

    def __init__(self, model: str, keys: Sequence[str] = ()) -> None:
        """Arguments:
        model: as `load_model` takes it, on the machine of the replica.
        keys: that callers must send; none lets everyone in.
        """
        self._model = model
        self._keys = keys
        self._service: Service | None = None
        self._app: Any = None

    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._service is not None and self._service.ready()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI, with its lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        async with AsyncExitStack() as stack:
            try:
                tracer = stack.enter_context(tracing())
                replica = Replicas.start(EngineOptions(self._model))
                engine = await stack.enter_async_context(replica)
                service = Service(engine, IntakeSettings(), Callers(self._keys))
                self._service = await stack.enter_async_context(service)
                self._app = create_app(service, tracer)
            except Exception as error:
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                raise
            await send({"type": "lifespan.startup.complete"})
            await receive()  # lifespan.shutdown
            service.draining = True
        await send({"type": "lifespan.shutdown.complete"})


class Replica:
    """What Ray asks of a replica beside its answers."""

    app: ModelApplication  # given by Ray's ingress

    def check_health(self) -> None:
        """Raises: RuntimeError, and Ray replaces the replica."""
        if not self.app.ready():
            raise RuntimeError("the engine has stopped")


def deploy(model: str, deployment: Deployment, keys: Sequence[str], host: str, port: int) -> None:
    """Run the application on the cluster that this process is connected to, until `serve.delete`.

    Returns when its first replicas answer. The proxies listen on ``host`` of each machine that has
    a replica, if Ray Serve does not run yet on the cluster; else where they listen already.

    Raises:
        GroundupError: no proxy or no replica could be started.
    """
    # What a replica cannot take waits in the proxy, and no more than that: the rest gets 503.
    ongoing = IntakeSettings().places + IntakeSettings().waiting_limit
    scale: dict[str, Any] = {"num_replicas": deployment.replicas}
    if deployment.max_replicas is not None:
        scale = {
            "autoscaling_config": {
                "min_replicas": deployment.replicas,
                "max_replicas": deployment.max_replicas,
                "target_ongoing_requests": deployment.ongoing_requests,
            }
        }
    replica = serve.deployment(
        name="Model",
        ray_actor_options={"num_cpus": deployment.cpus},
        max_ongoing_requests=ongoing,
        max_queued_requests=ongoing,
        graceful_shutdown_timeout_s=deployment.drain_deadline,
        health_check_period_s=5,
        max_constructor_retry_count=3,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        **scale,
    )(serve.ingress(ModelApplication(model, keys))(Replica))
    try:
        serve.start(http_options={"host": host, "port": port})
        serve.run(replica.bind(), name=APPLICATION, route_prefix="/")
    except (RayError, TimeoutError) as error:
        raise GroundupError(
            f"Ray Serve could not be started: {error}; its logs are in the folder that Ray names "
            "for logs, by default /tmp/ray/session_latest/logs/serve on each machine"
        ) from None
    except RuntimeError as error:
        status = serve.status().applications.get(APPLICATION)
        if status is None or status.status is not ApplicationStatus.DEPLOY_FAILED:
            raise
        said = [each.message for each in status.deployments.values() if each.message]
        raise GroundupError("\n".join([str(error), *said])) from None
