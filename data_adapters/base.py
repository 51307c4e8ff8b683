"""The interface of data adapters: `Case`, `Adapter` and the error `BadInput`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar


class BadInput(ValueError):
    """An input that cannot be used; the message is one line that a user can act on.

    Args:
        file: Path or URL at fault.
        field: The part of it that is wrong, such as a band, a column or the CRS.
        found: What the file has.
        expected: What it should have.
        advice: What to do about it; may be empty.
    """

    def __init__(self, file: object, field: str, found: object, expected: object, advice: str = "") -> None:
        message = f"{file}: {field}: found {found}, expected {expected}"
        super().__init__(" ".join(f"{message}; {advice}".rstrip("; ").split()))
        self.file, self.field, self.found, self.expected, self.advice = str(file), field, found, expected, advice

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.file, self.field, self.found, self.expected, self.advice))


def reason(error: Exception) -> str:
    """The message of an error without the file name, which `BadInput` adds itself."""
    return str(getattr(error, "strerror", None) or error)


@dataclass(frozen=True)
class Case:
    """The unit that is read, predicted and written as a whole.

    Args:
        id: Unique under its root and safe as a folder name.
        group: Cases of one group stay in one split: a patient, a scene, a site.
        files: Paths or URLs that make up the case.
        split: "train", "val" or "test" where the data set defines it, else empty.
    """

    id: str
    group: str
    files: tuple[str, ...]
    split: str = ""

    def shown(self, text: str) -> str:
        """A path or a message as tables, records and logs show it; a medical case hides what identifies its patient."""
        return text


def shown(text: str, cases: Iterable[Case]) -> str:
    """A path or a message as all of `cases` show it."""
    for case in cases:
        text = case.shown(text)
    return text


CaseT = TypeVar("CaseT", bound=Case)
Sample = TypeVar("Sample", covariant=True)
Prediction = TypeVar("Prediction", contravariant=True)


class Adapter(Protocol[CaseT, Sample, Prediction]):
    """The file formats of one domain.

    `columns` are the names of the files of one case, as columns of a table or fields of a request to the server. An
    optional `unit` is what a case is called in the plural, such as "pairs"; optional `descriptions` are names of files
    that describe a whole data set, such as "dataset.json", and of folders that no case is read from.

    Optional too is a method `check(case, sample, folder)` for `transect check`: it reads the sample whole and returns
    facts about what was read, with anything suspicious under "warnings"; unless `folder` is None, it may write files
    there that show it. So is `example(folder)`, which writes the files of one case for a registered model into a folder
    and returns their names by column; by default they are those of a phantom.
    """

    columns: tuple[str, ...]

    def cases(self, *inputs: str) -> Sequence[CaseT]:
        """List the cases of `inputs` in a stable order, without reading their data.

        An incomplete case is listed too, so that it fails by itself in `read`.

        Args:
            inputs: One folder, one table, or the files of one case in the order of `columns`.

        Raises:
            BadInput: the inputs hold no case, or cannot be listed.
        """
        ...

    def read(self, case: CaseT) -> Sample:
        """Open `case`.

        Returns:
            The sample, which may read its data lazily.

        Raises:
            BadInput: names the file, the field, what was found and what was expected.
        """
        ...

    def write(self, case: CaseT, prediction: Prediction, folder: Path, source: str) -> dict[str, float | str]:
        """Write `prediction` in the domain's own formats.

        Args:
            case: The case that was predicted.
            prediction: May be lazy; it is consumed here.
            folder: An empty folder.
            source: Model name and version in one line, for the provenance field of a format.

        Returns:
            Facts about the case for a report, such as counts and areas, with units in their names.
        """
        ...

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write small synthetic cases with known ground truth, in the layout users download.

        Args:
            root: Folder to write to.
            count: Number of cases.
            seed: The same seed gives the same cases.
        """
        ...
