"""Errors that end a command or fail a case, and the one line that users see of them."""

import logging
import traceback

from transect.data_adapters.base import BadInput

log = logging.getLogger("transect")


class UsageError(ValueError):
    """The command cannot be carried out as it was given; the message says what is allowed."""


def one_line(error: Exception) -> str:
    """The message of a failed case, for a row of a table; the traceback of an unexpected error goes to the log."""
    if not isinstance(error, BadInput | OSError):
        log.error("%s", traceback.format_exc())
    kind = "" if isinstance(error, BadInput) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def raise_signal(error: BaseException) -> None:
    """Raise the KeyboardInterrupt or SystemExit that a library replaced by an error of its own during clean-up."""
    hidden = error.__context__
    while hidden is not None:
        if isinstance(hidden, KeyboardInterrupt | SystemExit):
            raise hidden
        hidden = hidden.__context__
