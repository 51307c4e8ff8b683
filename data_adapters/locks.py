"""Advisory locks on files among threads, processes and machines; the kernel releases those of a process that ends."""

import errno
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

_UNSUPPORTED = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}


@dataclass(frozen=True)
class Lock:
    """A lock that is held.

    Args:
        path: the file that is locked.
        descriptor: its open file descriptor.
        exclusive: False on a file system without locks, where others may hold it as well.
    """

    path: Path
    descriptor: int
    exclusive: bool

    def release(self) -> None:
        """Remove the file and give up the lock."""
        self.path.unlink(missing_ok=True)
        os.close(self.descriptor)


def acquire(path: Path, wait: bool) -> Lock | None:
    """Lock a file, which is created if necessary.

    Args:
        path: the file; its folder exists.
        wait: whether to wait for another holder to release it.

    Returns:
        The lock; None if another holds it and `wait` is False.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            exclusive = True
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            exclusive = False
            if error.errno not in _UNSUPPORTED:
                os.close(descriptor)
                raise
        except BaseException:
            os.close(descriptor)
            raise
        if not exclusive or _is_at(path, descriptor):
            return Lock(path, descriptor, exclusive)
        os.close(descriptor)  # An earlier holder has removed this file in the meantime.


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
