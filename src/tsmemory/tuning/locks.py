"""Locks that end with the process that holds them, however it ends."""

import errno
import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_PAUSE = 0.01  # seconds between two tries, where locks cannot be waited for


class FileLock:
    """An exclusive lock on a file, between processes and between holders in one process.

    The system gives it back when its holder ends, so that a kill leaves nothing to clean up. Where
    the system has no such locks (Windows), an exclusively created file stands for one, and one that
    a killed process has left has to be removed by hand.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is made when the lock is taken."""
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Wait for the lock; always true, as Optuna's journal asks."""
        while not self.try_acquire():
            time.sleep(_PAUSE)
        return True

    def try_acquire(self) -> bool:
        """Take the lock if nobody holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        exclusive = 0 if fcntl else os.O_EXCL
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_RDWR | exclusive, 0o644)
        except FileExistsError:
            return False
        if fcntl:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lock back; of no effect if it is not held."""
        if self._handle is None:
            return
        os.close(self._handle)
        self._handle = None
        if not fcntl:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> "FileLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock on a file."""
    if not path.exists():
        return False
    lock = FileLock(path)
    if not lock.try_acquire():
        return True
    lock.release()
    return False
