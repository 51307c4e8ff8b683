"""Read spectra files of any supported format, one spectrum at a time."""

from collections.abc import Callable, Iterator
from io import BufferedReader

from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectra.mgf import mgf_labels, mgf_spectra
from transect.data_adapters.peptide.spectra.source import format_of, opened
from transect.data_adapters.peptide.spectrum import Spectrum


def read_spectra(path: str) -> Iterator[Spectrum]:
    """Read the spectra of an MGF, mzML or mzXML file in order, without MS1.

    The format is detected from the content; gzip is decompressed. `Spectrum.index` counts all spectra, including MS1.
    An unusable spectrum is yielded with its `problem`; an SEQ that cannot be parsed only means no label.

    Raises:
        BadInput: the file cannot be read or has an unknown format; while iterating, that it is damaged or truncated.
    """
    return _read(path, _reader(format_of(path)))


def read_labels(path: str) -> Iterator[Peptide | None]:
    """The labels of the spectra, as from `read_spectra`, without reading peaks.

    Raises:
        BadInput: as in `read_spectra`, except for errors within a spectrum.
    """
    if format_of(path) != "mgf":
        return
    with opened(path) as file:
        yield from mgf_labels(file, path)


def _reader(name: str) -> Callable[[BufferedReader, str], Iterator[Spectrum]]:
    if name == "mgf":
        return mgf_spectra
    if name == "mzml":
        from transect.data_adapters.peptide.spectra.mzml import mzml_spectra

        return mzml_spectra
    from transect.data_adapters.peptide.spectra.mzxml import mzxml_spectra

    return mzxml_spectra


def _read(path: str, reader: Callable[[BufferedReader, str], Iterator[Spectrum]]) -> Iterator[Spectrum]:
    with opened(path) as file:
        yield from reader(file, path)
