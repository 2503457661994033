"""Backends on PyTorch: int8 and bf16 matrix units of a GPU, and int8 on the processor.

* ``int8``: ``torch._int_mm``, 8-bit operands with 32-bit sums.
* ``bf16``: 16-bit operands that hold our 6-bit values exactly, with float32 sums.

Rows go through the network in slabs of one fixed size. A slab is small enough for its sums to stay
in the GPU's cache between the product and the shift, which one fused kernel does, and the whole
pass over a slab is recorded once as a CUDA graph, so that no layer waits for the interpreter. Which
slab is best depends on the chip and the width: a few are timed when a network is loaded.

Torch is imported when a device is asked for: a provider without a GPU needs none.
"""

import time
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from miner.backends.backend import BackendUnavailable, Pending
from runtime.pocps.forward_pass import ROW_BYTES, SHIFT, VALUE_BITS, VALUE_MAGNITUDE, Matrix, Rows

Tensor = Any
"""A ``torch.Tensor``; torch is no dependency of the project, so its types are not either."""

VALUE_MASK = 2**VALUE_BITS - 1
SLABS = (1024, 2048, 4096, 8192, 16_384)
"""Rows per slab that are tried on a GPU; each a multiple of every tile its kernels have."""
SLAB_SUMS_MAX = 2**29
"""Sums of one layer of one slab; four bytes each."""
SLAB_ON_PROCESSOR = 256
TUNING_SECONDS = 0.15
"""How long each slab is timed."""
BATCH_SLABS = 8
"""Slabs per batch on a GPU: enough work to hide hashing and the interpreter behind."""
INT8 = "int8"
BF16 = "bf16"

# What torch raises when a compiler, a kernel or an option is missing on this machine.
MISSING = (RuntimeError, NotImplementedError, TypeError, AttributeError, ImportError, OSError)


class TorchBackend:
    """One network on one torch device, with operands of one type."""

    def __init__(
        self,
        torch: ModuleType,
        layers: Sequence[Matrix],
        *,
        processor: str,
        operands: str,
        is_fused: bool,
    ) -> None:
        self._torch = torch
        self._is_fused = is_fused
        self._is_gpu = processor == "cuda"
        self._processor = torch.device(processor)
        self._operands = torch.int8 if operands == INT8 else torch.bfloat16
        self._multiply = self._multiply_int8 if operands == INT8 else self._multiply_bf16
        self._keep_middle_bits = self._choose_shift()
        self._layers = [self._load(layer) for layer in layers]
        self._width = max(layer.shape[1] for layer in layers)
        self._slab, self._run_slab = self._choose_slab()
        self.batch_rows = self._slab * (BATCH_SLABS if self._is_gpu else 1)

    def submit(self, rows: Rows) -> Pending:
        """Queue the rows; on a GPU this returns before they are computed.

        Raises: BackendUnavailable.
        """
        try:
            return self._queue(rows)
        except MISSING as problem:
            raise BackendUnavailable(f"torch: {problem}") from problem

    def _queue(self, rows: Rows) -> Pending:
        torch = self._torch
        count = len(rows)
        padded = -(-count // self._slab) * self._slab
        inputs = torch.zeros((padded, ROW_BYTES), dtype=torch.int8, pin_memory=self._is_gpu)
        inputs[:count] = torch.from_numpy(np.ascontiguousarray(rows))
        loaded = inputs.to(self._processor, non_blocking=True)
        outputs = torch.empty((padded, ROW_BYTES), dtype=torch.int8, device=self._processor)
        for start in range(0, padded, self._slab):
            stop = start + self._slab
            outputs[start:stop].copy_(self._run_slab(loaded[start:stop]))
        if not self._is_gpu:
            return lambda: _to_bytes(outputs[:count])
        landed = torch.empty((padded, ROW_BYTES), dtype=torch.int8, pin_memory=True)
        landed.copy_(outputs, non_blocking=True)
        arrival = torch.cuda.Event()
        arrival.record()

        def collect() -> bytes:
            arrival.synchronize()
            return _to_bytes(landed[:count])

        return collect

    def _load(self, layer: Matrix) -> Tensor:
        """Bring a matrix to the device, column by column as the int8 kernels read it."""
        tensor = self._torch.from_numpy(np.ascontiguousarray(layer.T)).to(self._processor)
        return tensor.to(self._operands).t()

    def _forward(self, rows: Tensor) -> Tensor:
        values = rows.to(self._operands)
        for layer in self._layers:
            values = self._keep_middle_bits(self._multiply(values, layer), self._operands)
        return values.to(self._torch.int8)

    def _multiply_int8(self, values: Tensor, layer: Tensor) -> Tensor:
        return self._torch._int_mm(values, layer)  # noqa: SLF001 - torch's only door to int8 units

    def _multiply_bf16(self, values: Tensor, layer: Tensor) -> Tensor:
        return self._torch.mm(values, layer, out_dtype=self._torch.float32)

    def _choose_shift(self) -> Callable[[Tensor, Any], Tensor]:
        """Return the shift as one compiled kernel, or as few of torch's own as it takes."""
        plain = self._shift_in_place if self._operands == self._torch.int8 else _middle_bits
        if not self._is_fused:
            return plain
        compiled: Callable[[Tensor, Any], Tensor] = self._torch.compile(_middle_bits, dynamic=True)
        sums = self._torch.zeros((64, 64), dtype=self._torch.int32, device=self._processor)
        try:
            compiled(sums, self._operands)
        except MISSING:
            return plain
        return compiled

    def _shift_in_place(self, sums: Tensor, operands: Any) -> Tensor:  # noqa: ANN401 - a torch.dtype
        """Shift and drop the high bits in one pass over the sums; the rest pass over bytes."""
        bits = self._torch.empty(sums.shape, dtype=operands, device=self._processor)
        self._torch.bitwise_right_shift(sums, SHIFT, out=bits)
        bits &= VALUE_MASK
        bits -= VALUE_MAGNITUDE
        return bits

    def _choose_slab(self) -> tuple[int, Callable[[Tensor], Tensor]]:
        """Return the fastest slab and its run; on the processor one size does."""
        if not self._is_gpu:
            return SLAB_ON_PROCESSOR, self._forward
        best: tuple[float, int, Callable[[Tensor], Tensor]] | None = None
        for slab in SLABS:
            if slab > SLABS[0] and slab * self._width > SLAB_SUMS_MAX:
                break
            run = self._record(slab)
            seconds = self._time(run, slab)
            if best is None or seconds < best[0]:
                best = seconds, slab, run
        assert best is not None, "the smallest slab is always tried"
        return best[1], best[2]

    def _record(self, slab: int) -> Callable[[Tensor], Tensor]:
        """Record the pass of one slab as a CUDA graph, or run it layer by layer if refused."""
        if not self._is_fused:
            return self._forward
        torch = self._torch
        held = torch.zeros((slab, ROW_BYTES), dtype=torch.int8, device=self._processor)
        # Kernels are chosen and compiled in the first runs, which a graph must not contain.
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._forward(held)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                result = self._forward(held)
        except MISSING:
            return self._forward

        def run(rows: Tensor) -> Tensor:
            held.copy_(rows)
            graph.replay()
            return result

        return run

    def _time(self, run: Callable[[Tensor], Tensor], slab: int) -> float:
        """Return the seconds that a row takes."""
        torch = self._torch
        rows = torch.randint(-32, 32, (slab, ROW_BYTES), dtype=torch.int8, device=self._processor)
        run(rows)
        torch.cuda.synchronize()
        runs = 0
        start = now = time.perf_counter()
        while runs == 0 or now - start < TUNING_SECONDS:
            for _ in range(4):
                run(rows)
            torch.cuda.synchronize()
            runs += 4
            now = time.perf_counter()
        return (now - start) / (runs * slab)


class TorchDevice:
    """A processor of this machine through torch, with one type of operands.

    ``is_fused`` compiles kernels and records graphs; without, every step is one of torch's own, for
    machines whose driver or compiler does not go along.
    """

    __slots__ = ("_is_fused", "_operands", "_processor", "name")

    def __init__(self, name: str, *, processor: str, operands: str, is_fused: bool) -> None:
        assert processor in {"cpu", "cuda"}, "torch knows more devices, this project does not"
        assert operands in {INT8, BF16}, "only these types hold our values exactly"
        self.name = name
        self._processor = processor
        self._operands = operands
        self._is_fused = is_fused

    def open(self, layers: Sequence[Matrix]) -> TorchBackend:
        """Load a network.

        Raises: BackendUnavailable.
        """
        torch = _import_torch()
        if self._processor == "cuda" and not torch.cuda.is_available():
            raise BackendUnavailable("torch sees no CUDA device")
        try:
            return TorchBackend(
                torch,
                layers,
                processor=self._processor,
                operands=self._operands,
                is_fused=self._is_fused,
            )
        except MISSING as problem:
            raise BackendUnavailable(f"{self.name}: {problem}") from problem


def _import_torch() -> ModuleType:
    """Import torch only now: it is optional, and slow to load."""
    try:
        return import_module("torch")
    except ImportError as missing:
        raise BackendUnavailable("torch is not installed: pip install torch") from missing


def _middle_bits(sums: Tensor, operands: Any) -> Tensor:  # noqa: ANN401 - a torch.dtype
    """Keep six middle bits of each sum, as ``runtime.pocps.forward_pass`` says."""
    bits = sums.int() if sums.is_floating_point() else sums
    return (((bits >> SHIFT) & VALUE_MASK) - VALUE_MAGNITUDE).to(operands)


def _to_bytes(rows: Tensor) -> bytes:
    octets: bytes = rows.contiguous().numpy().tobytes()
    return octets
