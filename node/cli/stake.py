"""``loopin stake``: bonds, validating, nominating, session keys and what they earn."""

from dataclasses import dataclass

import click

from node.cli.amounts import parse_percent
from node.cli.output import Output, pass_output
from node.cli.signed_call import Signer, Signing, opened, signing_options
from node.cli.stake_status import status, validators
from node.client.answers import read_bytes
from node.client.node_client import hex_of
from node.client.staking import Ledger, find_ledger, pending_rewards
from primitives.codec import Plain
from primitives.errors import DecodeError, LoopinError
from primitives.types import AccountId, Balance, Epoch
from runtime.session_keys import SET_KEYS_ARGUMENTS

BATCH_MAX = 100
"""Calls of one payout, which together take a fifth of a block."""


class NothingDue(LoopinError):
    """There is nothing to be done; nothing was sent."""


class UnusableKeys(LoopinError):
    """The node's answer holds no session keys."""


@click.group()
def stake() -> None:
    """Put tokens at stake, validate or nominate with them, and collect what that earns.

    An account is an address, or //NAME for a development key.
    """


stake.add_command(status)
stake.add_command(validators)


@stake.command(epilog="Example: loopin stake bond 1000 --from //Bob")
@click.argument("amount")
@signing_options
@pass_output
def bond(output: Output, *, amount: str, signing: Signing) -> None:
    """Put AMOUNT of the free balance at stake, or add it to what is at stake already."""
    with opened(output, signing) as signer:
        units = signer.parse(amount)
        ledger = find_ledger(signer.client, signer.address)
        name = "staking.bond_extra" if ledger.active else "staking.bond"
        after = signer.shown.amount(ledger.active + units)
        signer.send([name, units], moves=units, told={"bonded": after})


@stake.command(epilog="Example: loopin stake unbond 500 --from //Bob")
@click.argument("amount", required=False)
@click.option("--all", "everything", is_flag=True, help="All that may leave, instead of an AMOUNT.")
@signing_options
@pass_output
def unbond(output: Output, *, amount: str | None, everything: bool, signing: Signing) -> None:
    """Let AMOUNT of the stake leave.

    It is locked, and can be slashed, until the unbonding time is over; then: loopin stake withdraw.
    """
    if (amount is None) != everything:
        raise click.UsageError("how much? give one AMOUNT, such as 1.5, or --all")
    with opened(output, signing) as signer:
        ledger = find_ledger(signer.client, signer.address)
        units = ledger.leavable if amount is None else signer.parse(amount)
        if not 0 < units <= ledger.active or ledger.active - units < ledger.must_stay:
            raise NothingDue(f"{_why_not_leaving(signer, ledger)}: nothing was sent")
        signer.send(
            ["staking.unbond", units],
            told={"leaving": f"{signer.shown.amount(units)}, see: loopin stake status"},
        )


@stake.command(epilog="Example: loopin stake withdraw --from //Bob")
@signing_options
@pass_output
def withdraw(output: Output, *, signing: Signing) -> None:
    """Free the stake whose unbonding time is over."""
    with opened(output, signing) as signer:
        ledger = find_ledger(signer.client, signer.address)
        if not ledger.withdrawable:
            first = min((chunk.withdrawable_from for chunk in ledger.unbonding), default=None)
            when = "nothing is leaving" if first is None else f"the first may in epoch {first}"
            raise NothingDue(f"nothing can be withdrawn in epoch {ledger.epoch}: {when}")
        told = {"withdrawn": signer.shown.amount(ledger.withdrawable)}
        signer.send(["staking.withdraw"], told=told)


@stake.command(epilog="Example: loopin stake validate --commission 5 --from //Bob")
@click.option(
    "--commission",
    metavar="PERCENT",
    default="0",
    show_default=True,
    help="Share of the nominators' rewards that the validator keeps.",
)
@signing_options
@pass_output
def validate(output: Output, *, commission: str, signing: Signing) -> None:
    """Stand for the power tables to come, or change the commission.

    A validator needs session keys, too (loopin stake rotate-keys), and compute that it proves.
    """
    ppb = parse_percent(commission)
    with opened(output, signing) as signer:
        _require_stake(signer)
        signer.send(["staking.validate", ppb])


@stake.command(epilog="Example: loopin stake nominate //Alice --from //Charlie")
@click.argument("validator")
@signing_options
@pass_output
def nominate(output: Output, *, validator: str, signing: Signing) -> None:
    """Put all of one's stake behind a VALIDATOR, for its gains and its slashes."""
    with opened(output, signing) as signer:
        account = signer.account_given(validator)
        _require_stake(signer)
        signer.send(["staking.nominate", account])


@stake.command(epilog="Example: loopin stake chill --from //Charlie")
@signing_options
@pass_output
def chill(output: Output, *, signing: Signing) -> None:
    """Stop validating or nominating; the stake stays bonded."""
    with opened(output, signing) as signer:
        if find_ledger(signer.client, signer.address).role == "none":
            raise NothingDue(f"{signer.address} neither validates nor nominates")
        signer.send(["staking.chill"])


@stake.command(epilog="Example: loopin stake unjail --from //Bob")
@signing_options
@pass_output
def unjail(output: Output, *, signing: Signing) -> None:
    """Leave jail when its time is over; then: loopin stake validate."""
    with opened(output, signing) as signer:
        ledger = find_ledger(signer.client, signer.address)
        if ledger.jailed_until is None:
            raise NothingDue(f"{signer.address} is not in jail")
        if ledger.epoch < ledger.jailed_until:
            raise NothingDue(
                f"{signer.address} stays in jail until epoch {ledger.jailed_until}, "
                f"this is {ledger.epoch}"
            )
        signer.send(["offences.unjail"])


@stake.command(epilog="Example: loopin stake rotate-keys --from //Bob --url http://localhost:9944")
@signing_options
@pass_output
def rotate_keys(output: Output, *, signing: Signing) -> None:
    """Let the node make new session keys, and register them for the signer.

    The node must be the validator's own and asked from its own machine: it keeps the secrets. It
    votes with the old keys until the new ones count, so nothing has to be restarted.
    """
    with opened(output, signing) as signer:
        answer = signer.client.call("author_rotateKeys", signer.address)
        try:
            keys, proofs = SET_KEYS_ARGUMENTS.decode(read_bytes(answer, "the session keys"))
        except DecodeError as error:
            raise UnusableKeys(f"the node's session keys cannot be read: {error}") from None
        names = ("consensus", "vrf", "peer")
        shown = (f"{n} {hex_of(key)}" for n, key in zip(names, keys.each(), strict=True))
        signer.send(
            ["session.set_keys", list(keys.each()), list(proofs.each())],
            told={"keys": "\n".join(shown)},
        )


@stake.command(epilog="Example: loopin stake payout --from //Alice")
@click.option("--validator", metavar="ACCOUNT", help="Whose epochs are paid; by default one's own.")
@signing_options
@pass_output
def payout(output: Output, *, validator: str | None, signing: Signing) -> None:
    """Collect what waits: rewards of a validator and its nominators, and of one's own compute.

    By default of the validator that the signer is or nominates. Anybody may ask for a validator's;
    it is paid to everybody who stands behind it.
    """
    with opened(output, signing) as signer:
        whose = signer.account if validator is None else signer.account_given(validator)
        due = _due(signer, whose)
        if not due:
            raise NothingDue("nothing waits to be paid: nothing was sent")
        if len(due) > BATCH_MAX:
            output.note(f"{len(due)} payments wait: the oldest {BATCH_MAX} now; run it again")
        now = due[:BATCH_MAX]
        batch: Plain = ["utility.batch", [each.call for each in now]]
        told = {
            "paid": "\n".join(
                f"epoch {each.epoch}: {signer.shown.amount(each.amount)} {each.what}"
                for each in now
            )
        }
        signer.send(now[0].call if len(now) == 1 else batch, told=told)


@dataclass(frozen=True, slots=True)
class _Due:
    epoch: Epoch
    amount: Balance
    what: str
    call: Plain


def _due(signer: Signer, whose: AccountId) -> list[_Due]:
    """Return what can be paid now, oldest epoch first."""
    due: list[_Due] = []
    for reward in pending_rewards(signer.client, whose):
        payout, epoch = reward.payout, reward.epoch
        if payout is not None:
            call: Plain = ["rewards.payout", payout.validator, epoch]
            due.append(_Due(epoch, payout.total, "to a validator and its nominators", call))
    for reward in pending_rewards(signer.client, signer.account):
        if reward.claim is not None:
            call = ["rewards.claim", reward.epoch]
            due.append(_Due(reward.epoch, reward.claim, "for compute, bonded", call))
    return sorted(due, key=lambda each: each.epoch)


def _why_not_leaving(signer: Signer, ledger: Ledger) -> str:
    amount = signer.shown.amount
    reasons = []
    if ledger.least:
        reasons.append(f"{amount(ledger.least)} must stay while the account is a {ledger.role}")
    if ledger.locked:
        reasons.append(f"{amount(ledger.locked)} have not vested")
    reason = f" ({' and '.join(reasons)})" if reasons else ""
    return f"of {amount(ledger.active)} at stake {amount(ledger.leavable)} may leave now{reason}"


def _require_stake(signer: Signer) -> None:
    """Refuse to send what needs a stake, if there is none. Raises: NothingDue."""
    if not find_ledger(signer.client, signer.address).active:
        raise NothingDue(
            f"{signer.address} has nothing at stake, first: loopin stake bond; nothing was sent"
        )
