"""The Kubernetes manifests: valid by the official schemas, and of one mind with the server."""

import copy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor

from groundup.serving.server import ServerSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
# Not of the cluster's own API, or not objects at all.
OTHERS = {"kustomization.yaml", "prometheus-adapter-values.yaml", "service-monitor.yaml"}
OBJECTS = sorted(path.name for path in FOLDER.glob("*.yaml") if path.name not in OTHERS)
VERSIONS = ("1.29.0", kubernetes_validate.latest_version())


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


@pytest.fixture
def pod() -> Any:
    return read("deployment.yaml")["spec"]["template"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", OBJECTS)
def test_valid(name: str, version: str) -> None:
    kubernetes_validate.validate(read(name), version, strict=True)


@pytest.mark.parametrize(
    ("name", "where", "mistake"),
    [
        ("deployment.yaml", ("spec", "template", "spec", "containers", 0), {"livenesProbe": {}}),
        ("deployment.yaml", ("spec",), {"selector": []}),
        ("service.yaml", ("spec", "ports", 0), {"port": "eighty"}),
        ("horizontal-pod-autoscaler.yaml", ("spec",), {"maxReplicas": None}),
        ("network-policy.yaml", ("spec",), {"ingres": []}),
        ("pod-disruption-budget.yaml", ("spec",), {"unhealthyPodEvictionPolicy": 1}),
    ],
)
def test_a_planted_mistake_is_found(
    name: str, where: tuple[str | int, ...], mistake: dict[str, Any]
) -> None:
    manifest = copy.deepcopy(read(name))
    place = manifest
    for key in where:
        place = place[key]
    place.update(mistake)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[-1], strict=True)


def test_the_service_monitor() -> None:
    """What the operator's model does not know, it leaves out."""
    given = read("service-monitor.yaml")
    model = ServiceMonitor.model_validate(given)
    assert model.model_dump(by_alias=True, exclude_unset=True, mode="json") == given


def test_kustomization_names_every_object() -> None:
    resources = read("kustomization.yaml")["resources"]
    assert set(resources) == set(OBJECTS) - {"secret.example.yaml"}  # it has no key in it


def test_selectors_meet_the_pods(pod: Any) -> None:
    labels = pod["metadata"]["labels"].items()
    assert read("service.yaml")["spec"]["selector"].items() <= labels
    for name in ("deployment.yaml", "pod-disruption-budget.yaml"):
        assert read(name)["spec"]["selector"]["matchLabels"].items() <= labels
    assert read("network-policy.yaml")["spec"]["podSelector"]["matchLabels"].items() <= labels
    monitor = read("service-monitor.yaml")["spec"]
    assert (
        monitor["selector"]["matchLabels"].items()
        <= read("service.yaml")["metadata"]["labels"].items()
    )
    assert monitor["endpoints"][0]["port"] in [
        port["name"] for port in read("service.yaml")["spec"]["ports"]
    ]


def test_what_is_named_is_there(pod: Any) -> None:
    (container,) = pod["spec"]["containers"]
    assert container["envFrom"] == [
        {"configMapRef": {"name": read("config-map.yaml")["metadata"]["name"]}}
    ]
    (key,) = [e["valueFrom"]["secretKeyRef"] for e in container["env"] if "valueFrom" in e]
    secret = read("secret.example.yaml")
    assert key["name"] == secret["metadata"]["name"]
    assert not any(secret["stringData"].values()), "a secret's value is in the repository"
    assert key["key"] in secret["stringData"]
    (claim,) = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"] if
                "persistentVolumeClaim" in v]  # fmt: skip
    assert claim == read("persistent-volume-claim.yaml")["metadata"]["name"]
    target = read("horizontal-pod-autoscaler.yaml")["spec"]["scaleTargetRef"]
    deployment = read("deployment.yaml")
    assert target == {
        "apiVersion": deployment["apiVersion"],
        "kind": deployment["kind"],
        "name": deployment["metadata"]["name"],
    }
    assert "replicas" not in deployment["spec"]  # or each apply would undo the autoscaler's


def test_a_pod_may_end_its_answers(pod: Any) -> None:
    (container,) = pod["spec"]["containers"]
    stop = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = ServerSettings().drain_deadline
    assert pod["spec"]["terminationGracePeriodSeconds"] >= stop + drain + 5


def test_the_pod_is_confined(pod: Any) -> None:
    """By the restricted standard of Kubernetes' pod security, and with nothing to write to."""
    spec = pod["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_the_autoscaler_reads_what_the_adapter_makes() -> None:
    (rule,) = read("prometheus-adapter-values.yaml")["rules"]["custom"]
    (metric,) = read("horizontal-pod-autoscaler.yaml")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].startswith("vllm:num_requests_waiting{")
