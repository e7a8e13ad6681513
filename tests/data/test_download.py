"""Downloads that are cut, refused, changed or damaged."""

import hashlib
import urllib.request

import pytest

from firstlight.data.download import Checksum, Retry, digest_of, download, fetch_text
from firstlight.errors import FetchError

QUICK = Retry(attempts=3, pause=0.001, timeout=5.0)
BODY = bytes(range(256)) * 4000  # about a megabyte
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "file.bin"


@pytest.fixture
def get(server, path):
    """Download the served file with the given options."""
    server.files["/file"] = BODY

    def get(**options):
        return download(f"{server.url}/file", path, **({"retry": QUICK} | options))

    return get


def left(path):
    return sorted(p.name for p in path.parent.iterdir())


def test_a_file_arrives_whole_and_alone(get, path):
    assert get(checksum=SHA256) == path
    assert path.read_bytes() == BODY
    assert left(path) == ["file.bin"]


def test_progress_is_reported_up_to_the_end(get):
    seen = []
    get(advance=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(BODY), len(BODY))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_cut_connection_is_resumed_where_it_stopped(get, server, path):
    server.cuts = [300_000, 200_000]
    get(checksum=SHA256)
    assert path.read_bytes() == BODY
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=500000-"]


def test_without_ranges_a_cut_download_starts_over(get, server, path):
    server.cuts, server.ranges = [300_000], False
    get(checksum=SHA256)
    assert path.read_bytes() == BODY
    assert len(server.requests) == 2


def test_without_a_version_nothing_is_resumed(get, server, path):
    server.cuts, server.tags = [300_000], False
    get(checksum=SHA256)
    assert [wanted for _, wanted in server.requests] == [None, None]
    assert path.read_bytes() == BODY


def test_a_later_run_resumes_an_earlier_download(get, server, path):
    server.cuts = [400_000, 0, 0, 0]
    with pytest.raises(FetchError, match=r"ended after 400000 of 1024000 bytes \(3 tries without a byte\)"):
        get()
    assert not path.exists()
    assert left(path) == ["file.bin.part", "file.bin.part.tag"]
    server.cuts = []
    get(checksum=SHA256)
    assert server.requests[-1] == ("/file", "bytes=400000-")
    assert path.read_bytes() == BODY


def test_two_versions_are_never_joined(get, server, path):
    server.cuts = [400_000, 0, 0, 0]
    with pytest.raises(FetchError):
        get()
    server.cuts, server.files["/file"] = [], BODY[::-1]
    get()
    assert path.read_bytes() == BODY[::-1]


def test_a_whole_part_only_needs_its_name(get, server, path):
    server.cuts = [400_000, 0, 0, 0]
    with pytest.raises(FetchError):
        get()
    path.with_name("file.bin.part").write_bytes(BODY)
    server.cuts = []
    get(checksum=SHA256)
    assert path.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_thrown_away(get, server, path):
    server.cuts = [400_000, 0, 0, 0]
    with pytest.raises(FetchError):
        get()
    path.with_name("file.bin.part").write_bytes(BODY + b"more")
    server.cuts = []
    get(checksum=SHA256)
    assert path.read_bytes() == BODY


def test_a_wrong_checksum_discards_the_bytes(get, path):
    with pytest.raises(FetchError, match=r"sha256 is [0-9a-f]+, not 00; the bytes were discarded"):
        get(checksum=Checksum("sha256", "00"))
    assert left(path) == []


def test_an_md5_is_checked_too(get, path):
    get(checksum=Checksum("md5", hashlib.md5(BODY, usedforsecurity=False).hexdigest()))
    assert path.read_bytes() == BODY
    with pytest.raises(FetchError, match=r"md5 is [0-9a-f]{32}, not 00"):
        get(checksum=Checksum("md5", "00"))


def test_a_passing_fault_is_tried_again(get, server, path):
    server.faults = [503, 429]
    get()
    assert len(server.requests) == 3
    assert path.read_bytes() == BODY


def test_a_lasting_fault_gives_up(get, server):
    server.faults = [500] * 10
    with pytest.raises(FetchError, match="HTTP 500"):
        get()
    assert len(server.requests) == 3


def test_an_absent_file_is_requested_once(server, path):
    with pytest.raises(FetchError, match="/none: HTTP 404"):
        download(f"{server.url}/none", path, retry=QUICK)
    assert len(server.requests) == 1


def test_the_pauses_grow(get, server, monkeypatch):
    pauses = []
    monkeypatch.setattr("firstlight.data.download.time.sleep", pauses.append)
    server.faults = [500] * 9
    with pytest.raises(FetchError):
        get(retry=Retry(attempts=4, pause=1.0))
    assert pauses == [1.0, 2.0, 4.0]


def test_a_server_that_is_not_there_is_a_fetch_error(path):
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9/x"):
        download("http://127.0.0.1:9/x", path, retry=QUICK)


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://host/file", "file"])
def test_only_http_is_spoken(url, path, monkeypatch):
    monkeypatch.setattr(urllib.request, "urlopen", None)
    with pytest.raises(FetchError, match="not an HTTP address"):
        download(url, path)


def test_a_text_is_fetched_or_refused(server):
    server.files["/text"] = "größer".encode()
    server.faults = [503]
    assert fetch_text(f"{server.url}/text", retry=QUICK) == "größer"
    with pytest.raises(FetchError, match="HTTP 404"):
        fetch_text(f"{server.url}/none", retry=QUICK)


def test_a_digest_is_that_of_the_whole_file(tmp_path):
    (tmp_path / "x").write_bytes(BODY * 3)
    assert digest_of(tmp_path / "x") == hashlib.sha256(BODY * 3).hexdigest()
    assert digest_of(tmp_path / "x", "md5") == hashlib.md5(BODY * 3, usedforsecurity=False).hexdigest()
