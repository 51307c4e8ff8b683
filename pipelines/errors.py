"""Errors that end a command or fail a case, and their one-line messages."""

import logging
import traceback

from transect.data_adapters.base import BadInput

log = logging.getLogger("transect")


class UsageError(ValueError):
    """Wrong arguments or settings; the message states what is allowed."""


class StoreError(OSError):
    """The tracking store cannot be used; the message names it and says why."""


def one_line(error: Exception) -> str:
    """The message of a failed case on one line; the traceback of an unexpected error is logged."""
    if not isinstance(error, BadInput | OSError):
        log.error("%s", traceback.format_exc())
    kind = "" if isinstance(error, BadInput) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def raise_signal(error: BaseException) -> None:
    """Raise the KeyboardInterrupt or SystemExit that an exception in a library's clean-up code masked, if any."""
    context = error.__context__
    while context is not None:
        if isinstance(context, KeyboardInterrupt | SystemExit):
            raise context
        context = context.__context__
