"""The error tree: every expected failure has one of these fates, and every other is our own bug.

::

    LoopinError            expected; always handled
      DecodeError          bytes are not a canonical encoding      -> blame the sender
      InvalidBlock         breaks a rule every node checks         -> reject the block
      InvalidExtrinsic     can be in no valid block                -> drop it, no cost
      DispatchError        included, failed                        -> fee kept, writes undone
      ConfigError          a file, key or option is unusable       -> tell the operator what to do
    AssertionError         our own bug                             -> never caught; the node stops

Leaf classes live beside the code that raises them.
"""


class LoopinError(Exception):
    """Any failure that the program expects and handles."""

    @property
    def reason(self) -> str:
        """The name of the error as a machine reads it: the class name."""
        return type(self).__name__


class DecodeError(LoopinError):
    """The bytes are not the canonical encoding of any value of the wanted type."""


class InvalidBlock(LoopinError):
    """The block breaks a rule that every node checks."""


class InvalidExtrinsic(LoopinError):
    """The extrinsic can be in no valid block built on the state it was checked against."""


class DispatchError(LoopinError):
    """The call was included and failed: its fee is kept and its writes are undone."""


class ConfigError(LoopinError):
    """A file, key or option given by the operator is unusable; the message says what to do."""
