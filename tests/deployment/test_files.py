"""What docker-compose.yml, the Dockerfile and deploy/ promise, read from the files; that it comes up is shown by `make lab`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from noisegate.local.running import WORKER_GRACE_SECONDS
from noisegate.store.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
ELSEWHERE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "worker.yml").read_text())
CONTAINERS = {**COMPOSE["services"], **{f"{name} elsewhere": one for name, one in ELSEWHERE["services"].items()}}
OURS = {name: one for name, one in CONTAINERS.items() if "build" in one}


def seconds(words: str) -> int:
    return int(words.removesuffix("s"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert container["init"] is True
    assert "mem_limit" in container
    assert container["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert not {"privileged", "network_mode", "pid"} & set(container)
    assert not any("docker.sock" in str(volume) for volume in container["volumes"])
    assert (set(container.get("cap_add", [])) == set()) is (name in OURS)


@pytest.mark.parametrize("name", ["database", "broker"])
def test_only_the_service_is_published_and_on_the_loopback_interface(name: str) -> None:
    assert [one for one, container in COMPOSE["services"].items() if "ports" in container] == ["service"]
    assert COMPOSE["services"]["service"]["ports"] == ["${NOISEGATE_PUBLISH:-127.0.0.1:8000}:8000"]
    assert COMPOSE["services"][name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


def test_passwords_come_as_files_and_nowhere_else() -> None:
    secrets = {**COMPOSE["secrets"], **ELSEWHERE["secrets"]}
    assert all(set(secret) == {"file"} for secret in secrets.values())
    assert "secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    for file in ("docker-compose.yml", "deploy/worker.yml", "deploy/s3.yml", ".env.example"):
        values = re.findall(
            r"(?im)^[^#\n]*\b\w*(?:password|secret|token)\w*\s*[:=][ \t]*(\S+)", (ROOT / file).read_text()
        )
        assert [value for value in values if not re.match(r"/run/secrets/|\[|\{", value)] == [], file


def test_a_worker_is_given_longer_to_end_than_it_needs() -> None:
    graces = [seconds(one["stop_grace_period"]) for name, one in CONTAINERS.items() if name.startswith("worker")]
    assert len(graces) == 4
    assert min(graces) > WORKER_GRACE_SECONDS


@pytest.mark.parametrize("target", ["service", "worker"])
def test_images_run_as_nobody_special(target: str) -> None:
    stage = re.search(rf"(?ms)^FROM \w+ AS {target}$(.*?)(?=^FROM|\Z)", (ROOT / "Dockerfile").read_text())
    assert stage is not None
    lines = stage[1].splitlines()
    assert "USER 10001:10001" in lines
    (command,) = [line for line in lines if line.startswith("CMD ")]
    assert command.startswith('CMD ["python", "-m", ')
    assert any(line.startswith("HEALTHCHECK") for line in lines)


def test_every_setting_that_the_files_name_is_one() -> None:
    known = {f"NOISEGATE_{name.upper()}" for name in Settings.model_fields} | {"NOISEGATE_URL"}
    for container in OURS.values():
        assert {one for one in container["environment"] if one.startswith("NOISEGATE_")} <= known


def test_every_variable_in_the_example_is_used() -> None:
    compose = "".join(
        (ROOT / name).read_text()
        for name in ("docker-compose.yml", "deploy/s3.yml", "deploy/open.yml", "deploy/worker.yml")
    )
    settings = {f"NOISEGATE_{name.upper()}" for name in Settings.model_fields}
    named = set(re.findall(r"(?m)^#?([A-Z_]+)=", (ROOT / ".env.example").read_text()))
    assert len(named) > 8
    of_others = {"COMPOSE_FILE", "COMPOSE_PROFILES", "OTEL_EXPORTER_OTLP_ENDPOINT"}
    assert [name for name in named - settings - of_others if f"{{{name}" not in compose] == []
