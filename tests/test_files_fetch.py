"""Fetching: how long it waits, and what it does not fetch. Drops are tried in test_weights_download."""

from __future__ import annotations

import io
import os
import re
import urllib.error
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from pathlib import Path

import pytest
from coco_cases import (
    IMAGES,
    serving,
)

from minirnn.errors import InputError
from minirnn.files.fetch import NotThere, Patience, fetch, seconds_asked


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serving(IMAGES) as server:
        yield server


def fetch_one(server, target: Path, path: str, waits: list, **settings) -> None:
    patience = Patience(sleep=waits.append, **settings)
    fetch(server.url + path, target, check=lambda part: None, largest=1 << 20, patience=patience)


def test_pauses_double_and_are_as_long_as_the_server_asks(server, tmp_path):
    path, waits = next(iter(IMAGES)), []
    later = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=50), usegmt=True)}
    server.plan[path] = [503, 429, (503, {"Retry-After": "9"}), (503, later)]
    fetch_one(server, tmp_path / "a", path, waits, attempts=5)
    assert waits[:3] == [1, 2, 9]
    assert 40 < waits[3] <= 50
    server.plan[path] = [(503, {"Retry-After": "86400"})] * 9
    with pytest.raises(InputError, match=r"503 .*4 times in a row"):
        fetch_one(server, tmp_path / "b", path, waits, attempts=4, longest=60)
    assert waits[4:] == [60] * 3
    assert (tmp_path / "a").read_bytes() == IMAGES[path]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 0), ("7", 7), ("soon", 0), ("-3", 0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("٣", 3)],
)
def test_what_a_server_may_write_into_retry_after(text, seconds):
    assert seconds_asked(text) == seconds


def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(server, tmp_path):
    path, waits = next(iter(IMAGES)), []
    server.plan[path] = ["trickle"] * 3
    with pytest.raises(
        InputError, match=r"only \d+ bytes came in .* 3 times in a row; .* are kept"
    ):
        fetch_one(server, tmp_path / "a", path, waits, attempts=3, timeout=0.1, slowest=1e6)
    assert waits == [1, 2]
    # What came is kept, and a server that has recovered gives the rest.
    fetch_one(server, tmp_path / "a", path, waits, timeout=0.1, slowest=1e6)
    assert (tmp_path / "a").read_bytes() == IMAGES[path]
    assert re.fullmatch(r"bytes=[1-9]\d*-", server.asked_for(path)[-1])


def test_a_byte_a_connection_is_not_asked_for_without_end(server, tmp_path):
    path, waits = next(iter(IMAGES)), []
    server.plan[path] = ["byte"] * 50
    with pytest.raises(InputError, match=r"dropped .* 3 times in a row; 3 bytes are kept"):
        fetch_one(server, tmp_path / "a", path, waits, attempts=3)
    assert waits == [1, 2]
    assert len(server.asked_for(path)) == 3


@pytest.mark.parametrize("status", [401, 403])
def test_a_file_that_is_not_given_out_is_another_thing_than_one_that_is_not_there(
    server, tmp_path, status
):
    path, waits = next(iter(IMAGES)), []
    server.plan[path] = [status]
    with pytest.raises(InputError, match=rf"{status} .*does not give the file out") as caught:
        fetch_one(server, tmp_path / "a", path, waits)
    assert not isinstance(caught.value, NotThere)
    server.plan[path] = [404]
    with pytest.raises(NotThere, match="404"):
        fetch_one(server, tmp_path / "a", path, waits)
    assert not waits


def test_an_answer_without_words_is_an_answer(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise urllib.error.HTTPError("http://127.0.0.1/a", 403, "", Message(), io.BytesIO())

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(InputError, match=r"the server answered 403 .*does not give the file out"):
        fetch("http://127.0.0.1/a", tmp_path / "a", check=lambda part: None, largest=10)


def test_addresses_that_lead_to_each_other(server, tmp_path):
    path, waits = next(iter(IMAGES)), []
    server.plan[path] = [(302, {"Location": path})] * 20
    with pytest.raises(InputError, match=r"302 \(.*infinite loop") as caught:
        fetch_one(server, tmp_path / "a", path, waits)
    assert not isinstance(caught.value, NotThere)


def test_an_address_that_is_none(server, tmp_path):
    path = next(iter(IMAGES))
    with pytest.raises(InputError, match=r"the address is 'http://\[::1'"):
        fetch("http://[::1", tmp_path / "x", check=lambda part: None, largest=10)
    server.plan[path] = [(302, {"Location": "http://[::1"})]
    with pytest.raises(InputError, match="sends to another address, which is none"):
        fetch_one(server, tmp_path / "x", path, [])


def test_only_http_is_spoken(tmp_path):
    with pytest.raises(InputError, match="should begin with http"):
        fetch("file:///etc/hostname", tmp_path / "x", check=lambda part: None, largest=10)
    assert os.listdir(tmp_path) == []
