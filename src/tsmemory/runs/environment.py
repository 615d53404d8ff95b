"""What surrounds a run: installed libraries, the package's own source, the commit."""

import functools
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tsmemory.fingerprint import digest, sha256_of_file

# Libraries whose version changes numbers.
NUMERIC_PACKAGES = (
    "chronos-forecasting",
    "faiss-cpu",
    "numpy",
    "pandas",
    "torch",
    "transformers",
)


@functools.cache
def installed_versions(names: tuple[str, ...] = NUMERIC_PACKAGES) -> dict[str, str]:
    """Versions of packages, as far as they are installed."""
    found = {}
    for name in sorted(names):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def package_digest() -> str:
    """Digest of this package: its source files by content, bundled weights by size."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return digest(
        {
            path.relative_to(root).as_posix(): (
                sha256_of_file(path) if path.suffix == ".py" else path.stat().st_size
            )
            for path in files
            if "__pycache__" not in path.parts
        }
    )


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit that is checked out and whether files differ from it; ``None`` outside git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=True, timeout=20
    )
    return done.stdout.strip()
