"""The providers of a devnet before anything runs: accounts, behaviour, units, and the rules.

The first providers of the list belong to the validators, in their order; validators beyond the
list prove honestly, providers beyond the validators only prove. So whoever is caught among the
first loses its vote as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from genesis.presets import CPU_CLASS, small_pocps_config
from genesis.spec import ChainSpec
from node.devnet.behaviours import HONEST, Behaviour, Conduct
from node.devnet.foul_worker import Foul
from primitives.crypto import KeyPair
from primitives.derivation import derive_key_pair
from primitives.types import AccountId, Millis, Operations
from runtime.pocps.classes import kind_of
from runtime.power import ComputeGrant
from runtime.session import Config as SessionConfig

EPOCH_LENGTH = 24
"""Blocks: at a second each, who cheats is caught within the first minute."""
GRANT_EPOCHS = 2
"""Epochs in which the spec's grants count: providers register in the first, owe from the second."""
UNITS = 20
SLOW_UNITS = 10
SLOW_SHARE = 0.5
"""Of the commit window, that a slow provider takes for its proof."""
SHARED_SHARE = 0.7
"""Of the commit window, that a shared device takes for one proof; it cannot make two."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """Which providers a devnet has, and how long its epochs are."""

    behaviours: tuple[Behaviour, ...]
    epoch_length: int = EPOCH_LENGTH


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """One provider of the devnet."""

    name: str
    behaviour: Behaviour
    uri: str
    """A development key, such as ``//Provider//0``, which everybody knows."""
    folder: Path
    validator: str | None
    """The node that validates with the same account; None for a provider that only proves."""
    foul: Foul | None
    """None for the program that everybody runs."""
    class_id: int = CPU_CLASS.class_id

    @property
    def pair(self) -> KeyPair:
        return derive_key_pair(self.uri)

    @property
    def account(self) -> AccountId:
        return AccountId(self.pair.public)

    @property
    def units(self) -> int:
        return SLOW_UNITS if self.behaviour.conduct is Conduct.SLOW else UNITS

    def worker_arguments(self) -> tuple[str, ...]:
        """Return the arguments of the interpreter that runs its worker."""
        if self.foul is None:
            return ("-m", "miner.worker")
        return ("-m", "node.devnet.foul_worker", self.foul.to_text())


def plan_providers(
    folder: Path,
    simulation: Simulation,
    *,
    validators: Sequence[str],
    block_interval: Millis,
) -> tuple[ProviderPlan, ...]:
    """Return the providers: those asked for, and honest ones for the validators beyond them."""
    missing = max(0, len(validators) - len(simulation.behaviours))
    wanted = [*simulation.behaviours, *[Behaviour(Conduct.FAST)] * missing]
    deadline = small_pocps_config(simulation.epoch_length).commit_deadline
    window_seconds = deadline * block_interval / 1000
    plans = []
    for index, behaviour in enumerate(wanted):
        name = f"provider-{index}"
        plans.append(
            ProviderPlan(
                name,
                behaviour,
                provider_uri(index),
                folder / name,
                validators[index] if index < len(validators) else None,
                _foul(folder, behaviour, _victim(wanted, index), window_seconds),
            )
        )
    return tuple(plans)


def provider_uri(index: int) -> str:
    """Return the development key of a devnet's provider."""
    return f"//Provider//{index}"


def with_providers(
    spec: ChainSpec, plans: Sequence[ProviderPlan], *, epoch_length: int
) -> ChainSpec:
    """Return the spec of a chain on which votes follow proofs, after a short start."""
    per_unit = kind_of(CPU_CLASS).operations_per_unit
    grants = sorted(
        (
            # What each is about to prove: votes then follow proofs without a jump.
            ComputeGrant(plan.account, Operations(plan.units * per_unit))
            for plan in plans
            if plan.validator is not None
        ),
        key=lambda grant: grant.account,
    )
    pocps = replace(small_pocps_config(epoch_length), grant_epochs=GRANT_EPOCHS)
    session = SessionConfig(epoch_length=epoch_length)
    runtime = replace(spec.runtime, session=session, pocps=pocps, compute=tuple(grants))
    return replace(spec, runtime=runtime)


def _victim(wanted: Sequence[Behaviour], copier: int) -> str:
    """Return whose leaves a copier takes: an honest provider's, else its neighbour's."""
    honest = [at for at, each in enumerate(wanted) if each.conduct in HONEST and at != copier]
    at = honest[0] if honest else (copier + 1) % len(wanted)
    return derive_key_pair(provider_uri(at)).public.hex()


def _foul(folder: Path, behaviour: Behaviour, victim: str, window_seconds: float) -> Foul | None:
    match behaviour.conduct:
        case Conduct.FAST:
            return None
        case Conduct.SLOW:
            return Foul(behaviour.conduct, pace_seconds=SLOW_SHARE * window_seconds)
        case Conduct.TWIN:
            device = folder / f"device-{behaviour.group}.lock"
            pace = SHARED_SHARE * window_seconds
            return Foul(behaviour.conduct, pace_seconds=pace, device=str(device))
        case Conduct.COPIER:
            return Foul(behaviour.conduct, victim=victim)
        case _:
            return Foul(behaviour.conduct, skipped_ppb=behaviour.skipped_ppb)
