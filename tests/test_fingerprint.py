"""What the package's own digest is made of."""

import os

from tsmemory import fingerprint
from tsmemory.fingerprint import (
    _digest_of_folder,
    code_digest,
    known_sha256,
    package_digest,
    sha256_of_file,
)


def _swapped(folder, text):
    folder.mkdir()
    (folder / "code.py").write_text("x = 1\n")
    (folder / "model.safetensors").write_text(text)
    return _digest_of_folder(folder)


def test_weights_of_the_same_size_count_by_content(tmp_path):
    assert _swapped(tmp_path / "a", "one") == _swapped(tmp_path / "b", "one")
    assert _swapped(tmp_path / "c", "two") != _swapped(tmp_path / "d", "one")


def test_compiled_files_do_not_count(tmp_path):
    before = _swapped(tmp_path / "a", "one")
    _swapped(tmp_path / "b", "one")
    (tmp_path / "b/__pycache__").mkdir()
    (tmp_path / "b/__pycache__/code.pyc").write_text("x")
    _digest_of_folder.cache_clear()
    assert _digest_of_folder(tmp_path / "b") == before


def test_a_known_digest_is_read_once_and_anew_after_a_write(tmp_path, monkeypatch):
    path, reads = tmp_path / "weights", []
    path.write_text("one")
    monkeypatch.setattr(
        fingerprint, "sha256_of_file", lambda file: (reads.append(file), sha256_of_file(file))[1]
    )
    first = known_sha256(path)
    assert known_sha256(path) == first
    assert len(reads) == 1
    about = path.stat()
    other = tmp_path / "other"
    other.write_text("two")
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))
    os.replace(other, path)  # same size, same time, other content
    assert known_sha256(path) == sha256_of_file(path) != first


def test_the_code_digest_follows_the_package_and_the_libraries(monkeypatch):
    before = code_digest()
    assert len(package_digest()) == len(before) == 16
    monkeypatch.setattr(fingerprint, "package_digest", lambda: "edited")
    edited = code_digest()
    monkeypatch.setattr(fingerprint, "installed_versions", lambda: {"torch": "9"})
    assert len({before, edited, code_digest()}) == 3
