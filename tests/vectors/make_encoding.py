"""Write tests/vectors/encoding.json: ``python -m tests.vectors.make_encoding``.

Run it only when the encoding itself changes, in a commit of its own, and say so in the changelog
under State-breaking. The bytes come from an encoder of its own, never from the code under test.
"""

import json
import struct
from pathlib import Path
from typing import Any

PATH = Path(__file__).with_name("encoding.json")

VALUES: list[Any] = [
    None, False, True,
    0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1,
    -1, -32, -33, -128, -129, -32768, -32769, -(2**31), -(2**31) - 1, -(2**63),
    b"", b"\x00", bytes(range(32)), bytes(255), bytes(256),
    "", "a", "balances.transfer", "\u00df", "\u6f22\u5b57", "\U0001f30d", "x" * 31, "x" * 32,
    [], [0], [[]], [[[[1], 2], 3], 4], list(range(15)), list(range(16)),
    [1, b"\x01" * 32, 0, 2**64 - 1, 0, ["system.remark", b"hi"], b"\x02" * 64],
]  # fmt: skip
REFUSED = {
    "nothing at all": "",
    "two values": "0000",
    "a byte after an array": "9100c0",
    "an integer in two bytes where one does": "cc00",
    "127 in two bytes": "cc7f",
    "255 in three bytes": "cd00ff",
    "65535 in five bytes": "ce0000ffff",
    "2**32 - 1 in nine bytes": "cf00000000ffffffff",
    "a positive number in signed form": "d001",
    "a positive number in signed 64-bit form": "d30000000000000001",
    "-1 in two bytes": "d0ff",
    "-128 in three bytes": "d1ff80",
    "a short byte string with a two-byte length": "c5000100",
    "a short byte string with a four-byte length": "c60000000100",
    "a short text with a one-byte length": "d90161",
    "a short text with a two-byte length": "da000161",
    "a short text with a four-byte length": "db0000000161",
    "a short array with a two-byte length": "dc000100",
    "a short array with a four-byte length": "dd0000000100",
    "a map": "80",
    "a long map": "de0000",
    "a longer map": "df00000000",
    "a 32-bit float": "ca3f800000",
    "a 64-bit float": "cb3ff0000000000000",
    "an extension": "d40100",
    "a timestamp": "d6ff00000000",
    "a long extension": "c7000100",
    "the byte that MessagePack never uses": "c1",
    "text that is not UTF-8": "a1ff",
    "text with an overlong form": "a2c080",
    "text with a surrogate": "a3eda080",
    "an integer without its end": "cd00",
    "a byte string without its end": "c40200",
    "a length without its end": "c500",
    "an array without its items": "92c0",
    "an array that promises four billion items": "ddffffffff",
    "a byte string that promises four gigabytes": "c6ffffffff",
    "seventeen arrays within each other": "91" * 16 + "90",
}


def encode(value: Any) -> bytes:
    """Return the shortest MessagePack of ``value``, written from the format's table."""
    match value:
        case None:
            return b"\xc0"
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int():
            return encode_integer(value)
        case bytes():
            return sized(value, {8: 0xC4, 16: 0xC5, 32: 0xC6})
        case str():
            data = value.encode()
            if len(data) < 32:
                return bytes([0xA0 | len(data)]) + data
            return sized(data, {8: 0xD9, 16: 0xDA, 32: 0xDB})
        case list():
            items = b"".join(encode(item) for item in value)
            if len(value) < 16:
                return bytes([0x90 | len(value)]) + items
            return (b"\xdc" + struct.pack(">H", len(value))) + items
    raise TypeError(value)


def encode_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack("B", value & 0xFF)
    unsigned = [(8, 0xCC, ">B"), (16, 0xCD, ">H"), (32, 0xCE, ">I"), (64, 0xCF, ">Q")]
    signed = [(8, 0xD0, ">b"), (16, 0xD1, ">h"), (32, 0xD2, ">i"), (64, 0xD3, ">q")]
    for bits, first, form in unsigned if value > 0 else signed:
        if value < 2**bits if value > 0 else value >= -(2 ** (bits - 1)):
            return bytes([first]) + struct.pack(form, value)
    raise OverflowError(value)


def sized(data: bytes, firsts: dict[int, int]) -> bytes:
    for bits, first in firsts.items():
        if len(data) < 2**bits:
            return bytes([first]) + len(data).to_bytes(bits // 8, "big") + data
    raise OverflowError(len(data))


def to_json(value: Any) -> Any:
    """Return ``value`` as JSON that says which texts are bytes; big integers as texts."""
    match value:
        case None | bool():
            return value
        case int():
            return {"int": str(value)}
        case bytes():
            return {"hex": value.hex()}
        case str():
            return {"text": value}
    return [to_json(item) for item in value]


def main() -> None:
    accepted = [{"value": to_json(value), "hex": encode(value).hex()} for value in VALUES]
    refused = [{"why": why, "hex": data} for why, data in REFUSED.items()]
    text = json.dumps({"accepted": accepted, "refused": refused}, indent=1, ensure_ascii=True)
    PATH.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
