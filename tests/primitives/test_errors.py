"""The error tree has five branches, and each error can name itself."""

from primitives.errors import (
    ConfigError,
    DecodeError,
    DispatchError,
    InvalidBlock,
    InvalidExtrinsic,
    LoopinError,
)


def test_every_fate_is_its_own_branch() -> None:
    fates = (DecodeError, InvalidBlock, InvalidExtrinsic, DispatchError, ConfigError)

    for fate in fates:
        assert issubclass(fate, LoopinError)
        assert not any(issubclass(fate, other) for other in fates if other is not fate)
    assert not issubclass(AssertionError, LoopinError)


def test_an_error_is_read_by_its_class_name() -> None:
    assert DecodeError("any words").reason == "DecodeError"
