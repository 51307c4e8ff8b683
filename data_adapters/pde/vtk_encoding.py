"""Decode the arrays of VTK's XML files: ASCII, base64 or raw, compressed in blocks or not.

Source: "VTK XML Formats" (VTK documentation). Binary data begin with a header of integers: uncompressed `[bytes]`, else
`[blocks][block size][last block's size][compressed size of each block]`. In base64 the header is encoded separately
from compressed data, and together with uncompressed data. `vtu` says why meshio does not do this.
"""

import base64
import lzma
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

TYPES = {
    **{
        f"{kind}{bits}": np.dtype(f"<{kind[0].lower()}{bits // 8}")
        for kind in ("Int", "UInt")
        for bits in (8, 16, 32, 64)
    },
    "Float32": np.dtype("<f4"),
    "Float64": np.dtype("<f8"),
}

Take = Callable[[int, int], bytes]
"""Gives `count` bytes that follow the first `start`, and raises ValueError where there are fewer."""


def from_ascii(text: str, dtype: np.dtype, count: int) -> NDArray:
    """`count` numbers that are written out; ValueError if there are more or fewer."""
    words = text.split(maxsplit=count)
    if len(words) != count:
        raise ValueError(f"{len(words)} numbers or more" if len(words) > count else f"{len(words)} numbers")
    return np.array(words, dtype)


def from_binary(take: Take, dtype: np.dtype, count: int, header: np.dtype, compressor: str | None) -> NDArray:
    """`count` numbers from coded bytes, of which no more are unpacked than these numbers take.

    Args:
        take: gives the bytes that are coded.
        dtype: of the numbers, with their byte order.
        count: how many there are.
        header: dtype of the header's integers.
        compressor: VTK's name of it, if any.

    Raises:
        ValueError: there are more or fewer numbers, or the data are damaged in another way; zlib's and lzma's own
            errors where packed ones are.
    """
    size = count * dtype.itemsize
    if size == 0:
        return np.empty(0, dtype)
    first = int(np.frombuffer(take(0, header.itemsize), header)[0])
    if compressor is None:
        if first != size:
            raise ValueError(f"{first} bytes")
        return np.frombuffer(take(header.itemsize, size), dtype)
    if not 0 < first <= size:
        raise ValueError(f"{first} packed blocks for {size} bytes")
    start = (3 + first) * header.itemsize
    lengths = [int(length) for length in np.frombuffer(take(0, start), header)[3:]]
    packed, unpacked, at = take(start, sum(lengths)), bytearray(), 0
    for length in lengths:
        unpacked += _unpack(compressor, packed[at : at + length], size - len(unpacked))
        at += length
    if len(unpacked) != size:
        raise ValueError(f"{len(unpacked)} bytes or more" if len(unpacked) > size else f"{len(unpacked)} bytes")
    return np.frombuffer(unpacked, dtype)


def raw(data: bytes, offset: int = 0) -> Take:
    """What lies in `data` from `offset` on."""

    def take(start: int, count: int) -> bytes:
        return _exactly(data[offset + start : offset + start + count], count)

    return take


def base64_coded(data: bytes, offset: int = 0) -> Take:
    """What is coded in base64 in `data` from `offset` on."""

    def take(start: int, count: int) -> bytes:
        split = offset + _characters(start)
        if start % 3 == 0 or data[split - 1 : split] == b"=":
            coded, skipped = data[split : split + _characters(count)], 0
        else:
            coded, skipped = data[offset : offset + _characters(start + count)], start
        return _exactly(base64.b64decode(coded, validate=True)[skipped : skipped + count], count)

    return take


def _characters(count: int) -> int:
    """How many base64 characters `count` bytes take."""
    return -(-count // 3) * 4


def _exactly(content: bytes, count: int) -> bytes:
    if len(content) != count:
        raise ValueError(f"{len(content)} of {count} bytes")
    return content


def _unpack(compressor: str, block: bytes, most: int) -> bytes:
    """What is packed in `block`, if it is at most `most` bytes; beyond them a byte is unpacked and no more."""
    unpacker: zlib._Decompress | lzma.LZMADecompressor
    if compressor == "vtkZLibDataCompressor":
        unpacker = zlib.decompressobj()
    elif compressor == "vtkLZMADataCompressor":
        unpacker = lzma.LZMADecompressor(memlimit=1 << 28)
    else:
        raise ValueError(f"the compressor {compressor}")
    content = unpacker.decompress(block, most + 1)
    if not unpacker.eof:
        raise ValueError("a block that is cut off, or larger than its array")
    return content
