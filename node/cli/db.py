"""``loopin db``: check, prune and describe the database of a node that does not run."""

from pathlib import Path

import click

from chain.store_check import Defect, Progress, check_store
from node.cli.folders import base_path_option, chain_id_option, open_database
from node.cli.output import Output, json_option, pass_output
from primitives.types import Height

PRUNED_AT_ONCE = 64
EXIT_DEFECTS = 1


@click.group()
def db() -> None:
    """Check, prune and describe the database of a node that does not run."""


@db.command(epilog="Example: loopin db check --base-path ~/.local/share/loopin")
@base_path_option("Folder of the node, which must not run.", required=True)
@chain_id_option
@json_option
@pass_output
@click.pass_context
def check(context: click.Context, output: Output, *, base_path: Path, chain_id: str | None) -> None:
    """Look for anything in the database that contradicts anything else.

    Exits with 1 if there are defects.
    """
    with (
        open_database(base_path, chain_id) as store,
        store.snapshot() as reader,
        output.progress("checking") as bar,
    ):

        def on_progress(progress: Progress) -> None:
            bar(progress.done, progress.total, progress.phase)

        defects = check_store(reader, on_progress)
        head = reader.head
    output.result(
        {
            "height": head.height,
            "hash": "0x" + head.hash.hex(),
            "defects": [
                {"kind": defect.kind.value, "height": defect.height, "detail": defect.detail}
                for defect in defects
            ],
        },
        lambda: _show(output, defects, head.height),
    )
    if defects:
        context.exit(EXIT_DEFECTS)


@db.command(epilog="Example: loopin db prune --base-path ~/.local/share/loopin --keep 1000")
@base_path_option("Folder of the node, which must not run.", required=True)
@chain_id_option
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="Final blocks that stay whole."
)
@json_option
@pass_output
def prune(output: Output, *, base_path: Path, chain_id: str | None, keep: int) -> None:
    """Drop bodies, receipts and old values of all but the last blocks; headers stay.

    Pruned blocks cannot be had back, and the folder can be no archive any more.
    """
    with open_database(base_path, chain_id) as store:
        store.set_keep_blocks(keep)
        first, head = store.reads.pruned_below, store.reads.head.height
        total = max(0, head + 1 - keep - first)
        done = 0
        with output.progress("pruning", total) as bar:
            while pruned := store.prune(PRUNED_AT_ONCE):
                done += pruned
                bar(done)
        below = store.reads.pruned_below
    output.result(
        {"pruned": done, "wholeFrom": below, "height": head},
        lambda: output.text(f"{done} blocks pruned; blocks {below} to {head} are whole"),
    )


@db.command(epilog="Example: loopin db info --base-path ~/.local/share/loopin")
@base_path_option("Folder of the node, which must not run.", required=True)
@chain_id_option
@json_option
@pass_output
def info(output: Output, *, base_path: Path, chain_id: str | None) -> None:
    """Show which chain the database holds, up to where, and how large it is."""
    with open_database(base_path, chain_id) as store:
        reads = store.reads
        head, genesis, keep = reads.head, reads.genesis_hash, reads.keep_blocks
        below: Height = reads.pruned_below
        size = sum(path.stat().st_size for path in store.path.iterdir() if path.is_file())
        path = str(store.path)
    output.result(
        {
            "path": path,
            "genesis": "0x" + genesis.hex(),
            "height": head.height,
            "hash": "0x" + head.hash.hex(),
            "stateRoot": "0x" + head.state_root.hex(),
            "keepBlocks": keep,
            "wholeFrom": below,
            "bytes": size,
        },
        lambda: output.facts(
            {
                "path": path,
                "genesis": "0x" + genesis.hex(),
                "final block": f"{head.height} 0x{head.hash.hex()}",
                "state root": "0x" + head.state_root.hex(),
                "mode": "archive" if keep is None else f"keeps the last {keep} blocks whole",
                "whole from": str(below),
                "size": f"{size / 2**20:.1f} MiB",
            }
        ),
    )


def _show(output: Output, defects: list[Defect], height: int) -> None:
    if not defects:
        output.text(f"sound up to the final block {height}")
        return
    output.table(
        ["kind", "block", "what"],
        [
            [
                defect.kind.value,
                "" if defect.height is None else str(defect.height),
                defect.detail,
            ]
            for defect in defects
        ],
    )
    output.text(
        f"{len(defects)} defects: restore a backup, or remove the folder and let the node "
        "fetch the chain again"
    )
