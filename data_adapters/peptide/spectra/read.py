"""Files of spectra, read one spectrum at a time."""

from collections.abc import Callable, Iterator
from io import BufferedReader

from transect.data_adapters.peptide.peptide import Peptide
from transect.data_adapters.peptide.spectra.mgf import mgf_labels, mgf_spectra
from transect.data_adapters.peptide.spectra.source import format_of, opened
from transect.data_adapters.peptide.spectrum import Spectrum


def read_spectra(path: str) -> Iterator[Spectrum]:
    """The spectra of an MGF, mzML or mzXML file in its order, those of MS1 left out.

    The format is told from the content; gzip is undone. All spectra count in `Spectrum.index`, MS1 ones too. A
    spectrum that cannot be used is yielded with its `problem`; an SEQ that cannot be read is no problem, and no label.

    Raises:
        BadInput: the file cannot be read or is of no known format; later, when all spectra before were yielded, that
            it is damaged or cut off.
    """
    return _read(path, _reader(format_of(path)))


def read_labels(path: str) -> Iterator[Peptide | None]:
    """The labels that `read_spectra` gives the spectra of `path`, without reading any peaks.

    Raises:
        BadInput: as `read_spectra`, save what is wrong within a spectrum.
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
