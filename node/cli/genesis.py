"""``loopin genesis``: make, look at and check chain specs."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click
import orjson

from genesis.build import build_genesis
from genesis.presets import (
    BLOCK_INTERVAL,
    DEV_BOND,
    DEV_ENDOWMENT,
    DEV_GENESIS_TIME,
    build_spec,
    dev_member,
)
from genesis.spec import CHAIN_TYPES, ChainSpec, Endowment, Member, validate_spec
from node.cli.amounts import format_amount, parse_amount
from node.cli.files import write_new
from node.cli.hashes import parse_hash
from node.cli.keys_given import account_given, read_text_file
from node.cli.output import Output, json_option, pass_output
from node.cli.specs import PRESETS, find_spec
from node.cli.times import shown_time
from node.rpc.json_types import JsonObject
from primitives.errors import ConfigError
from primitives.ss58 import GENERIC_PREFIX, encode_address
from primitives.types import UINT64_MAX, AccountId, Balance, Digest, Millis, PublicKey

MEMBERS_FILE_BYTES_MAX = 1 << 24
_MEMBER_KEYS = {"account", "consensus_key", "vrf_key", "peer_key", "bond"}
_DECIMALS = 9


class InvalidMember(ConfigError):
    """A validator is not described as loopin key session describes it."""


@click.group()
def genesis() -> None:
    """Make, look at and check chain specs.

    A chain spec is a JSON file with everything that nodes agree on before the first block.
    """


@genesis.command(
    epilog="Example: loopin genesis build --id test --validator //Alice --endow //Bob=1000 "
    "--output test.json"
)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="A ready spec, as it is.")
@click.option("--id", "chain_id", help="Names the chain's folders: letters, digits, - and _.")
@click.option("--name", help="Name for people; by default the id.")
@click.option(
    "--chain-type",
    type=click.Choice(CHAIN_TYPES),
    default="local",
    show_default=True,
    help="What wallets call the chain; keys that everybody knows are not for live ones.",
)
@click.option(
    "--validator",
    "names",
    multiple=True,
    metavar="//NAME",
    help="A development validator, whose keys everybody knows; may be repeated.",
)
@click.option(
    "--validators",
    "members_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON list of validators, each as loopin key session --account prints it.",
)
@click.option(
    "--endow",
    "endowed",
    multiple=True,
    metavar="ACCOUNT[=AMOUNT]",
    help="An account that holds tokens at genesis, a million without AMOUNT; may be repeated.",
)
@click.option(
    "--interval",
    type=click.IntRange(1, 600_000),
    default=BLOCK_INTERVAL,
    show_default=True,
    help="Least time between two blocks, in milliseconds.",
)
@click.option(
    "--genesis-time",
    type=click.IntRange(0, UINT64_MAX),
    default=DEV_GENESIS_TIME,
    show_default=True,
    help="Time of the genesis block, in milliseconds since 1970.",
)
@click.option("--randomness", metavar="HEX", help="32 bytes that draw the first leaders.")
@click.option("--boot-node", "boot_nodes", multiple=True, metavar="MULTIADDR", help="May repeat.")
@click.option(
    "--output",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the spec into a file instead of printing it.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@json_option
@pass_output
def build(  # noqa: PLR0913 - one parameter an option
    output: Output,
    *,
    preset: str | None,
    chain_id: str | None,
    name: str | None,
    chain_type: str,
    names: Sequence[str],
    members_file: Path | None,
    endowed: Sequence[str],
    interval: int,
    genesis_time: int,
    randomness: str | None,
    boot_nodes: Sequence[str],
    file: Path | None,
    force: bool,
) -> None:
    """Make a chain spec from a few choices; everything else is as in the preset local.

    What is not said here is changed in the file: it is complete, and says each value once.
    """
    if preset is not None:
        if chain_id or names or members_file or endowed:
            raise click.UsageError("a --preset is taken as it is: leave the other choices out")
        spec = PRESETS[preset]()
    else:
        if chain_id is None:
            raise click.UsageError("which chain? give --id NAME, or --preset dev")
        members = [_dev_member(item) for item in names]
        members += [] if members_file is None else load_members(members_file)
        endowments = [parse_endowment(item) for item in endowed]
        spec = build_spec(
            id=chain_id,
            name=name or chain_id,
            chain_type=chain_type,
            validators=members,
            endowed=[],
            genesis_time=Millis(genesis_time),
            randomness=Digest(secrets.token_bytes(32))
            if randomness is None
            else parse_hash(randomness, "--randomness"),
            block_interval=Millis(interval),
            boot_nodes=boot_nodes,
        )
        balances = sorted(endowments, key=lambda item: item.account)
        spec = replace(spec, balances=tuple(balances))
        validate_spec(spec)
    _print_or_write(output, spec, file, force=force)


@genesis.command(epilog="Example: loopin genesis inspect local")
@click.argument("chain", metavar="FILE|PRESET")
@json_option
@pass_output
def inspect(output: Output, *, chain: str) -> None:
    """Show hashes, validators, supply and parameters of a chain spec."""
    spec = find_spec(chain)
    made = build_genesis(spec)
    supply = sum(item.amount for item in spec.balances)
    document: JsonObject = {
        "id": spec.id,
        "name": spec.name,
        "chainType": spec.chain_type,
        "specHash": "0x" + spec.hash.hex(),
        "genesisHash": "0x" + made.hash.hex(),
        "stateRoot": "0x" + made.block.header.state_root.hex(),
        "genesisTime": spec.genesis_time,
        "accounts": len(spec.balances),
        "supply": str(supply),
        "validators": [
            {"account": encode_address(item.account, spec.ss58_prefix), "weight": item.weight}
            for item in spec.power_table().validators
        ],
        "consensus": asdict(spec.consensus),
        "runtime": {**_parameters(spec)},
    }
    output.result(document, lambda: _show(output, spec, document))


@genesis.command(epilog="Example: loopin genesis validate test.json")
@click.argument("chain", metavar="FILE|PRESET")
@json_option
@pass_output
def validate(output: Output, *, chain: str) -> None:
    """Check a chain spec; exits with 3 and names the place if a value is wrong or missing."""
    spec = find_spec(chain)
    made = build_genesis(spec)
    output.result(
        {"valid": True, "id": spec.id, "genesisHash": "0x" + made.hash.hex()},
        lambda: output.text(f"{chain} is a valid chain spec; genesis 0x{made.hash.hex()}"),
    )


def parse_endowment(text: str) -> Endowment:
    """Return the endowment that ``ACCOUNT=AMOUNT`` means. Raises: InvalidAmount, InvalidAddress."""
    who, equals, amount = text.partition("=")
    units = parse_amount(amount, _DECIMALS, "LOOP") if equals else Balance(DEV_ENDOWMENT)
    return Endowment(account_given(who, GENERIC_PREFIX), units)


def load_members(path: Path) -> list[Member]:
    """Return the validators that a JSON file lists. Raises: FileUnreadable, InvalidMember."""
    try:
        plain = orjson.loads(read_text_file(path, MEMBERS_FILE_BYTES_MAX))
    except orjson.JSONDecodeError as error:
        raise InvalidMember(f"{path} is not JSON: {error}") from error
    items = plain if isinstance(plain, list) else [plain]
    return [_member(item, f"{path}, validator {at}") for at, item in enumerate(items)]


def _member(item: object, where: str) -> Member:
    if not isinstance(item, dict) or not set(item) >= _MEMBER_KEYS - {"bond"}:
        raise InvalidMember(f"{where}: wanted an object with {', '.join(sorted(_MEMBER_KEYS))}")
    if unknown := set(item) - _MEMBER_KEYS:
        raise InvalidMember(f"{where}: {', '.join(sorted(unknown))} is no part of a validator")
    bond = item.get("bond", str(DEV_BOND))
    is_number = isinstance(bond, str) and re.fullmatch(r"[0-9]{1,20}", bond)
    if not is_number or int(bond) > UINT64_MAX:
        raise InvalidMember(f"{where}: bond is a decimal string of base units, at most 2**64 - 1")

    def key(name: str) -> PublicKey:
        return PublicKey(parse_hash(str(item[name]), f"{where}: {name}"))

    return Member(
        account=account_given(str(item["account"]), GENERIC_PREFIX),
        consensus_key=key("consensus_key"),
        vrf_key=key("vrf_key"),
        peer_key=key("peer_key"),
        bond=Balance(int(bond)),
    )


def _dev_member(text: str) -> Member:
    match = re.fullmatch(r"//([A-Za-z0-9]{1,32})", text)
    if match is None:
        raise InvalidMember(
            f"--validator {text:.80}: only development validators such as //Alice are named so; "
            "list others in a file for --validators"
        )
    return dev_member(match[1])


def _print_or_write(output: Output, spec: ChainSpec, file: Path | None, *, force: bool) -> None:
    if file is None:
        # A spec is JSON already, for people and machines alike.
        click.echo(spec.to_json(), nl=False)
        return
    write_new(file, spec.to_json(), force=force)
    made = build_genesis(spec)
    output.result(
        {"file": str(file), "id": spec.id, "genesisHash": "0x" + made.hash.hex()},
        lambda: output.facts({"file": str(file), "genesis": "0x" + made.hash.hex()}),
    )


def _parameters(spec: ChainSpec) -> dict[str, JsonObject]:
    """Return the settings of every module, without the list of accounts with compute."""
    settings: dict[str, JsonObject] = asdict(spec.runtime)
    del settings["compute"]
    return settings


def _show(output: Output, spec: ChainSpec, document: JsonObject) -> None:
    supply = format_amount(sum(item.amount for item in spec.balances), spec.token_decimals)
    output.facts(
        {
            "chain": f"{spec.name} (id {spec.id}, {spec.chain_type})",
            "genesis": str(document["genesisHash"]),
            "spec hash": str(document["specHash"]),
            "state root": str(document["stateRoot"]),
            "time": shown_time(spec.genesis_time),
            "supply": f"{supply} {spec.token_symbol} in {len(spec.balances)} accounts",
        }
    )
    output.text("")
    output.table(
        ["validator", "weight"],
        [
            [encode_address(AccountId(item.account), spec.ss58_prefix), str(item.weight)]
            for item in spec.power_table().validators
        ],
    )
    output.text("")
    parameters = {"consensus": asdict(spec.consensus), **_parameters(spec)}
    output.table(
        ["parameter", "value"],
        [
            [f"{part}.{name}", str(value)]
            for part, values in parameters.items()
            for name, value in values.items()
        ],
    )
