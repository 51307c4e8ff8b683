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
"""Returns `count` decoded bytes from offset `start`; raises ValueError if there are fewer."""


def from_ascii(text: str, dtype: np.dtype, count: int) -> NDArray:
    """Parse `count` numbers of an ASCII array.

    Raises:
        ValueError: there are more or fewer.
    """
    words = text.split(maxsplit=count)
    if len(words) != count:
        raise ValueError(f"{len(words)} numbers or more" if len(words) > count else f"{len(words)} numbers")
    return np.array(words, dtype)


def from_binary(take: Take, dtype: np.dtype, count: int, header: np.dtype, compressor: str | None) -> NDArray:
    """Decode `count` numbers of a binary array, decompressing no more bytes than they take.

    Args:
        take: Returns the encoded bytes.
        dtype: Type of the numbers, with byte order.
        count: Number of numbers.
        header: Type of the header's integers.
        compressor: VTK's name of the compressor, or None.

    Raises:
        ValueError: there are more or fewer numbers, or the data are damaged.
        zlib.error: compressed data are damaged; likewise lzma.LZMAError.
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
    compressed, content, position = take(start, sum(lengths)), bytearray(), 0
    for length in lengths:
        content += _decompress(compressor, compressed[position : position + length], size - len(content))
        position += length
    if len(content) != size:
        raise ValueError(f"{len(content)} bytes or more" if len(content) > size else f"{len(content)} bytes")
    return np.frombuffer(content, dtype)


def raw(data: bytes, offset: int = 0) -> Take:
    """Access to raw `data` from `offset` on."""

    def take(start: int, count: int) -> bytes:
        return _exactly(data[offset + start : offset + start + count], count)

    return take


def from_base64(data: bytes, offset: int = 0) -> Take:
    """Access to the content of base64 `data` from `offset` on."""

    def take(start: int, count: int) -> bytes:
        split = offset + _characters(start)
        if start % 3 == 0 or data[split - 1 : split] == b"=":
            coded, skipped = data[split : split + _characters(count)], 0
        else:
            coded, skipped = data[offset : offset + _characters(start + count)], start
        return _exactly(base64.b64decode(coded, validate=True)[skipped : skipped + count], count)

    return take


def _characters(count: int) -> int:
    """Number of base64 characters that encode `count` bytes."""
    return -(-count // 3) * 4


def _exactly(content: bytes, count: int) -> bytes:
    if len(content) != count:
        raise ValueError(f"{len(content)} of {count} bytes")
    return content


def _decompress(compressor: str, block: bytes, most: int) -> bytes:
    """Decompress `block`; at most `most` + 1 bytes, so that larger content is detected without being expanded."""
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
