"""``loopin node``: what its options make of a node's settings, without starting one."""

from pathlib import Path

import pytest

from genesis.presets import CPU_CLASS, DEV_UNITS
from genesis.spec import ChainSpec
from node.config import NodeConfig
from node.provider.supervisor import ProviderConfig
from tests.node.cli.running import invoke


@pytest.fixture
def provided(monkeypatch: pytest.MonkeyPatch) -> list[ProviderConfig | None]:
    """Provider's settings of each node that would have been started."""
    found: list[ProviderConfig | None] = []

    async def take(config: NodeConfig, _: ChainSpec, *__: object) -> None:
        found.append(config.provider)

    monkeypatch.setattr("node.cli.node._run_until_told_to_stop", take)
    # Both are for a whole process, which here is that of the tests.
    monkeypatch.setattr("node.cli.node.configure_logs", lambda _: None)
    monkeypatch.setattr("node.cli.node.share_one_arena", lambda: None)
    return found


def test_a_development_chains_provider_stakes_the_units_of_the_preset(
    provided: list[ProviderConfig | None],
) -> None:
    result = invoke("node", "--dev", "--provider")

    assert result.code == 0, result.err
    (provider,) = provided
    assert provider is not None
    assert (provider.class_ids, provider.units) == ((CPU_CLASS.class_id,), DEV_UNITS)
    assert provider.key == ("--key", "//Alice")


def test_a_development_chains_provider_stakes_what_was_given_instead(
    provided: list[ProviderConfig | None],
) -> None:
    units, class_id = DEV_UNITS + 1, CPU_CLASS.class_id + 1

    result = invoke(
        "node", "--dev", "--provider", "--provider-units", units, "--provider-class", class_id
    )

    assert result.code == 0, result.err
    (provider,) = provided
    assert provider is not None
    assert (provider.class_ids, provider.units) == ((class_id,), units)


def test_a_provider_on_another_chain_stakes_nothing_by_itself(
    provided: list[ProviderConfig | None], tmp_path: Path
) -> None:
    result = invoke(
        *("node", "--chain", "local", "--base-path", tmp_path),
        *("--provider", "--provider-key", "//Bob"),
    )

    assert result.code == 0, result.err
    (provider,) = provided
    assert provider is not None
    assert provider.units is None


def test_a_node_proves_nothing_unless_it_is_told_to(
    provided: list[ProviderConfig | None],
) -> None:
    result = invoke("node", "--dev")

    assert result.code == 0, result.err
    assert provided == [None]
