import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tsmemory.series.errors import IngestionError
from tsmemory.series.sources import Source, locate

CONTENT = b"timestamp,value\n2020-01-01,1\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "public"
    folder.mkdir()
    (folder / "data.csv").write_bytes(CONTENT)
    handler = functools.partial(QuietHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()
        thread.join()


@pytest.fixture
def place(tmp_path):
    return tmp_path / "raw" / "data.csv"


def test_existing_file_is_used(place, caplog):
    place.parent.mkdir()
    place.write_bytes(CONTENT)
    assert locate(place, source=Source("http://127.0.0.1:1/never", SHA256), download=True) == place
    assert locate(place) == place
    assert caplog.text == ""


def test_other_content_warns_with_both_digests(place, caplog):
    place.parent.mkdir()
    place.write_bytes(b"other")
    assert locate(place, source=Source("http://127.0.0.1:1/never", SHA256)) == place
    assert SHA256 in caplog.text
    assert hashlib.sha256(b"other").hexdigest() in caplog.text


def test_missing_without_source(place):
    with pytest.raises(IngestionError, match=r"no such file; .*ingestion\.path=") as error:
        locate(place, download=True)
    assert str(place) in str(error.value)


def test_missing_names_the_three_ways(place):
    source = Source("https://example.org/data.csv", SHA256, variable="MY_DATA")
    with pytest.raises(IngestionError) as error:
        locate(place, source=source)
    text = str(error.value)
    assert str(place) in text
    assert '--params "ingestion.path=<file>" or the environment variable MY_DATA' in text
    assert '--params "ingestion.download=true"' in text
    assert "https://example.org/data.csv" in text
    assert not place.parent.exists()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_download(place, server, tmp_path, scheme):
    base = server if scheme == "http" else (tmp_path / "public").as_uri()
    assert locate(place, source=Source(f"{base}/data.csv", SHA256), download=True) == place
    assert place.read_bytes() == CONTENT
    assert list(place.parent.iterdir()) == [place]


def test_wrong_checksum_keeps_nothing(place, server):
    source = Source(f"{server}/data.csv", "0" * 64)
    with pytest.raises(IngestionError, match=f"{SHA256} instead of {'0' * 64}"):
        locate(place, source=source, download=True)
    assert list(place.parent.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/data.csv", "{server}/absent.csv"])
def test_failing_network_is_said(place, server, url):
    source = Source(url.format(server=server), SHA256)
    with pytest.raises(IngestionError, match=r"could not be downloaded .* by hand"):
        locate(place, source=source, download=True)
    assert list(place.parent.iterdir()) == []
