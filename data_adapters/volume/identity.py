"""Keep what identifies a patient out of everything that is written, except DICOM objects.

A patient is shown as `patient-` and eight digits of a keyed hash. Its key is the environment variable TRANSECT_SALT, or
a secret file that is made once for a user, so that no one else can find the patient by hashing all numbers. Machines
that have the same TRANSECT_SALT show a patient alike, and split data alike.
"""

import getpass
import hashlib
import hmac
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydicom import Dataset

from transect.data_adapters.base import BadInput
from transect.data_adapters.files import safe_name
from transect.data_adapters.volume.dicom_headers import FAILURES, quiet, text

SHORTEST, SHORTEST_NUMBER = 3, 4
"""Shorter values are only replaced where they are a part of a path: in a sentence they are something else."""


def _pattern(value: str) -> str:
    """Where `value` is replaced in a text: as a part of a path with or without suffix, a longer one as a word too."""
    part = re.escape(value)
    places = [
        rf"(?<=/){part}(?=[\s/.:;,'\")]|$)",
        rf"(?:^|(?<=['\"(])){part}(?=/)",
        rf"(?<![\w.-]){part}(?=\.(\d+\.)*[a-z])",
    ]
    if len(value) >= (SHORTEST_NUMBER if value.isdigit() else SHORTEST):
        places.append(rf"(?<![^\W_]){part}(?![^\W_])(?!-[0-9a-f]{{8}}\b)")
    return "|".join(places)


@dataclass(frozen=True)
class Identity:
    """What a patient is shown as, and what is hidden.

    Args:
        name: Such as "patient-1f0c93ab"; "" where a format has no patient.
        values: PatientName, PatientID, OtherPatientIDs and PatientBirthDate, as they may appear in texts and paths.
        others: Other patients in the same folder, whose files a message may name.
    """

    name: str = ""
    values: tuple[str, ...] = field(default=(), repr=False)
    others: tuple["Identity", ...] = field(default=(), repr=False)

    def clean(self, text: str) -> str:
        """`text` with every value that identifies a patient replaced by that patient's name here."""
        folded = text.casefold()
        for value in self.values:
            if value.casefold() in folded:
                text = re.sub(_pattern(value), self.name, text, flags=re.IGNORECASE)
        for other in self.others:
            text = other.clean(text)
        return text

    def shown(self, path: str | Path) -> str:
        """A path, or a message with paths, in which all that identifies the patient is replaced."""
        folded = str(path).casefold()
        whole = (each.name for each in (self, *self.others) if folded in map(str.casefold, each.values))
        return next(whole, None) or self.clean(str(path))

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Replace what identifies the patient in the message of a `BadInput`, which names files."""
        try:
            yield
        except BadInput as error:
            if not self.name:
                raise
            found, expected = self.clean(str(error.found)), self.clean(str(error.expected))
            raise BadInput(
                self.shown(error.file), self.shown(error.field), found, expected, self.clean(error.advice)
            ) from None


def identity_of(*headers: Dataset) -> Identity:
    """The identity in the DICOM headers of one patient, who may be spelled in several ways.

    The PatientID of the first header names the patient, in upper or lower case; where there is none the name and the
    date of birth do, or else the study.
    """
    number, name, birth, study = (
        text(headers[0], keyword) for keyword in ("PatientID", "PatientName", "PatientBirthDate", "StudyInstanceUID")
    )
    values = {value for header in headers for value in _values(header)} - {"", "unnamed"}
    longest_first = sorted(values, key=lambda value: (-len(value), value))
    key = number.casefold() or f"{name} {birth}".strip() or study
    return Identity(f"patient-{pseudonym(key)}", tuple(longest_first))


def _values(header: Dataset) -> set[str]:
    """All that identifies the patient in a header, as it may be spelled."""
    number, name, birth = (text(header, keyword) for keyword in ("PatientID", "PatientName", "PatientBirthDate"))
    values = [number, birth, *_others(header)]
    if len(birth) == 8:
        values += [f"{birth[:4]}-{birth[4:6]}-{birth[6:]}", f"{birth[6:]}.{birth[4:6]}.{birth[:4]}"]
    for spelled in (part for part in name.split("=") if part.strip("^ ")):
        parts = [part for part in spelled.split("^") if part]
        orders = (parts, parts[::-1], parts[:2], parts[1::-1])  # family and given name, without further ones and titles
        values += [name, spelled]
        values += [glue.join(order) for order in orders for glue in (" ", "_", "-", ", ", "")]
    values += [safe_name(value) for value in values if value.strip("^= ")]
    return {unicodedata.normalize(form, value).strip() for value in values for form in ("NFC", "NFD")}


def _others(header: Dataset) -> list[str]:
    try:
        with quiet():
            others = header.get("OtherPatientIDs") or []
            nested = header.get("OtherPatientIDsSequence") or []
        return [*([others] if isinstance(others, str) else map(str, others)), *(text(i, "PatientID") for i in nested)]
    except FAILURES:  # a damaged element
        return []


def pseudonym(key: str) -> str:
    """Eight hexadecimal digits that only who has the salt can connect to `key`."""
    return hmac.new(_salt(), key.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:8]


@cache
def _salt() -> bytes:
    if given := os.environ.get("TRANSECT_SALT"):
        return given.encode()
    path = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "transect" / "salt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"salt.{os.getpid()}")
        if not path.exists():
            partial.write_text(secrets.token_hex(32))
            partial.chmod(0o600)
            try:
                os.link(partial, path)  # fails where another process was first
            except FileExistsError:
                pass
            finally:
                partial.unlink()
        return path.read_bytes()
    except OSError:  # no home to write to: the same in every process of this user here
        return f"{os.uname().nodename if hasattr(os, 'uname') else ''} {getpass.getuser()} {Path.home()}".encode()
