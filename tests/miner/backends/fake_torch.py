"""A stand-in for torch with a CUDA device: numpy arrays, and the device's habits that can hurt.

* Copies to the processor land only when their event is waited for; read early, they are poison.
* While a graph is recorded nothing is computed: results are poison until a replay.
* The int8 product refuses the shapes that the real kernels refuse.

It stands for meaning, not for speed; whether real kernels are exact is what the trials are for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

POISON = 0x55
Array = Any


class FakeCompilerMissing(RuntimeError):
    """What a machine without a compiler for kernels answers."""


class Tensor:
    def __init__(self, torch: "FakeTorch", array: Array, dtype: str) -> None:
        self.torch = torch
        self.array = array
        self.dtype = dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    def is_floating_point(self) -> bool:
        return self.dtype in {"float32", "bfloat16"}

    def __getitem__(self, key: slice) -> "Tensor":
        return Tensor(self.torch, self.array[key], self.dtype)

    def __setitem__(self, key: slice, value: "Tensor") -> None:
        self.array[key] = value.array

    def copy_(self, source: "Tensor", *, non_blocking: bool = False) -> "Tensor":
        if non_blocking:
            # Stream order: the values of now, landing later.
            values = source.array.copy()
            self.array.fill(POISON)
            self.torch.landing.append(lambda: np.copyto(self.array, values))
        else:
            self.torch.perform(lambda: np.copyto(self.array, source.array))
        return self

    def to(self, target: Any, *, non_blocking: bool = False) -> "Tensor":
        if target == "cuda device":
            return self.torch.compute(lambda: self.array, self.dtype)
        return self.torch.compute(lambda: self.array.astype(numpy_type(target)), target)

    def t(self) -> "Tensor":
        return Tensor(self.torch, self.array.T, self.dtype)

    def __rshift__(self, bits: int) -> "Tensor":
        return self.torch.compute(lambda: self.array >> bits, self.dtype)

    def __and__(self, mask: int) -> "Tensor":
        return self.torch.compute(lambda: self.array & mask, self.dtype)

    def __sub__(self, number: int) -> "Tensor":
        return self.torch.compute(lambda: self.array - number, self.dtype)

    def __iand__(self, mask: int) -> Self:
        self.torch.perform(lambda: np.bitwise_and(self.array, mask, out=self.array))
        return self

    def __isub__(self, number: int) -> Self:
        self.torch.perform(lambda: np.subtract(self.array, number, out=self.array))
        return self

    def contiguous(self) -> "Tensor":
        return Tensor(self.torch, np.ascontiguousarray(self.array), self.dtype)

    def numpy(self) -> Array:
        return self.array

    def int(self) -> "Tensor":
        return self.to("int32")


def numpy_type(dtype: str) -> Any:
    # bfloat16 holds our values exactly, and so does float32.
    return {"int8": np.int8, "int32": np.int32}.get(dtype, np.float32)


class FakeEvent:
    def __init__(self, torch: "FakeTorch") -> None:
        self.torch = torch
        self.due = 0

    def record(self) -> None:
        self.due = len(self.torch.landing)

    def synchronize(self) -> None:
        for land in self.torch.landing[: self.due]:
            land()


class FakeStream:
    def wait_stream(self, other: "FakeStream") -> None:
        assert other is not self, "a stream that waits for itself waits for nothing"


class FakeGraph:
    def __init__(self) -> None:
        self.steps: list[Callable[[], object]] = []
        self.replays = 0

    def replay(self) -> None:
        self.replays += 1
        for step in self.steps:
            step()


class FakeCuda:
    def __init__(self, torch: "FakeTorch") -> None:
        self.torch = torch
        self.main = FakeStream()
        self.graphs: list[FakeGraph] = []

    def is_available(self) -> bool:
        return True

    def Event(self) -> FakeEvent:  # noqa: N802 - torch's name
        return FakeEvent(self.torch)

    def Stream(self) -> FakeStream:  # noqa: N802 - torch's name
        return FakeStream()

    def CUDAGraph(self) -> FakeGraph:  # noqa: N802 - torch's name
        self.graphs.append(FakeGraph())
        return self.graphs[-1]

    def current_stream(self) -> FakeStream:
        return self.main

    def synchronize(self) -> None:
        assert self.torch.recording is None, "a recording device cannot be waited for"

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        yield

    @contextmanager
    def graph(self, graph: FakeGraph) -> Iterator[None]:
        if not self.torch.can_record:
            raise RuntimeError("graphs are not supported")
        self.torch.recording = graph
        yield
        self.torch.recording = None


class FakeTorch:
    """Stands where the module ``torch`` would."""

    int8 = "int8"
    int32 = "int32"
    float32 = "float32"
    bfloat16 = "bfloat16"

    def __init__(self, *, can_compile: bool = True, can_record: bool = True) -> None:
        self.can_compile = can_compile
        self.can_record = can_record
        self.recording: FakeGraph | None = None
        self.landing: list[Callable[[], object]] = []
        self.cuda = FakeCuda(self)
        self.compiled_calls = 0

    def compute(self, make: Callable[[], Array], dtype: str) -> Tensor:
        """Make a new tensor; while recording, its values come with the replay."""
        array = np.array(make(), dtype=numpy_type(dtype))
        if self.recording is not None:
            array.fill(POISON)
            self.recording.steps.append(lambda: np.copyto(array, make(), casting="unsafe"))
        return Tensor(self, array, dtype)

    def perform(self, change: Callable[[], object]) -> None:
        """Change a tensor in place; while recording, only in the replay."""
        if self.recording is not None:
            self.recording.steps.append(change)
        else:
            change()

    def device(self, name: str) -> str:
        return f"{name} device"

    def compile(self, function: Callable[..., Tensor], *, dynamic: bool) -> Callable[..., Tensor]:
        assert dynamic, "a kernel per batch size would be compiled for minutes"

        def compiled(*arguments: Any) -> Tensor:
            if not self.can_compile:
                raise FakeCompilerMissing("no compiler")
            self.compiled_calls += 1
            return function(*arguments)

        return compiled

    def zeros(self, shape: tuple[int, int], *, dtype: str, **_: Any) -> Tensor:
        return Tensor(self, np.zeros(shape, numpy_type(dtype)), dtype)

    def empty(self, shape: tuple[int, int], *, dtype: str, **_: Any) -> Tensor:
        return Tensor(self, np.full(shape, POISON, numpy_type(dtype)), dtype)

    def randint(self, low: int, high: int, shape: tuple[int, int], **_: Any) -> Tensor:
        return Tensor(self, np.random.default_rng(0).integers(low, high, shape, np.int8), "int8")

    def from_numpy(self, array: Array) -> Tensor:
        return Tensor(self, array, str(array.dtype))

    def bitwise_right_shift(self, sums: Tensor, bits: int, *, out: Tensor) -> None:
        self.perform(lambda: np.copyto(out.array, sums.array >> bits, casting="unsafe"))

    def _int_mm(self, left: Tensor, right: Tensor) -> Tensor:
        assert (left.dtype, right.dtype) == ("int8", "int8")
        rows, inner = left.shape
        if rows <= 16 or inner % 8 or right.shape[1] % 8:
            raise RuntimeError(f"_int_mm takes no {left.shape} by {right.shape}")
        # Exact in float64, and its product is fast.
        wide = right.array.astype(np.float64)
        return self.compute(lambda: left.array.astype(np.float64) @ wide, "int32")

    def mm(self, left: Tensor, right: Tensor, *, out_dtype: str) -> Tensor:
        assert (left.dtype, right.dtype, out_dtype) == ("bfloat16", "bfloat16", "float32")
        return self.compute(lambda: left.array @ right.array, "float32")
