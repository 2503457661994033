"""The files of ``docker/`` fit the node: its packages, options, ports, keys and metrics."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from genesis.presets import dev_session_seeds
from node.cli.node import node
from node.config import DEFAULT_PORT, DEFAULT_PROMETHEUS_PORT, DEFAULT_RPC_PORT
from p2p.identity import parse_peer_address, peer_id_of_seed

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
VALIDATORS = ("alice", "bob", "charlie", "dave")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (DOCKER / "Dockerfile").read_text(encoding="utf-8")


def nodes(compose: Any) -> Iterator[tuple[str, Any]]:
    """Yield the services that run our image."""
    for name, service in compose["services"].items():
        if service["image"] == "loopin":
            yield name, service


def test_four_validators_and_a_node_for_rpc_are_composed(compose: Any) -> None:
    assert [name for name, _ in nodes(compose)] == [*VALIDATORS, "rpc"]


def test_every_command_line_is_one_that_the_node_takes(compose: Any) -> None:
    for name, service in nodes(compose):
        command, *arguments = service["command"]
        assert command == "node"

        context = node.make_context("node", list(arguments))

        assert context.params["name"] == name
        assert context.params["chain"] == "local"
        assert context.params["dev_name"] == (name if name in VALIDATORS else None)


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(click.NoSuchOption):
        node.make_context("node", ["--chain=local", "--as-validator=alice"])


def test_boot_nodes_are_the_development_validators_at_their_hosts(compose: Any) -> None:
    wanted = {
        (f"/dns4/{name}/tcp/{DEFAULT_PORT}", peer_id_of_seed(dev_session_seeds(name.title()).peer))
        for name in VALIDATORS
    }

    for _, service in nodes(compose):
        given = [text for text in service["command"] if text.startswith("--bootnodes=")]
        found = {parse_peer_address(text.partition("=")[2]) for text in given}

        assert {(str(address), peer) for peer, address in found} == wanted


def test_every_node_keeps_its_data_in_a_volume_of_its_own(compose: Any) -> None:
    volumes = [volume for _, service in nodes(compose) for volume in service["volumes"]]

    assert volumes == [f"{name}:/data" for name, _ in nodes(compose)]
    assert {volume.partition(":")[0] for volume in volumes} <= set(compose["volumes"])


def test_nodes_run_without_rights(compose: Any, dockerfile: str) -> None:
    for _, service in nodes(compose):
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
    final_stage = dockerfile.rpartition("\nFROM ")[2]
    assert "\nUSER loopin\n" in final_stage


def test_services_are_healthy_when_ready_and_the_image_when_alive(
    compose: Any, dockerfile: str
) -> None:
    for _, service in nodes(compose):
        assert f":{DEFAULT_RPC_PORT}/health/readiness'" in service["healthcheck"]["test"][-1]
    assert f":{DEFAULT_RPC_PORT}/health'" in dockerfile


def test_image_holds_every_package_and_no_other_folder(dockerfile: str) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = settings["tool"]["setuptools"]["packages"]["find"]["include"]

    copied = re.findall(r"^COPY (\w+) \1$", dockerfile, re.MULTILINE)

    assert set(copied) == {name for name in packages if not name.endswith(".*")}


def test_image_exposes_the_ports_that_the_node_takes_by_default(dockerfile: str) -> None:
    (line,) = re.findall(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE)

    assert line.split() == [str(DEFAULT_PORT), str(DEFAULT_RPC_PORT), str(DEFAULT_PROMETHEUS_PORT)]


def test_prometheus_scrapes_every_node(compose: Any) -> None:
    settings = yaml.safe_load((DOCKER / "prometheus.yml").read_text(encoding="utf-8"))

    (job,) = settings["scrape_configs"]
    (static,) = job["static_configs"]

    assert static["targets"] == [f"{name}:{DEFAULT_PROMETHEUS_PORT}" for name, _ in nodes(compose)]
    for _, service in nodes(compose):
        assert "--prometheus-host=0.0.0.0" in service["command"]


def test_monitoring_is_asked_for_and_its_files_are_there(compose: Any) -> None:
    for name in ("prometheus", "grafana"):
        service = compose["services"][name]
        assert service["profiles"] == ["monitoring"]
        sources = [volume.partition(":")[0] for volume in service["volumes"]]
        assert all((DOCKER / source).exists() for source in sources if source.startswith("."))


def test_provisioned_dashboards_are_where_the_container_has_them(compose: Any) -> None:
    provider = DOCKER / "grafana" / "provisioning" / "dashboards" / "loopin.yml"
    (entry,) = yaml.safe_load(provider.read_text(encoding="utf-8"))["providers"]

    targets = [volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]]

    assert f"{entry['options']['path']}/loopin.json" in targets


def test_dashboard_is_one_that_can_be_imported() -> None:
    board = json.loads((DOCKER / "grafana" / "loopin.json").read_text(encoding="utf-8"))

    panels = board["panels"]
    assert board["id"] is None
    assert board["uid"]
    assert board["schemaVersion"] >= 36
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        refs = [target["refId"] for target in panel["targets"]]
        assert len(set(refs)) == len(refs) > 0
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_panels_do_not_lie_on_each_other() -> None:
    board = json.loads((DOCKER / "grafana" / "loopin.json").read_text(encoding="utf-8"))

    cells: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & own
        cells |= own
