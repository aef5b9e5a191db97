"""deploy/kubernetes against the schemas of Kubernetes itself, strictly; and against what the images and the service have."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from noisegate.store.settings import Settings
from tests.service.conftest import run_client, settings_in

ROOT = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSIONS = ("1.33", "1.37")
OWN_KINDS = {"Kustomization", "Component"}
# Of KEDA, whose schema Kubernetes does not have.
OTHERS = {"ScaledObject"}


def documents(folder: str = "") -> list[tuple[str, dict[str, Any]]]:
    return [
        (path.relative_to(ROOT).as_posix(), document)
        for path in sorted((ROOT / folder).rglob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]


def of_kind(kind: str, folder: str = "base") -> list[dict[str, Any]]:
    return [document for _, document in documents(folder) if document["kind"] == kind]


def containers() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for kind in ("Deployment", "Job"):
        for document in of_kind(kind):
            pod = document["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge as far as the patches here need it: lists of what has a name are merged by that."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return base | {key: merged(base.get(key), value) for key, value in patch.items()}
    if isinstance(base, list) and isinstance(patch, list) and all("name" in one for one in [*base, *patch]):
        by_name = {one["name"]: one for one in base}
        return list({**by_name, **{one["name"]: merged(by_name.get(one["name"]), one) for one in patch}}.values())
    return patch


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid(version: str) -> None:
    checked = [(path, one) for path, one in documents() if one["kind"] not in OWN_KINDS | OTHERS]
    assert len(checked) >= 10
    (worker,) = (one for one in of_kind("Deployment") if one["metadata"]["name"] == "noisegate-worker")
    for path, one in checked:
        whole = merged(worker, one) if path == "components/gpu/worker.yaml" else one
        kubernetes_validate.validate(whole, version, strict=True)


def test_what_is_wrong_would_be_seen() -> None:
    (budget,) = of_kind("PodDisruptionBudget")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(budget | {"spec": {"minAvailible": 1}}, VERSIONS[-1], strict=True)


def test_what_kubectl_makes_of_the_example_is_valid(tmp_path: Path) -> None:
    """As the page says: a copy with three secrets. Names of what is generated are those that the pods ask for."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on this machine")
    shutil.copytree(ROOT, tmp_path / "kubernetes")
    ours = tmp_path / "kubernetes" / "ours"
    shutil.copytree(ROOT / "example", ours)
    (ours / "secrets").mkdir()
    for name in ("database_password", "broker_password", "s3_credentials"):
        (ours / "secrets" / name).write_text("secret")
    made = subprocess.run([kubectl, "kustomize", str(ours)], capture_output=True, text=True, timeout=60)
    assert not made.returncode, made.stderr
    whole = list(yaml.safe_load_all(made.stdout))
    for one in whole:
        if one["kind"] not in OTHERS:
            kubernetes_validate.validate(one, VERSIONS[0], strict=True)
    assert {one["metadata"]["namespace"] for one in whole} == {"noisegate"}
    generated = {(one["kind"], one["metadata"]["name"]) for one in whole if one["kind"] in ("ConfigMap", "Secret")}
    worker = next(one for one in whole if one["metadata"]["name"] == "noisegate-worker" and one["kind"] == "Deployment")
    pod = worker["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == "registry.example.com/noisegate-worker:1"
    assert container["resources"]["limits"]["nvidia.com/gpu"]
    asked = {("ConfigMap", one["configMapRef"]["name"]) for one in container["envFrom"] if "configMapRef" in one}
    asked |= {("Secret", one["secret"]["secretName"]) for one in pod["volumes"] if "secret" in one}
    assert asked == generated


def test_every_file_is_part_of_a_kustomization() -> None:
    named = set()
    for path, one in documents():
        if one["kind"] in OWN_KINDS:
            folder = (ROOT / path).parent
            parts = [
                *one.get("resources", []),
                *one.get("components", []),
                *(p["path"] for p in one.get("patches", [])),
            ]
            named |= {(folder / part).resolve() for part in parts}
    assert all(path.exists() for path in named)
    files = {path.resolve() for path in ROOT.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files <= named


def test_settings_exist_and_secrets_are_mounted_where_they_are_read() -> None:
    (config,) = of_kind("ConfigMap")
    known = {f"NOISEGATE_{name.upper()}" for name in Settings.model_fields}
    named = {name for name in config["data"] if name.startswith("NOISEGATE_")}
    named |= {one["name"] for _, container in containers() for one in container.get("env", [])}
    assert named <= known
    files = {Path(value) for name, value in config["data"].items() if name.endswith("_FILE")}
    (secret,) = of_kind("Kustomization", "example")[0]["secretGenerator"]
    assert {path.name for path in files} == {Path(name).name for name in secret["files"]}
    for pod, container in containers():
        mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
        assert {str(path.parent) for path in files} <= mounts.keys()
        assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}


def test_nothing_runs_as_root_or_can_write_where_it_should_not() -> None:
    for pod, container in containers():
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"]


def test_probes_ask_what_the_service_answers(tmp_path: Path, migrated_database: Path, broker_url: str) -> None:
    asked = [
        container[probe]["httpGet"]
        for _, container in containers()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
        if "httpGet" in container.get(probe, {})
    ]
    assert len(asked) == 3
    settings = settings_in(tmp_path / "data", migrated_database, broker_url)
    elsewhere = settings.model_copy(update={"allowed_hosts": ("noisegate.example.com",)})
    with run_client(elsewhere) as client:
        for probe in asked:
            headers = {one["name"]: one["value"] for one in probe["httpHeaders"]}
            assert client.get(probe["path"], headers=headers).status_code == 200


def test_workers_are_scaled_by_a_gauge_that_there_is(tmp_path: Path, migrated_database: Path, broker_url: str) -> None:
    (scaled,) = of_kind("ScaledObject", "components/keda")
    names = {one["metadata"]["name"] for one in of_kind("Deployment")}
    assert scaled["spec"]["scaleTargetRef"]["name"] in names
    (trigger,) = scaled["spec"]["triggers"]
    series = re.findall(r'noisegate_\w+{state="\w+"}', trigger["metadata"]["query"])
    assert len(series) == 2
    with run_client(settings_in(tmp_path / "data", migrated_database, broker_url)) as client:
        told = client.get("/metrics").text
    assert all(f"\n{one} " in told for one in series)
