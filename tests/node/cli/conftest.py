"""One node for the tests of a file that ask one."""

from collections.abc import Iterator

import pytest

from tests.node.cli.running import quick_spec, running_node


@pytest.fixture(scope="module")
def node_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_node(tmp_path_factory.mktemp("node"), quick_spec()) as url:
        yield url
