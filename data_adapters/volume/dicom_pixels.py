"""The pixels of DICOM images, as pydicom's plugins decode them."""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame
from pydicom.pixels import get_decoder
from pydicom.pixels.decoders.base import Decoder
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from transect.data_adapters.base import BadInput
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, reason
from transect.data_adapters.volume.dicom_slices import Slice

DECODERS = {
    "JPEG-LS": ("pyjpegls", "pyjpegls"),
    "JPEG 2000": ("pylibjpeg", "pylibjpeg-openjpeg"),
    "JPEG": ("gdcm", "python-gdcm"),
}
"""The plugin of pydicom, and its package, for a family of transfer syntaxes, by a part of their names; the first that
fits. Others are not tried: GDCM ends the process on damaged JPEG 2000 and JPEG-LS streams."""

UNCHANGED: dict[str, Any] = {"correct_unused_bits": False}

START_OF_PIXELS = {
    ImplicitVRLittleEndian: b"\xe0\x7f\x10\x00",
    ExplicitVRLittleEndian: b"\xe0\x7f\x10\x00OW\x00\x00",
}
"""What precedes the length of the pixels in an uncompressed file, by its transfer syntax."""

LARGEST = 1 << 28
"""The most pixels of one frame."""

CODESTREAM = b"\xff\x4f\xff\x51"
"""How a JPEG 2000 codestream starts; its size follows."""

FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""The markers of JPEG and JPEG-LS that precede precision, rows, columns and number of components."""

SEGMENTS = FRAME_HEADERS | {0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, *range(0xE0, 0xF0), 0xF8, 0xFE}
"""All markers that stand before a scan; each has its length."""

QUANTITATIVE = ("CT", "PT", "NM")
"""Modalities whose values are physical, so that MONOCHROME1 only says how to show them."""


def read_frames(slices: Sequence[Slice]) -> NDArray[Any]:
    """The values of images of one size.

    Returns:
        `(X, Y, Z)`: the stored integers where no image is rescaled, else float32. Images with inverted grey levels
        (MONOCHROME1) are inverted, unless their values are physical.

    Raises:
        BadInput: a file is damaged, or compressed in a way that needs another package, which the message names.
    """
    scaled = any(image.rescale != (1.0, 0.0) for image in slices)
    values: NDArray[Any] | None = None
    opened: tuple[Path, Dataset, Decoder] | None = None
    for k, image in enumerate(slices):
        frame = _uncompressed(image)
        if frame is None:
            if opened is None or opened[0] != image.path:
                opened = image.path, *_open(image)
            frame = _frame(image, *opened[1:])
        if values is None:
            dtype = np.dtype(np.float32) if scaled else np.result_type(*{image.pixels.dtype for image in slices})
            values = np.empty((*image.size, len(slices)), dtype)
        values[:, :, k] = (frame * image.rescale[0] + image.rescale[1] if scaled else frame).T
    assert values is not None
    return values


def _uncompressed(image: Slice) -> NDArray[Any] | None:
    """The one frame of an uncompressed file, `(rows, columns)`, read from where its header ended.

    That saves parsing the header again, which is most of the time of small images. None for all other files, and for
    those that do not hold what their header says: `_open` reads them, and names what is wrong.
    """
    header, count = image.header, image.size[0] * image.size[1]
    syntax, end = header.file_meta.get("TransferSyntaxUID"), getattr(header, "end", None)
    if syntax not in START_OF_PIXELS or end is None or "PerFrameFunctionalGroupsSequence" in header:
        return None
    if image.pixels.allocated < 8 or count > LARGEST:
        return None
    size = count * image.pixels.allocated // 8
    start = START_OF_PIXELS[syntax]
    try:
        with image.path.open("rb") as file:
            file.seek(end)
            found = file.read(len(start) + 4 + size)
    except OSError:
        return None
    if not found.startswith(start) or len(found) != len(start) + 4 + size:
        return None
    if int.from_bytes(found[len(start) : len(start) + 4], "little") != size + size % 2:
        return None
    frame = np.frombuffer(found, image.pixels.dtype.newbyteorder("<"), offset=len(start) + 4)
    return _bits(frame.reshape(image.size[::-1]), image, native=True)


def _open(image: Slice) -> tuple[Dataset, Decoder]:
    """The file as a whole, and the decoder of its transfer syntax."""
    path = image.path
    if image.pixels.allocated < 8:
        raise BadInput(path, "BitsAllocated", image.pixels.allocated, "8, 16 or 32")
    if image.size[0] * image.size[1] > LARGEST:
        raise BadInput(path, "Rows and Columns", f"{image.size[1]} and {image.size[0]}", f"at most {LARGEST:,} pixels")
    try:
        with quiet():
            dataset = dcmread(path, force=True)
        syntax = UID(dataset.file_meta.get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    except FAILURES as error:
        raise BadInput(path, "file", reason(error), "a DICOM file that can be read") from error
    if "PixelData" not in dataset:
        raise BadInput(path, "PixelData", "none", "pixels")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise BadInput(path, "TransferSyntaxUID", syntax.name, "one that pydicom decodes") from error
    plugin, package = _plugin(syntax)
    if not decoder.is_available or (plugin and plugin not in decoder.available_plugins):
        advice = f"pip install {package}" if package else ""
        raise BadInput(path, "TransferSyntaxUID", syntax.name, "a compression for which a decoder is installed", advice)
    return dataset, decoder


def _plugin(syntax: UID) -> tuple[str, str]:
    """The plugin and the package that decode a transfer syntax; empty where pydicom itself does."""
    return next((plugin for name, plugin in DECODERS.items() if name in syntax.name), ("", ""))


def _frame(image: Slice, dataset: Dataset, decoder: Decoder) -> NDArray[Any]:
    """One frame, `(rows, columns)`, of the stored integers."""
    try:
        with quiet():
            if decoder.is_encapsulated:
                _require_header(image, dataset, decoder.UID)
            plugin, _ = _plugin(decoder.UID)
            frame, _ = decoder.as_array(dataset, index=image.frame, raw=True, decoding_plugin=plugin, **UNCHANGED)
    except BadInput:
        raise
    except FAILURES as error:
        advice = "it may be truncated: export it again"
        raise BadInput(image.path, "PixelData", reason(error), "pixels as the header says", advice) from error
    if frame.shape != image.size[::-1]:
        found = " x ".join(map(str, frame.shape))
        raise BadInput(image.path, "PixelData", found, f"{image.size[1]} x {image.size[0]}")
    return _bits(frame, image, native=not decoder.is_encapsulated or RLELossless == decoder.UID)


def _bits(frame: NDArray[Any], image: Slice, native: bool) -> NDArray[Any]:
    """The stored bits alone, with their sign: other bits may hold overlays. JPEG decoders move them to the lowest."""
    packed = image.pixels
    unused = packed.allocated - packed.stored
    if unused and frame.dtype.itemsize * 8 == packed.allocated:
        frame = np.left_shift(frame, packed.allocated - 1 - packed.high if native else unused) >> unused
    if packed.inverted and image.text("Modality") not in QUANTITATIVE:
        frame = (-1 - frame) if packed.signed else ((1 << packed.stored) - 1 - frame)
    return frame


def _require_header(image: Slice, dataset: Dataset, syntax: UID) -> None:
    """Refuse a compressed frame whose own header is damaged or claims another size: decoders believe it, or crash."""
    if syntax == RLELossless:
        return  # its header is checked by pydicom
    count = int(dataset.get("NumberOfFrames") or 1)
    code = get_frame(dataset.PixelData, image.frame, number_of_frames=count)
    found = 0, 0, 0
    if code[4:8] == b"jP  ":  # a file in place of its codestream
        code = code[max(code.find(CODESTREAM), 0) :]
    if code[:4] == CODESTREAM:
        right, bottom, left, top = struct.unpack(">4I", code[8:24])
        found = right - left, bottom - top, 1
    elif code[:2] == b"\xff\xd8":
        found = _jpeg_size(code)
    if found != (*image.size, 1):
        expected = f"{image.size[0]} columns, {image.size[1]} rows, 1 value each"
        raise BadInput(image.path, "PixelData", f"a compressed frame of {found}", expected, "it may be damaged")


def _jpeg_size(code: bytes) -> tuple[int, int, int]:
    """Columns, rows and components in the header of a JPEG or JPEG-LS stream; zeros where it is not well formed."""
    place, found = 2, (0, 0, 0)
    while place + 4 <= len(code):
        start, marker, length = struct.unpack(">BBH", code[place : place + 4])
        if start != 0xFF or length < 2 or marker not in SEGMENTS:
            break
        if marker == 0xDA:  # the scan begins
            return found
        if marker in FRAME_HEADERS:
            precision, rows, columns, components = struct.unpack(">BHHB", code[place + 4 : place + 10])
            if found != (0, 0, 0) or not 2 <= precision <= 16:
                break
            found = columns, rows, components
        place += 2 + length
    return 0, 0, 0
