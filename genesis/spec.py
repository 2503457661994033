"""The chain spec: everything that nodes must agree on before the first block, as strict JSON.

Invariants: the spec is complete (no defaults), an unknown or repeated key is an error, nothing is
read from a clock. It is parsed and validated once; afterwards its values are trusted. The genesis
hash covers every value. A key that starts with ``//`` holds a remark for people: it may stand
beside any value and is no part of the spec.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import chain
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from genesis import jobs_rules, pocps_rules, pools_rules
from genesis.pocps_rules import bonded
from primitives.block import BLOCK_BYTES_MAX, EXTRINSIC_BYTES_MAX
from primitives.codec import Plain, encode
from primitives.crypto import Purpose, keyed_hash
from primitives.errors import ConfigError, DecodeError
from primitives.power_table import VALIDATORS_MAX, InvalidPowerTable, PowerTable, Validator
from primitives.ss58 import decode_account, encode_address
from primitives.types import (
    UINT64_MAX,
    AccountId,
    Balance,
    Digest,
    Millis,
    Operations,
    PublicKey,
    VotingPower,
)
from primitives.vrf import InvalidVrfKey, validate_public_key
from runtime import runtime
from runtime.fees import PPB
from runtime.pools.pricing import ONE_Q16, ParameterOutOfRange
from runtime.power import voting_power
from runtime.rewards import Config as Rewards
from runtime.staking.ledger import CHUNKS_MAX, NOMINATORS_MAX, VESTING_EPOCHS_MAX
from runtime.staking.module import UNBONDING_EPOCHS_MAX

SPEC_BYTES_MAX = 1 << 26
ACCOUNTS_MAX = 1 << 20
LIVE = "live"
CHAIN_TYPES = ("development", "local", LIVE)
BOOT_NODES_MAX = 64
EPOCH_LENGTH_MAX = 10**6
JAIL_EPOCHS_MAX = 10**6
BLOCK_LENGTH_MAX = BLOCK_BYTES_MAX - (1 << 16)
"""Leaves room for the header and the lengths of the extrinsics."""
TEXT_MAX = 256
GENESIS_TIME_MAX = 253_402_300_800_000
"""The year 10000; it leaves room above for every later block."""
EXTRINSIC_LENGTH_MIN = 256
"""Enough for the inherents, without which there is no block, and for a transfer."""
BLOCK_WEIGHT_MIN = 1_000_000
_MINUTE = 60_000
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,19}")
_HEX = re.compile(r"0x[0-9a-f]{64}")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_BOOT_NODE = re.compile(r"(/[a-z0-9]+/[^/\s]+)+/p2p/[1-9A-HJ-NP-Za-km-z]{32,64}")


class InvalidSpec(ConfigError):
    """The chain spec is not complete, not well formed or out of range; the message says where."""


@dataclass(frozen=True, slots=True)
class Consensus:
    """Timing of the agreement; all validators must share it, or they time each other out."""

    block_interval: Millis
    """Least time between a block's timestamp and its parent's."""
    leader_timeout: Millis
    """How long a validator waits in a view for its leader's proposal."""
    advance_timeout: Millis
    """How long it waits for the view's votes."""
    clock_drift_max: Millis
    """A block from further in the future than this gets no vote."""


@dataclass(frozen=True, slots=True)
class Endowment:
    account: AccountId
    amount: Balance


@dataclass(frozen=True, slots=True)
class Member:
    """A validator of epoch 0."""

    account: AccountId
    consensus_key: PublicKey
    vrf_key: PublicKey
    peer_key: PublicKey
    bond: Balance
    """At stake from genesis on, in base units; exists beside the account's balance."""


@dataclass(frozen=True, slots=True)
class ChainSpec:
    """A whole chain spec."""

    id: str
    """Names the chain's folder on disk; letters, digits, ``-`` and ``_``."""
    name: str
    chain_type: str
    ss58_prefix: int
    token_symbol: str
    token_decimals: int
    genesis_time: Millis
    genesis_randomness: Digest
    consensus: Consensus
    runtime: runtime.Config
    balances: tuple[Endowment, ...]
    validators: tuple[Member, ...]
    boot_nodes: tuple[str, ...]
    """Multiaddresses, each ending in ``/p2p/<peer id>``."""

    @property
    def hash(self) -> Digest:
        """Hash of every value of the spec; the parent hash of the genesis block."""
        return keyed_hash(Purpose.GENESIS, encode(_plain(self)))

    def power_table(self) -> PowerTable:
        """Return who votes in epoch 0."""
        granted = {grant.account: grant.operations for grant in self.runtime.compute}

        def entry(member: Member) -> Validator:
            weight = voting_power(member.bond, granted.get(member.account, Operations(0)))
            return Validator(
                member.account, member.consensus_key, member.vrf_key, weight, member.peer_key
            )

        return PowerTable(tuple(entry(member) for member in self.validators))

    def to_json(self) -> str:
        """Return the text from which ``parse_spec`` makes an equal spec."""
        return json.dumps(_jsonable(self, self.ss58_prefix), indent=2) + "\n"


def load_spec(path: Path) -> ChainSpec:
    """Return the spec in the file at ``path``. Raises: InvalidSpec."""
    try:
        if path.stat().st_size > SPEC_BYTES_MAX:
            raise InvalidSpec(f"{path} is larger than {SPEC_BYTES_MAX} bytes")
        text = path.read_text("utf-8")
    except OSError as error:
        raise InvalidSpec(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidSpec(f"{path} is not UTF-8 text") from error
    try:
        return parse_spec(text)
    except InvalidSpec as error:
        raise InvalidSpec(f"{path}: {error}") from error


def parse_spec(text: str) -> ChainSpec:
    """Return the spec that ``text`` describes. Raises: InvalidSpec."""
    try:
        plain = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise InvalidSpec(f"not JSON: {error}") from error
    prefix = plain.get("ss58_prefix") if isinstance(plain, dict) else None
    spec = _Reader(prefix if isinstance(prefix, int) else 42).read(ChainSpec, plain, "")
    assert isinstance(spec, ChainSpec)
    validate_spec(spec)
    return spec


def validate_spec(spec: ChainSpec) -> None:
    """Refuse values that no chain could run with. Raises: InvalidSpec."""
    _require(spec.chain_type in CHAIN_TYPES, "chain_type", f"one of {', '.join(CHAIN_TYPES)}")
    is_name = spec.id != "" and all(c.isascii() and (c.isalnum() or c in "-_") for c in spec.id)
    _require(is_name and len(spec.id) <= 64, "id", "1 to 64 letters, digits, - and _")
    _require(spec.name != "", "name", "a text that is not empty")
    _require(spec.ss58_prefix < 16384, "ss58_prefix", "at most 16383")
    is_symbol = 1 <= len(spec.token_symbol) <= 12 and spec.token_symbol.isalnum()
    _require(is_symbol and spec.token_symbol.isascii(), "token_symbol", "1 to 12 letters or digits")
    _require(spec.token_decimals <= 18, "token_decimals", "at most 18")
    _require(spec.genesis_time <= GENESIS_TIME_MAX, "genesis_time", f"at most {GENESIS_TIME_MAX}")
    _require(any(spec.genesis_randomness), "genesis_randomness", "not all zero")
    _validate_consensus(spec.consensus)
    _validate_runtime(spec.runtime)
    _validate_accounts(spec)
    if spec.chain_type == LIVE:
        for rules in (pools_rules, jobs_rules):
            for where, wanted in rules.find_live_problems(spec.runtime):
                raise InvalidSpec(f"{where}: must be {wanted}")


def _validate_consensus(consensus: Consensus) -> None:
    for name in ("block_interval", "leader_timeout", "advance_timeout", "clock_drift_max"):
        value = getattr(consensus, name)
        _require(1 <= value <= 10 * _MINUTE, f"consensus.{name}", "1 ms to 10 minutes")
    is_patient = consensus.leader_timeout > consensus.block_interval
    _require(is_patient, "consensus.leader_timeout", "longer than block_interval")
    ordered = consensus.advance_timeout >= consensus.leader_timeout
    _require(ordered, "consensus.advance_timeout", "at least leader_timeout")


def _validate_runtime(config: runtime.Config) -> None:
    system, fees = config.system, config.fees
    at = "runtime.system"
    _require(1 <= system.spec_version < 2**32, f"{at}.spec_version", "1 to 2**32 - 1")
    fits = 1024 <= system.block_length_max <= BLOCK_LENGTH_MAX
    _require(fits, f"{at}.block_length_max", f"1024 to {BLOCK_LENGTH_MAX}")
    longest = min(EXTRINSIC_BYTES_MAX, system.block_length_max)
    fits = EXTRINSIC_LENGTH_MIN <= system.extrinsic_length_max <= longest
    wanted = f"{EXTRINSIC_LENGTH_MIN} to {EXTRINSIC_BYTES_MAX}, and within a block"
    _require(fits, f"{at}.extrinsic_length_max", wanted)
    _require(system.extrinsic_weight >= 1, f"{at}.extrinsic_weight", "at least 1")
    lightest = max(BLOCK_WEIGHT_MIN, 10 * system.extrinsic_weight)
    roomy = lightest <= system.block_weight_max <= 60 * PPB
    _require(roomy, f"{at}.block_weight_max", "1 ms and 10 extrinsic weights to 60 s")
    deposit = config.balances.existential_deposit
    _require(deposit >= 1, "runtime.balances.existential_deposit", "at least 1")
    at = "runtime.fees"
    ordered = 1 <= fees.base_fee_min_ppb <= fees.base_fee_max_ppb <= 10**15
    _require(ordered, f"{at}.base_fee_min_ppb", "1 or more, at most base_fee_max_ppb <= 10**15")
    within = 1 <= fees.target_fullness_ppb < PPB
    _require(within, f"{at}.target_fullness_ppb", "above 0, below 10**9")
    _require(fees.burned_ppb <= PPB, f"{at}.burned_ppb", "at most 10**9")
    _require(fees.fee_per_weight_ppb <= 10**12, f"{at}.fee_per_weight_ppb", "at most 10**12")
    _require(fees.fee_per_byte <= 10**9, f"{at}.fee_per_byte", "at most 10**9")
    length = config.session.epoch_length
    _require(1 <= length <= EPOCH_LENGTH_MAX, "runtime.session.epoch_length", "1 to 10**6")
    _validate_staking(config)
    _validate_rewards(config.rewards)
    _validate_compute(config)
    for where, wanted in chain(
        pocps_rules.find_problems(config),
        pools_rules.find_problems(config),
        jobs_rules.find_problems(config),
    ):
        raise InvalidSpec(f"{where}: must be {wanted}")


def _validate_staking(config: runtime.Config) -> None:
    staking, offences = config.staking, config.offences
    at, least = "runtime.staking", staking.nominator_bond_min
    _require(least >= 1, f"{at}.nominator_bond_min", "at least 1")
    ordered = staking.validator_bond_min >= least
    _require(ordered, f"{at}.validator_bond_min", "at least nominator_bond_min")
    limits = {
        "validators_max": VALIDATORS_MAX,
        "nominators_max": NOMINATORS_MAX,
        "chunks_max": CHUNKS_MAX,
        "unbonding_epochs": UNBONDING_EPOCHS_MAX,
        "vesting_epochs": VESTING_EPOCHS_MAX,
    }
    for name, highest in limits.items():
        within = 1 <= getattr(staking, name) <= highest
        _require(within, f"{at}.{name}", f"1 to {highest}")
    at = "runtime.offences"
    _require(offences.equivocation_ppb <= PPB, f"{at}.equivocation_ppb", "at most 10**9")
    _require(offences.reporter_ppb < PPB, f"{at}.reporter_ppb", "below 10**9")
    within = offences.jail_epochs <= JAIL_EPOCHS_MAX
    _require(within, f"{at}.jail_epochs", f"at most {JAIL_EPOCHS_MAX}")


def _validate_rewards(rewards: Rewards) -> None:
    at = "runtime.rewards"
    try:
        rewards.parameters()
    except ParameterOutOfRange as error:
        raise InvalidSpec(f"{at}: {error}") from error
    units = rewards.operations_per_unit >= 1
    _require(units, f"{at}.operations_per_unit", "at least 1")
    _require(1 <= rewards.target_q16 <= ONE_Q16, f"{at}.target_q16", f"1 to {ONE_Q16}")
    shared = rewards.author_ppb + rewards.voter_ppb <= PPB
    _require(shared, f"{at}.author_ppb", "with voter_ppb at most 10**9")
    _require(1 <= rewards.ramp_epochs < 2**32, f"{at}.ramp_epochs", "1 to 2**32 - 1")


def _validate_compute(config: runtime.Config) -> None:
    grants = config.compute
    accounts = [grant.account for grant in grants]
    _require(len(grants) <= ACCOUNTS_MAX, "runtime.compute", f"at most {ACCOUNTS_MAX}")
    wanted = "sorted by public key, each account once"
    _require(accounts == sorted(set(accounts)), "runtime.compute", wanted)
    total = sum(grant.operations for grant in grants)
    _require(total <= UINT64_MAX, "runtime.compute", f"at most {UINT64_MAX} operations together")


def _validate_accounts(spec: ChainSpec) -> None:
    owners = [endowment.account for endowment in spec.balances]
    _require(len(owners) <= ACCOUNTS_MAX, "balances", f"at most {ACCOUNTS_MAX}")
    _require(owners == sorted(set(owners)), "balances", "sorted by public key, each account once")
    deposit = spec.runtime.balances.existential_deposit
    for index, endowment in enumerate(spec.balances):
        where = f"balances[{index}].amount"
        _require(endowment.amount >= deposit, where, f"at least {deposit}, the existential deposit")
    bonds = sum(member.bond for member in spec.validators) + bonded(spec.runtime.pocps)
    endowed = sum(endowment.amount for endowment in spec.balances)
    total = endowed + bonds + spec.runtime.rewards.pot
    wanted = f"with bonds and runtime.rewards.pot at most {UINT64_MAX} base units together"
    _require(total <= UINT64_MAX, "balances", wanted)
    _validate_validators(spec)
    _require(len(spec.boot_nodes) <= BOOT_NODES_MAX, "boot_nodes", f"at most {BOOT_NODES_MAX}")
    for index, address in enumerate(spec.boot_nodes):
        is_address = _BOOT_NODE.fullmatch(address) is not None
        _require(is_address, f"boot_nodes[{index}]", "a multiaddress that ends in /p2p/<peer id>")


def _validate_validators(spec: ChainSpec) -> None:
    _require(1 <= len(spec.validators) <= VALIDATORS_MAX, "validators", f"1 to {VALIDATORS_MAX}")
    try:
        spec.power_table()
    except InvalidPowerTable as error:
        raise InvalidSpec(f"validators: {error}") from error
    peers = {member.peer_key for member in spec.validators}
    _require(len(peers) == len(spec.validators), "validators", "each with a peer_key of its own")
    keys = [{m.consensus_key, m.vrf_key, m.peer_key} for m in spec.validators]
    apart = len(set().union(*keys)) == sum(len(each) for each in keys)
    _require(apart, "validators", "without a key in common")
    staking = spec.runtime.staking
    roomy = len(spec.validators) <= staking.validators_max
    _require(roomy, "validators", f"at most {staking.validators_max}, as runtime.staking says")
    for index, member in enumerate(spec.validators):
        enough = member.bond >= staking.validator_bond_min
        least = f"at least {staking.validator_bond_min}, as runtime.staking says"
        _require(enough, f"validators[{index}].bond", least)
        for name in ("consensus_key", "vrf_key", "peer_key"):
            try:
                validate_public_key(getattr(member, name))
            except InvalidVrfKey as error:
                where = f"validators[{index}].{name}"
                raise InvalidSpec(f"{where}: must be an ed25519 key, this is {error}") from error


def _require(holds: bool, where: str, wanted: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not holds:
        raise InvalidSpec(f"{where}: must be {wanted}")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    kept = [(key, value) for key, value in pairs if not key.startswith("//")]
    if len({key for key, _ in kept}) != len(kept):
        raise InvalidSpec(f"a key stands twice among {', '.join(key for key, _ in kept)}")
    return dict(kept)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes typed values of parsed JSON, naming the place of whatever does not fit."""

    prefix: int

    def read(self, kind: Any, plain: Any, where: str) -> Any:
        if _is_optional(kind):
            return None if plain is None else self.read(_present(kind), plain, where)
        if is_dataclass(kind):
            return self._read_struct(kind, plain, where)
        if get_origin(kind) is tuple:
            if not isinstance(plain, list):
                raise InvalidSpec(f"{where}: a list is wanted")
            item = get_args(kind)[0]
            return tuple(self.read(item, v, f"{where}[{i}]") for i, v in enumerate(plain))
        if kind in (Balance, VotingPower):
            if not isinstance(plain, str) or not _DECIMAL.fullmatch(plain):
                raise InvalidSpec(f"{where}: an amount in base units as a decimal string is wanted")
            return self._in_range(int(plain), where)
        if kind is AccountId:
            return self._read_address(plain, where)
        if kind in (Digest, PublicKey):
            return _read_hex(plain, where)
        if kind is str:
            if not isinstance(plain, str) or _SURROGATE.search(plain) or len(plain) > TEXT_MAX:
                raise InvalidSpec(f"{where}: a text of at most {TEXT_MAX} characters is wanted")
            return plain
        if type(plain) is not int:
            raise InvalidSpec(f"{where}: a whole number is wanted")
        return self._in_range(plain, where)

    def _read_struct(self, kind: Any, plain: Any, where: str) -> Any:
        if not isinstance(plain, dict):
            raise InvalidSpec(f"{where or 'the spec'}: an object is wanted")
        hints = get_type_hints(kind)
        names = [field.name for field in fields(kind)]
        assert all(field.default is MISSING for field in fields(kind)), "a spec has no defaults"
        dot = f"{where}." if where else ""
        for name in names:
            if name not in plain:
                raise InvalidSpec(f"{dot}{name} is missing")
        for name in plain:
            if name not in names:
                raise InvalidSpec(f"{dot}{name} is not a key of a chain spec")
        return kind(**{name: self.read(hints[name], plain[name], dot + name) for name in names})

    def _read_address(self, plain: Any, where: str) -> AccountId:
        try:
            if not isinstance(plain, str):
                raise InvalidSpec(f"{where}: an SS58 address is wanted")
            return decode_account(plain, self.prefix)
        except DecodeError as error:
            raise InvalidSpec(f"{where}: {error}") from error

    def _in_range(self, value: int, where: str) -> int:
        if not 0 <= value <= UINT64_MAX:
            raise InvalidSpec(f"{where}: 0 to 2**64 - 1 is wanted")
        return value


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and NoneType in get_args(kind)


def _present(kind: Any) -> Any:
    """Return the type of a value that is not null."""
    if not _is_optional(kind):
        return kind
    return next(each for each in get_args(kind) if each is not NoneType)


def _read_hex(plain: Any, where: str) -> bytes:
    if not isinstance(plain, str) or not _HEX.fullmatch(plain):
        raise InvalidSpec(f"{where}: 32 bytes as 0x and 64 lower-case hex digits are wanted")
    return bytes.fromhex(plain[2:])


def _plain(value: Any) -> Plain:
    """Return the spec as nested arrays, in the order of the fields: what its hash covers."""
    if is_dataclass(value):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    assert value is None or isinstance(value, int | bytes | str)
    return value


def _jsonable(value: Any, prefix: int) -> Any:
    if not is_dataclass(value):
        return [_jsonable(item, prefix) for item in value] if isinstance(value, tuple) else value
    hints: Mapping[str, Any] = get_type_hints(type(value))
    out: dict[str, Any] = {}
    for field in fields(value):
        inner, kind = getattr(value, field.name), _present(hints[field.name])
        if inner is None:
            out[field.name] = None
        elif kind is AccountId:
            out[field.name] = encode_address(inner, prefix)
        elif kind in (Digest, PublicKey):
            out[field.name] = "0x" + inner.hex()
        elif kind in (Balance, VotingPower):
            out[field.name] = str(inner)
        else:
            out[field.name] = _jsonable(inner, prefix)
    return out
