"""Commands that are imported when they are used, so that the others start quickly."""

import importlib
from collections.abc import Mapping
from difflib import get_close_matches

import click


class SuggestingGroup(click.Group):
    """A group that says, of a command that it has not, which of its own are close.

    A plain group compares with the commands that are imported already, which here are not all.
    """

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        close = get_close_matches(name, known)
        if close and name not in known and not ctx.resilient_parsing:
            ctx.fail(f"No such command {name!r:.40}. Did you mean {' or '.join(close)}?")
        return super().resolve_command(ctx, args)


class LazyGroup(SuggestingGroup):
    """A group whose further commands lie in modules of their own."""

    def __init__(self, *args: object, lazy: Mapping[str, str], **options: object) -> None:
        """``lazy`` names, for a command, its module and variable: ``package.module:name``."""
        super().__init__(*args, **options)  # type: ignore[arg-type] # click's own parameters
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, name = place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command
