"""One run at a time for each domain: runs share artefacts, scratch space and ledger."""

import json
import os
import time
from pathlib import Path

from tsmemory.runs.errors import RefusedRunError

_STARTING_SECONDS = 5.0  # a lock without a holder: its process is about to write it, or was killed
_HELD: set[Path] = set()  # by this process


class DomainLock:
    """A file that exists while a run is under way and names its process."""

    def __init__(self, path: Path) -> None:
        """Take the lock; one that a killed process left is taken over.

        Args:
            path: The lock file; its folder is made.

        Raises:
            RefusedRunError: Another run holds it.
        """
        self.path = path.absolute()
        self._process = os.getpid()
        self._made = [f for f in self.path.parents if not f.exists()]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while not self._create():
            text, age = _read(self.path)
            if _is_held(self.path, text, age):
                self._remove_folders()
                raise RefusedRunError(_explain(self.path, text))
            self._set_aside(text)
        _HELD.add(self.path)
        self._held = True

    def release(self) -> None:
        """Give the lock back; of no effect the second time, and in forked workers."""
        if self._held and os.getpid() == self._process:
            self._held = False
            self.path.unlink(missing_ok=True)
            _HELD.discard(self.path)
            self._remove_folders()

    def _create(self) -> bool:
        try:
            file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return False
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            json.dump({"pid": self._process, "started": _started(self._process)}, opened)
        return True

    def _set_aside(self, text: str) -> None:
        """Remove a dead process's lock, and no other that has come in its place meanwhile."""
        aside = self.path.with_name(f"{self.path.name}.{self._process}")
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:
            return  # someone else took it over
        if _read(aside)[0] != text and not self.path.exists():
            os.replace(aside, self.path)
        aside.unlink(missing_ok=True)

    def _remove_folders(self) -> None:
        """A run that made nothing leaves nothing."""
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return  # there are artefacts in it


def _read(path: Path) -> tuple[str, float]:
    """Content of a lock file and its age in seconds; an old empty one if it has just gone."""
    try:
        return path.read_text(encoding="utf-8"), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return "", float("inf")


def _is_held(path: Path, text: str, age: float) -> bool:
    """Whether a live process holds the lock."""
    try:
        holder = json.loads(text)
        pid, started = int(holder["pid"]), holder["started"]
    except (ValueError, KeyError, TypeError):
        return age < _STARTING_SECONDS
    if pid == os.getpid():
        return path in _HELD  # else the number was another process's, before this one's
    return _is_alive(pid) and _started(pid) == started


def _is_alive(pid: int) -> bool:
    if os.name == "nt":
        return True  # to ask would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _started(pid: int) -> str | None:
    """When a process began, so that a number given out again is not taken for its first owner.

    Returns:
        Clock ticks since boot; ``None`` where the system does not tell or the process has ended.
    """
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if state[0] == "Z" else state[19]


def _explain(path: Path, text: str) -> str:
    try:
        holder = f"process {json.loads(text)['pid']}"
    except (ValueError, KeyError, TypeError):
        holder = "a process that has just begun"
    return (
        f"another run of this domain is under way ({holder}): wait for it, or give this run a "
        f"domain of its own with `--params domain=<name>`. If no such run exists, delete {path}."
    )
