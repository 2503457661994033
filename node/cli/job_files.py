"""Networks and rows in files: numpy's ``.npy``, or the bytes as they are."""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from node.cli.output import Output, json_option, pass_output
from node.client.node_client import hex_of
from node.lease.messages import BLOB_BYTES_MAX
from primitives.errors import ConfigError, DecodeError
from runtime.jobs.network import (
    Activation,
    IntegerNetwork,
    InvalidNetwork,
    Layer,
    Matrix,
    Rows,
    Shape,
    rows_of,
)

_ACTIVATIONS = {each.name.lower(): each for each in Activation}


class UnusableFile(ConfigError):
    """A file cannot be read or written, or does not hold what it should."""


def load_network(file: Path) -> IntegerNetwork:
    """Return the network that ``loopin job pack`` has written. Raises: UnusableFile."""
    try:
        return IntegerNetwork.decode(read_file(file))
    except DecodeError as error:
        raise UnusableFile(f"{file} holds no network: {error}") from error


def load_rows(file: Path, width: int) -> Rows:
    """Return rows of ``width`` int8 values. Raises: UnusableFile."""
    try:
        rows = _load_array(file) if file.suffix == ".npy" else rows_of(read_file(file), width)
    except DecodeError as error:
        raise UnusableFile(f"{file}: {error}") from error
    if rows.ndim != 2 or rows.shape[1] != width or not len(rows):
        raise UnusableFile(f"{file} holds no rows of {width} values")
    return np.ascontiguousarray(rows)


def save_rows(file: Path, rows: Rows) -> None:
    """Write rows as ``.npy`` if the name says so, else as they are. Raises: UnusableFile."""
    try:
        with file.open("wb") as out:
            if file.suffix == ".npy":
                np.save(out, rows)
            else:
                out.write(rows.tobytes())
    except OSError as error:
        raise UnusableFile(f"cannot write {file}: {error.strerror}") from error


def read_file(file: Path) -> bytes:
    """Return what a file holds. Raises: UnusableFile."""
    try:
        if file.stat().st_size > BLOB_BYTES_MAX:
            raise UnusableFile(f"{file} is larger than {BLOB_BYTES_MAX} bytes")
        return file.read_bytes()
    except OSError as error:
        raise UnusableFile(f"cannot read {file}: {error.strerror}") from error


@click.command(
    epilog="Example: loopin job pack net.bin --layer first.npy:7:relu --layer last.npy:9:clamp"
)
@click.argument("network", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--layer",
    "layers",
    metavar="FILE:SHIFT:ACTIVATION",
    multiple=True,
    required=True,
    help="An int8 matrix of inputs by outputs in a .npy file, the bits by which sums are shifted"
    " to the right, and wrap, clamp or relu; the first layer first.",
)
@json_option
@pass_output
def pack(output: Output, *, network: Path, layers: Sequence[str]) -> None:
    """Write an integer network to the file NETWORK."""
    parsed = [_parse_layer(each) for each in layers]
    try:
        shape = Shape(tuple(layer for layer, _ in parsed))
        packed = IntegerNetwork(shape, [matrix for _, matrix in parsed])
    except InvalidNetwork as error:
        raise UnusableFile(f"these layers make no network: {error}") from error
    try:
        network.write_bytes(packed.encode())
    except OSError as error:
        raise UnusableFile(f"cannot write {network}: {error.strerror}") from error
    facts = {
        "network": str(network),
        "identity": hex_of(packed.identity),
        "widths": " ".join(map(str, shape.widths)),
        "weights": str(shape.weight_count),
    }
    output.result({**facts}, lambda: output.facts(facts))


def _parse_layer(text: str) -> tuple[Layer, Matrix]:
    name, _, rest = text.partition(":")
    shift, _, activation = rest.partition(":")
    if not shift.isdecimal() or activation not in _ACTIVATIONS:
        raise click.UsageError(f"{text}: a layer is FILE:SHIFT:ACTIVATION, as in first.npy:7:relu")
    matrix = _load_array(Path(name))
    if matrix.ndim != 2:
        raise UnusableFile(f"{name} holds no matrix")
    inputs, outputs = matrix.shape
    try:
        return Layer(inputs, outputs, int(shift), _ACTIVATIONS[activation]), matrix
    except InvalidNetwork as error:
        raise UnusableFile(f"{name}: {error}") from error


def _load_array(file: Path) -> Matrix:
    """Return the int8 array in a ``.npy`` file. Raises: UnusableFile."""
    try:
        if file.stat().st_size > BLOB_BYTES_MAX:
            raise UnusableFile(f"{file} is larger than {BLOB_BYTES_MAX} bytes")
        found: object = np.load(file, allow_pickle=False)
    except OSError as error:
        raise UnusableFile(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, EOFError) as error:
        raise UnusableFile(f"{file} is no .npy file of numbers") from error
    if not isinstance(found, np.ndarray) or found.dtype != np.int8:
        raise UnusableFile(f"{file} holds no int8 array")
    return found
