"""What a chain spec's proofs of computing power have to obey before a chain can run with them."""

from collections.abc import Iterator

from primitives.types import UINT64_MAX
from runtime import runtime
from runtime.pocps.classes import (
    InvalidClass,
    ResourceClass,
    kind_of,
    validate_class,
    validate_together,
)
from runtime.pocps.proof import PPB
from runtime.pocps.provider import CHUNKS_MAX
from runtime.pocps.records import Config
from runtime.pocps.room import Room

AT = "runtime.pocps"
EPOCHS_MAX = 10**6
SWEEP_MAX = 1 << 12
GRANT_EPOCHS_MAX = 10**9

Problem = tuple[str, str]
"""Where, and what it must be."""


def find_problems(config: runtime.Config) -> Iterator[Problem]:
    """Yield what is wrong with a spec's PoCPS; whoever asks stops at the first."""
    pocps = config.pocps
    yield from _timeline_problems(pocps, config.session.epoch_length)
    yield from _range_problems(pocps)
    yield from _class_problems(config)
    yield from _provider_problems(config)


def bonded(pocps: Config) -> int:
    """Return what genesis creates as bonds of providers; the classes are known to be valid."""
    bonds = {each.class_id: each.bond_per_unit for each in pocps.classes}
    return sum(each.units * bonds[each.class_id] for each in pocps.providers)


def _timeline_problems(pocps: Config, epoch_length: int) -> Iterator[Problem]:
    if not pocps.classes and pocps.governor is None:
        # Nothing will ever be proven, so an epoch may be as short as it likes.
        return
    if not 1 <= pocps.commit_deadline < epoch_length:
        yield f"{AT}.commit_deadline", "at least 1 and within the epoch"
    if not pocps.commit_deadline < pocps.sample_block <= pocps.respond_deadline:
        yield f"{AT}.sample_block", "after commit_deadline, at most respond_deadline"
    if pocps.respond_deadline >= epoch_length:
        yield f"{AT}.respond_deadline", "before the last block of the epoch"


def _range_problems(pocps: Config) -> Iterator[Problem]:
    ladder = pocps.ladder
    if not 1 <= pocps.respond_share_ppb <= PPB:
        yield f"{AT}.respond_share_ppb", "1 to 10**9"
    if not 1 <= ladder.window_epochs <= EPOCHS_MAX:
        yield f"{AT}.ladder.window_epochs", f"1 to {EPOCHS_MAX}"
    if not ladder.first_ppb <= ladder.second_ppb <= ladder.third_ppb <= PPB:
        yield f"{AT}.ladder.third_ppb", "at least second_ppb, at least first_ppb, at most 10**9"
    if ladder.jail_epochs > EPOCHS_MAX:
        yield f"{AT}.ladder.jail_epochs", f"at most {EPOCHS_MAX}"
    if pocps.maintenance_epochs_max > EPOCHS_MAX:
        yield f"{AT}.maintenance_epochs_max", f"at most {EPOCHS_MAX}"
    if not 1 <= pocps.chunks_max <= CHUNKS_MAX:
        yield f"{AT}.chunks_max", f"1 to {CHUNKS_MAX}"
    if not 1 <= pocps.sweep_max <= SWEEP_MAX:
        yield f"{AT}.sweep_max", f"1 to {SWEEP_MAX}"
    if not 1 <= pocps.grant_epochs <= GRANT_EPOCHS_MAX:
        yield f"{AT}.grant_epochs", f"1 to {GRANT_EPOCHS_MAX}"


def _class_problems(config: runtime.Config) -> Iterator[Problem]:
    classes = config.pocps.classes
    class_ids = [each.class_id for each in classes]
    if class_ids != sorted(set(class_ids)):
        yield f"{AT}.classes", "sorted by class_id, each once"
    room = Room(config.pocps, runtime.proof_terms(config))
    for index, resource in enumerate(classes):
        where = f"{AT}.classes[{index}]"
        try:
            validate_class(resource)
            room.validate(resource)
        except InvalidClass as error:
            yield where, f"a class that can run, but {error}"
            return
        reward = unit_reward(config, resource)
        if resource.reward_max < reward:
            yield f"{where}.reward_max", f"at least {reward}, which the rule of issuance can pay"
    try:
        granted = sum(grant.operations for grant in config.compute)
        validate_together(classes, granted)
    except InvalidClass as error:
        yield f"{AT}.classes", f"classes that can run together, but {error}"


def unit_reward(config: runtime.Config, resource: ResourceClass) -> int:
    """Return the most that a unit can earn in an epoch at the spec's price, recycling aside."""
    rewards = config.rewards
    price = rewards.base_price_q32 * config.session.epoch_length * rewards.value_cap_ppb
    operations = kind_of(resource).operations_per_unit
    return -(-price * operations // (rewards.operations_per_unit * PPB << 32))


def _provider_problems(config: runtime.Config) -> Iterator[Problem]:
    pocps, room = config.pocps, Room(config.pocps, runtime.proof_terms(config))
    classes = {each.class_id: each for each in pocps.classes}
    order = [(each.class_id, each.account) for each in pocps.providers]
    if order != sorted(set(order)):
        yield f"{AT}.providers", "sorted by class and public key, each once"
    reserved = 0
    for index, each in enumerate(pocps.providers):
        resource = classes.get(each.class_id)
        where = f"{AT}.providers[{index}]"
        if resource is None:
            yield f"{where}.class_id", "the number of a class"
            return
        if not resource.units_min <= each.units <= resource.units_max:
            yield f"{where}.units", f"{resource.units_min} to {resource.units_max}"
        reserved += room.cost(resource)
    for resource in pocps.classes:
        taken = sum(each.class_id == resource.class_id for each in pocps.providers)
        if taken > resource.providers_max:
            yield f"{AT}.providers", f"at most {resource.providers_max} of {resource.name}"
    if reserved > room.window_weight or len(pocps.providers) > room.places_max:
        yield f"{AT}.providers", "no more than can respond, and be settled, in an epoch"
    if bonded(pocps) > UINT64_MAX:
        yield f"{AT}.providers", f"with bonds of at most {UINT64_MAX} base units together"
