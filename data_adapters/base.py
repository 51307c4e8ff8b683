"""The interface of data adapters: `Case`, `Adapter` and the error `BadInput`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar


class BadInput(ValueError):
    """An input that cannot be used, told in one line that a user can act on.

    `file` is the path or URL at fault, `field` the part of it that is wrong (a band, a column, the CRS), `found`
    and `expected` the two sides of the disagreement, and `advice` what to do about it.
    """

    def __init__(self, file: object, field: str, found: object, expected: object, advice: str = "") -> None:
        message = f"{file}: {field}: found {found}, expected {expected}"
        super().__init__(" ".join(f"{message}; {advice}".rstrip("; ").split()))
        self.file, self.field, self.found, self.expected, self.advice = str(file), field, found, expected, advice

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.file, self.field, self.found, self.expected, self.advice))


def reason(error: Exception) -> str:
    """What an error says without the name of the file, which a `BadInput` names itself."""
    return str(getattr(error, "strerror", None) or error)


@dataclass(frozen=True)
class Case:
    """The unit that is read, predicted and written as a whole.

    `id` is unique under its root and safe as a folder name. `group` is what a split must not cut: a patient, a
    scene, a site. `files` are the paths or URLs that make up the case. `split` is "train", "val" or "test" where
    the data set says so, else empty.
    """

    id: str
    group: str
    files: tuple[str, ...]
    split: str = ""


CaseT = TypeVar("CaseT", bound=Case)
Sample = TypeVar("Sample", covariant=True)
Prediction = TypeVar("Prediction", contravariant=True)


class Adapter(Protocol[CaseT, Sample, Prediction]):
    """One domain's formats. `columns` names the files of one case, as a table or a served request gives them."""

    columns: tuple[str, ...]

    def cases(self, *inputs: str) -> Sequence[CaseT]:
        """The cases that `inputs` hold, in a stable order; opens nothing large.

        Inputs are one folder, one table, or the files of one case in the order of `columns`. A case that is
        incomplete is listed all the same: `read` refuses it, so that it fails alone.

        Raises:
            BadInput: the inputs hold no case, or cannot be listed.
        """
        ...

    def read(self, case: CaseT) -> Sample:
        """Open `case`; the sample may be a handle that reads lazily.

        Raises:
            BadInput: names the file, the field, what was found and what was expected.
        """
        ...

    def write(self, case: CaseT, prediction: Prediction, folder: Path, source: str) -> dict[str, float | str]:
        """Write `prediction` into the empty `folder` in the domain's own formats.

        `source` names the model and its version in a line, for the place that a format keeps for it.

        Returns what a report says about the case in a line: short facts, with their units in the names.
        """
        ...

    def phantom(self, root: Path, count: int, seed: int) -> None:
        """Write `count` small valid cases with known answers under `root`, in the layout users download."""
        ...
