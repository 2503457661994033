"""The providers of a devnet on its screen and in its documents: who is caught, when and why."""

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from node.cli.amounts import format_amount
from node.devnet.devnet import Devnet
from node.devnet.provider_plan import ProviderPlan
from node.devnet.providers import Providers, ProviderSight
from node.rpc.json_types import Json, JsonObject

_LEFT = ("provider", "plays", "votes as", "state", "caught", "why")
_SHORTENED = ("votes as", "state", "caught", "why")
"""Columns that give way on a narrow terminal."""
_COLUMNS = (
    "provider", "plays", "votes as", "vote%", "class", "units", "live", "state",
    "caught", "why", "lost",
)  # fmt: skip


def draw_providers(devnet: Devnet) -> RenderableType:
    """Return the table of providers as it is now."""
    providers = devnet.providers
    assert providers is not None, "a devnet without providers has no such table"
    table = Table(
        header_style="bold cyan underline", box=None, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for column in _COLUMNS:
        table.add_column(
            _one_line(column),
            justify="left" if column in _LEFT else "right",
            no_wrap=column not in _SHORTENED,
        )
    decimals = devnet.plan.spec.token_decimals
    for plan in providers.plans:
        table.add_row(*_row(plan, providers, decimals))
    return table


def _row(plan: ProviderPlan, providers: Providers, decimals: int) -> list[RenderableType]:
    sight = providers.sights[plan.name]
    colour = "green" if plan.behaviour.is_honest else "magenta"
    return [
        plan.name,
        Text(plan.behaviour.label, colour),
        _one_line(plan.validator or "-"),
        f"{sight.vote_ppb / 10**7:.0f}" if plan.validator else "-",
        str(plan.class_id),
        str(sight.staked),
        str(sight.live),
        _one_line(providers.doing(plan.name)),
        *_caught(plan, sight, decimals),
    ]


def _caught(plan: ProviderPlan, sight: ProviderSight, decimals: int) -> list[RenderableType]:
    if not sight.faults or sight.caught_after is None:
        return ["-", "-", "-"]
    first, count = sight.faults[0], len(sight.faults)
    colour = "red" if plan.behaviour.is_honest else "yellow"
    why = _reasons(sight)
    return [
        _one_line(f"block {first.height} ({sight.caught_after:.0f} s)", colour),
        _one_line(why if count == 1 else f"{count}x {why}", colour),
        Text(format_amount(sight.lost, decimals), colour),
    ]


def _one_line(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _reasons(sight: ProviderSight) -> str:
    """Return the reasons on record, each once, in the order of their first fault."""
    return ", ".join(dict.fromkeys(fault.reason for fault in sight.faults))


def provider_documents(providers: Providers | None) -> list[Json]:
    """Return what is now, for machines; amounts are in base units."""
    return [_document(plan, providers) for plan in providers.plans] if providers else []


def _document(plan: ProviderPlan, providers: Providers) -> JsonObject:
    sight = providers.sights[plan.name]
    return {
        "name": plan.name,
        "plays": plan.behaviour.label,
        "isHonest": plan.behaviour.is_honest,
        "validator": plan.validator,
        "class": plan.class_id,
        "votePpb": sight.vote_ppb,
        "staked": sight.staked,
        "live": sight.live,
        "state": providers.doing(plan.name),
        "caughtAfterSeconds": None if sight.caught_after is None else round(sight.caught_after, 1),
        "lost": str(sight.lost),
        "faults": [
            {
                "epoch": fault.epoch,
                "height": fault.height,
                "reason": fault.reason,
                "step": fault.step,
                "slashed": str(fault.slashed),
            }
            for fault in sight.faults
        ],
    }


def provider_words(providers: Providers) -> str:
    """Return who is caught for what, in a word of a log line."""
    caught = [
        f"{plan.behaviour.label}:{_reasons(sight).replace(', ', '+')}"
        for plan in providers.plans
        if (sight := providers.sights[plan.name]).faults
    ]
    return ",".join(caught) or "none"
