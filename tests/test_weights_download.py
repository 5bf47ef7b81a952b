"""Downloading: against a server on this machine that drops connections and sends wrong files."""

from __future__ import annotations

import hashlib
import http.server
import re
import socket
import sys
import threading
import urllib.request

import numpy as np
import pytest

from minirnn.errors import InputError
from minirnn.weights.download import BASE_URL, FILES, download

CONTENT = np.random.default_rng(0).bytes(200_000)
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Server(http.server.ThreadingHTTPServer):
    """Answers each request by the next entry of `plan`, and the last one for good.

    An entry is a status to fail with, the bytes to send before the connection drops, or a word:
    "whole", "wrong" (another file), "no range" (begins at the start whatever is asked for, and drops
    after half), "no range, a quarter", "whole, no range", "no length" (does not say it), "shifted"
    (other bytes than asked for), "silent" or "reset".
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = ["whole"]
        self.requests = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/models/"

    def handle_error(self, request, client_address):
        pass  # a client that goes away is part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.requests.append((self.path, asked))
        entry = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        content = bytes(len(CONTENT)) if entry == "wrong" else CONTENT
        if isinstance(entry, int) and entry < 600:
            return self.send_error(entry)
        if entry == "silent":
            server.released.wait(5)
            return None
        if entry == "reset":
            self.connection.close()
            return None
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if "no range" in str(entry):
            begin = 0
        if asked and begin >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return None
        partial = asked and "no range" not in str(entry)
        self.send_response(206 if partial else 200)
        if partial:
            shifted = begin + (entry == "shifted")
            whole = f"bytes {shifted}-{len(content) - 1}/{len(content)}"
            self.send_header("Content-Range", whole)
        if entry != "no length":
            self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        body = content[begin:]
        if isinstance(entry, int):
            body = body[:entry]
        elif entry == "no range":
            body = body[: len(body) // 2]
        elif entry == "no range, a quarter":
            body = body[: len(body) // 4]
        self.wfile.write(body)
        return None

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(FILES, "net", NAME)
    with Server() as server:
        server.released = threading.Event()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.released.set()
        server.shutdown()
        thread.join()


def fetch(server, folder, **more):
    return download("net", folder, base_url=server.url, pause=0.001, **more)


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_file_with_progress(server, tmp_path):
    seen = []
    path = fetch(server, tmp_path / "new" / "folder", progress=lambda *at: seen.append(at))
    assert path == tmp_path / "new" / "folder" / NAME
    assert path.read_bytes() == CONTENT
    assert names_in(path.parent) == [NAME]
    assert server.requests == [(f"/models/{NAME}", None)]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [at for at, _ in seen] == sorted(at for at, _ in seen)


def test_what_is_there_already_is_not_fetched_again(server, tmp_path):
    (tmp_path / NAME).write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests == []


def test_another_file_under_the_name_is_neither_trusted_nor_lost(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    with pytest.raises(InputError, match="remove it"):
        fetch(server, tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"mine"


def test_dropped_connections_are_taken_up_where_they_ended(server, tmp_path):
    server.plan = [50_000, 60_000, 503, "whole"]
    seen = []
    path = fetch(server, tmp_path, progress=lambda *at: seen.append(at))
    assert path.read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [
        None,
        "bytes=50000-",
        "bytes=110000-",
        "bytes=110000-",
    ]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert {total for _, total in seen} == {len(CONTENT)}


def test_the_next_run_goes_on_with_what_a_stopped_one_left(server, tmp_path):
    def stop(here, total):
        raise KeyboardInterrupt

    server.plan = [70_000, "whole"]
    with pytest.raises(KeyboardInterrupt):
        fetch(server, tmp_path, progress=stop)
    part = tmp_path / f"{NAME}.part"
    size = part.stat().st_size
    assert 0 < size <= 70_000
    assert CONTENT.startswith(part.read_bytes())
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert server.requests[-1][1] == f"bytes={size}-"
    assert names_in(tmp_path) == [NAME]


def test_many_drops_are_no_reason_to_give_up_while_something_comes(server, tmp_path):
    server.plan = [10_000]
    assert fetch(server, tmp_path, attempts=2).read_bytes() == CONTENT
    assert len(server.requests) == 20


@pytest.mark.parametrize("entry", [503, 429, "reset", "silent"])
def test_giving_up_when_nothing_comes_keeps_the_part(server, tmp_path, entry):
    server.plan = [50_000, entry]
    with pytest.raises(
        InputError, match=r"3 times in a row; 50000 bytes are kept in .*\.part"
    ) as e:
        fetch(server, tmp_path, attempts=3, timeout=0.2)
    assert server.url in str(e.value)
    assert names_in(tmp_path) == [f"{NAME}.part"]
    assert len(server.requests) == 4
    server.plan = ["whole"]
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.plan = ["no range", "whole, no range"]
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert len(server.requests) == 2


def test_a_server_without_ranges_that_always_drops_is_given_up(server, tmp_path):
    server.plan = ["no range"]
    with pytest.raises(InputError, match="dropped after 100000 of 200000 bytes"):
        fetch(server, tmp_path, attempts=3)
    assert len(server.requests) == 4


def test_coming_again_to_where_one_was_is_no_progress(server, tmp_path):
    server.plan = ["no range", "no range, a quarter"] * 10 + ["whole, no range"]
    with pytest.raises(InputError, match="3 times in a row"):
        fetch(server, tmp_path, attempts=3)
    assert len(server.requests) == 4


def test_a_server_that_does_not_say_how_long_the_file_is(server, tmp_path):
    server.plan = ["no length"]
    seen = []
    assert fetch(server, tmp_path, progress=lambda *at: seen.append(at)).read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), None)


@pytest.mark.parametrize("kept", [0, 60_000])
def test_a_wrong_file_leaves_nothing(server, tmp_path, kept):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:kept])
    server.plan = ["wrong"]
    with pytest.raises(InputError, match=r"another file than it should.*removed"):
        fetch(server, tmp_path)
    assert names_in(tmp_path) == []
    server.plan = ["whole"]
    assert fetch(server, tmp_path).read_bytes() == CONTENT


def test_a_whole_part_only_needs_its_name(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert names_in(tmp_path) == [NAME]


def test_a_part_that_is_too_long_is_fetched_anew(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT + b"more")
    assert fetch(server, tmp_path).read_bytes() == CONTENT
    assert names_in(tmp_path) == [NAME]


def test_bytes_from_another_place_are_refused(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    server.plan = ["shifted"]
    with pytest.raises(InputError, match="other bytes"):
        fetch(server, tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:1000]


@pytest.mark.parametrize("status", [404, 403])
def test_a_file_that_the_server_does_not_have(server, tmp_path, status):
    server.plan = [status]
    with pytest.raises(InputError, match=rf"net-.*\.pth: the server answered {status}"):
        fetch(server, tmp_path)
    assert names_in(tmp_path) == []
    assert len(server.requests) == 1


def test_no_server_there(monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(FILES, "net", NAME)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but nobody listens
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/"
        with pytest.raises(InputError, match=r"no connection .* 2 times in a row"):
            download("net", tmp_path, base_url=url, attempts=2, pause=0.001)


def test_no_network(monkeypatch, tmp_path):
    def unknown(*args, **kwargs):
        raise socket.gaierror(-2, "Name or service not known")

    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(InputError, match=r"download\.pytorch\.org cannot be found.*network"):
        download("resnet18", tmp_path)
    assert names_in(tmp_path) == []


def test_a_full_disk_is_not_taken_for_a_dropped_connection(server, tmp_path, monkeypatch):
    class Full:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, data):
            raise OSError(28, "No space left on device")

    really_open = open

    def opened(path, mode):
        file = really_open(path, mode)
        return Full(file) if str(path).endswith(".part") else file

    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(OSError, match="No space left"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_bad_arguments(server, tmp_path):
    with pytest.raises(InputError, match=r"name is 'resnet19'; it should be one of .*resnet18"):
        download("resnet19", tmp_path)
    with pytest.raises(InputError, match="http://"):
        download("net", tmp_path, base_url="file:///etc/")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file; it should be a folder"):
        fetch(server, tmp_path / "file")
    assert server.requests == []


def test_the_documented_addresses():
    assert BASE_URL == "https://download.pytorch.org/models/"
    assert FILES["maskrcnn_resnet50_fpn"] == "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth"
    for file in FILES.values():
        assert re.fullmatch(r"[a-z0-9_]+-[0-9a-f]{8}\.pth", file)
    request = urllib.request.Request(BASE_URL + FILES["resnet50"])
    assert request.full_url == "https://download.pytorch.org/models/resnet50-0676ba61.pth"


@pytest.mark.parametrize("how", ["whole", "no length"])
def test_a_server_that_never_stops_sending_is_left(server, tmp_path, monkeypatch, how):
    """Whether it says how much is to come or not, the disk is not filled."""
    module = sys.modules["minirnn.weights.download"]  # the package has a function of that name
    monkeypatch.setattr(module, "_LARGEST", 150_000)
    server.plan = [how]
    with pytest.raises(InputError, match=r"net-.*\.pth gives \d+ bytes or more, .* 150000 at most"):
        fetch(server, tmp_path)
    assert names_in(tmp_path) == []
    assert len(server.requests) == 1
