"""``loopin job``: have the providers of a lease compute, and check what they say."""

import sys
from base64 import b64encode
from collections.abc import Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import trio

from node.cli.failures import only_reason
from node.cli.job_files import load_network, load_rows, pack, read_file, save_rows
from node.cli.lease_options import Leaseholder, lease_options
from node.cli.output import Output, json_option, pass_output
from node.client.node_client import NodeClient, hex_of
from node.lease.chain import JobChain, Verdict
from node.lease.challenger import Challenger
from node.lease.client import JobOutcome, find_wrong_row
from node.lease.messages import Exited
from node.lease.session import Place, connected, oldest_height, sample
from node.provider.sender import Sender
from node.rpc.json_types import JsonObject
from primitives.ss58 import encode_address
from runtime.jobs.network import IntegerNetwork, Rows

DEFAULT_SAMPLE = 16
EXIT_WRONG = 1
T = TypeVar("T")
_FILE = click.Path(dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be computed, and how closely it is looked at."""

    network: IntegerNetwork
    rows: Rows
    samples: int
    is_disputed: bool
    """Whether the chain is asked about a wrong row."""


@dataclass(frozen=True, slots=True)
class Finished:
    """What came back, and what was found of it."""

    outcome: JobOutcome
    sampled: Sequence[int]
    wrong_row: int | None
    verdict: Verdict | None


@click.group()
def job() -> None:
    """Have a lease's provider compute, and check what it says."""


job.add_command(pack)


@job.command(
    epilog="Example: loopin job run --lease 3 --from //Bob --network net.bin --rows rows.npy"
    " --output out.npy"
)
@lease_options
@click.option("--network", "network_file", type=_FILE, required=True, help="From loopin job pack.")
@click.option(
    "--rows",
    "rows_file",
    type=_FILE,
    required=True,
    help="Rows of int8: a .npy file, or raw bytes.",
)
@click.option(
    "--output", "output_file", type=_FILE, required=True, help="For the rows that come back."
)
@click.option(
    "--sample",
    "samples",
    type=click.IntRange(min=0),
    default=DEFAULT_SAMPLE,
    show_default=True,
    help="Rows that are computed here too, chosen at random after the provider has signed.",
)
@click.option("--no-dispute", is_flag=True, help="Do not go to the chain over a wrong row.")
@json_option
@pass_output
def run(
    output: Output,
    *,
    holder: Leaseholder,
    network_file: Path,
    rows_file: Path,
    output_file: Path,
    samples: int,
    no_dispute: bool,
) -> None:
    """Pass rows through an integer network at the lease's provider.

    The provider signs what it has computed. Rows chosen after that are computed here too; if one
    is wrong, nothing is written, and the chain is asked to judge: the provider loses a part of
    its bond and the lease is refunded. The exit code is then 1.
    """
    network = load_network(network_file)
    work = Job(network, load_rows(rows_file, network.shape.inputs), samples, not no_dispute)
    with holder.open() as client:
        place = holder.place(client)
        finished = run_async(partial(_run, output, holder, client, place, work))
        document = _document(client, place, finished)
    if finished.wrong_row is None:
        save_rows(output_file, finished.outcome.data.outputs)
        document["output"] = str(output_file)
    output.result(document, lambda: output.facts(_facts(document)))
    if finished.wrong_row is not None:
        click.get_current_context().exit(EXIT_WRONG)


@job.command(
    name="exec",
    context_settings={"ignore_unknown_options": True},
    epilog="Example: loopin job exec --lease 3 --from //Bob render scene.txt",
)
@lease_options
@click.option("--stdin", "stdin_file", type=_FILE, help="What the command reads.")
@click.argument("name", metavar="COMMAND")
@click.argument("arguments", nargs=-1)
@json_option
@pass_output
def execute(
    output: Output,
    *,
    holder: Leaseholder,
    stdin_file: Path | None,
    name: str,
    arguments: tuple[str, ...],
) -> None:
    """Run a command that the lease's provider offers; nothing of its result is verified.

    What it writes comes out here (with --json, in base64), and its exit code is this command's.
    """
    stdin = None if stdin_file is None else read_file(stdin_file)
    written = {False: bytearray(), True: bytearray()}

    def write(data: bytes, is_error: bool) -> None:  # noqa: FBT001 - one of two streams
        if output.as_json:
            written[is_error] += data
            return
        stream = sys.stderr if is_error else sys.stdout
        stream.buffer.write(data)
        stream.buffer.flush()

    with holder.open() as client:
        place = holder.place(client)
        end = run_async(partial(_execute, holder, client, place, (name, *arguments), stdin, write))
    document: JsonObject = {
        "code": end.code,
        "endedFor": end.reason,
        "stdout": b64encode(written[False]).decode(),
        "stderr": b64encode(written[True]).decode(),
    }
    said = f"ended by the provider: {end.reason}"
    output.result(document, lambda: output.note(said) if end.reason else None)
    click.get_current_context().exit(end.code if end.code >= 0 else 128 - end.code)


def run_async(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run asynchronous work to its end, and raise what it fails with as it is."""
    try:
        return trio.run(work)
    except BaseExceptionGroup as group:
        reason = only_reason(group)
        if reason is None:
            raise
        raise reason from None


async def _run(
    output: Output, holder: Leaseholder, client: NodeClient, place: Place, work: Job
) -> Finished:
    chain = JobChain(client)
    oldest = await trio.to_thread.run_sync(oldest_height, chain)
    with output.progress("connecting") as bar:

        def on_progress(what: str, done: int, total: int) -> None:
            bar(done, total, what)

        async with connected(holder.access(client, place), place) as lease:
            outcome = await lease.run_network(work.network, work.rows, oldest, on_progress)
    sampled = sample(work.samples, len(work.rows))
    wrong = await trio.to_thread.run_sync(find_wrong_row, outcome.data, sampled)
    verdict = None
    if wrong is not None and work.is_disputed:
        output.note(f"row {wrong} is wrong: asking the chain to judge")
        post = Sender(holder.endpoint, holder.pair)
        with output.waiting("the dispute goes its way") as say:
            verdict = await Challenger(chain, post, outcome, say).play(wrong)
    return Finished(outcome, sampled, wrong, verdict)


async def _execute(
    holder: Leaseholder,
    client: NodeClient,
    place: Place,
    line: Sequence[str],
    stdin: bytes | None,
    write: Callable[[bytes, bool], None],
) -> Exited:
    async with connected(holder.access(client, place), place) as lease:
        name, *arguments = line
        async with aclosing(lease.run_command(name, arguments, stdin, _ignore)) as telling:
            async for told in telling:
                if isinstance(told, Exited):
                    return told
                write(told.data, told.is_error)
    raise AssertionError("a command that does not exit is refused before")


def _ignore(what: str, done: int, total: int) -> None:
    """Show no progress: the command's own output does."""


def _document(client: NodeClient, place: Place, finished: Finished) -> JsonObject:
    commitment, verdict = finished.outcome.result.commitment, finished.verdict
    told: JsonObject | None = None
    if verdict is not None:
        told = {
            "number": verdict.number,
            "won": verdict.is_won,
            "reason": verdict.reason,
            "taken": str(verdict.taken),
            "height": verdict.height,
        }
    return {
        "lease": commitment.lease_id,
        "provider": encode_address(place.provider, client.token.ss58_prefix),
        "rows": commitment.rows,
        "network": hex_of(commitment.network),
        "outputs": hex_of(commitment.outputs),
        "madeAt": commitment.made_at,
        "sampled": [*finished.sampled],
        "wrongRow": finished.wrong_row,
        "dispute": told,
    }


def _facts(document: JsonObject) -> dict[str, str]:
    """Return a run's result for people."""
    sampled, dispute = document["sampled"], document["dispute"]
    assert isinstance(sampled, list), "as _document made it"
    facts = {name: str(document[name]) for name in ("lease", "provider", "rows")}
    if document["wrongRow"] is None:
        facts["checked"] = f"{len(sampled)} rows, all right"
        facts["output"] = str(document["output"])
        return facts
    facts["wrong"] = f"row {document['wrongRow']}: nothing was written"
    if isinstance(dispute, dict):
        how = "won" if dispute["won"] else "lost"
        facts["dispute"] = f"{how} at block {dispute['height']} ({dispute['reason']})"
    return facts
