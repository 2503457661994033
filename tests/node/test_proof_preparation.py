"""An epoch's networks are expanded beside the event loop before the first response comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from chain.blockchain import Finalized
from node import service
from node.proof_preparation import ProofPreparation
from node.service import run_node
from primitives.types import Epoch
from runtime.pocps.exactness import InexactArithmetic
from runtime.pocps.forward_pass_proof import open_network
from tests.chain.small_chains import SmallChain, small_spec


def make_final(small: SmallChain) -> Finalized:
    return small.finalize(small.build(small.chain.final_hash))


async def test_the_present_epoch_is_prepared_at_start_and_each_as_it_begins(tmp_path: Path) -> None:
    small = SmallChain.open(tmp_path / "db", small_spec(epoch_length=3))
    make_final(small)
    send, prepared = trio.open_memory_channel[Epoch](9)
    preparation = ProofPreparation(small.chain, send.send_nowait)
    open_network.cache_clear()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(preparation.run)
        assert await prepared.receive() == 0
        for _ in range(3):
            preparation.on_final(make_final(small))
        assert await prepared.receive() == 1
        nursery.cancel_scope.cancel()
    before = open_network.cache_info()
    for each in small.chain.runtime_after(small.chain.final_hash).pocps.preparations(Epoch(1)):
        each.run()

    assert before.misses == 2
    assert open_network.cache_info().misses == 2
    small.close()


async def test_a_node_does_not_start_on_a_machine_that_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise InexactArithmetic("rounded")

    monkeypatch.setattr(service, "require_exact_products", refuse)

    with pytest.raises(InexactArithmetic):
        # It is the first thing that a node looks at: nothing else of the configuration is.
        await run_node(None, small_spec())  # type: ignore[arg-type]


def test_commands_that_verify_use_one_thread_of_the_linear_algebra_library() -> None:
    code = (
        "import os; from node.cli.main import loopin;"
        "loopin.get_command(None, 'genesis'); print('OPENBLAS_NUM_THREADS' in os.environ);"
        "loopin.get_command(None, 'node'); print(os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {key: value for key, value in os.environ.items() if "BLAS" not in key}

    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["False", "1"]
