"""`minirnn weights`: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import json
import threading
from pathlib import Path

import numpy as np
import pytest
from weights_cases import FIXTURES

from minirnn.cli import cli
from minirnn.models import build_model
from minirnn.training import save_checkpoint
from minirnn.weights import FILES, read_weights

CONTENT = np.random.default_rng(0).bytes(50_000)
NAME = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


def call(*arguments: object) -> tuple[int, str, str]:
    """Run a command line in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as leaving,
    ):
        cli.main(["weights", *map(str, arguments)], prog_name="minirnn")
    return leaving.value.code, out.getvalue(), err.getvalue()


def fails(code: int, message: str, *arguments: object) -> None:
    found, _, err = call(*arguments)
    assert found == code
    complaints = [x for x in err.splitlines() if x.startswith("minirnn: error: ")]
    assert len(complaints) == 1
    assert message in complaints[0]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small detector's checkpoint."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    model = build_model(
        "maskrcnn_shapes",
        small_widths=(8, 8, 8),
        fpn_channels=8,
        box_width=8,
        mask_width=8,
        anchor_sizes=((8,), (16,), (32,)),
    )
    save_checkpoint(path, model.state_dict(), model.config)
    return path


def test_inspect_prints_every_array_and_the_network(checkpoint):
    code, out, err = call("inspect", checkpoint)
    assert (code, err) == (0, "")
    stored = read_weights(checkpoint).stored
    lines = out.splitlines()
    for name, array in stored.items():
        (line,) = [x for x in lines if x.split()[:1] == [name]]
        assert " × ".join(map(str, array.shape)) in line
        assert line.endswith("float32")
    assert f"{len(stored)} arrays, {sum(a.size for a in stored.values()):,} numbers" in out
    assert "box_width = 8" in out


def test_inspect_json_is_one_object(checkpoint):
    code, out, _ = call("inspect", checkpoint, "--json")
    report = json.loads(out)
    assert code == 0
    assert report["path"] == str(checkpoint)
    assert report["config"]["box_width"] == 8
    stored = read_weights(checkpoint).stored
    assert {a["name"]: tuple(a["shape"]) for a in report["arrays"]} == {
        name: array.shape for name, array in stored.items()
    }
    assert report["numbers"] == sum(array.size for array in stored.values())


def test_inspect_of_a_part_says_that_it_is_no_whole_detector():
    code, out, _ = call("inspect", FIXTURES / "kinds_zip.pth")
    assert code == 0
    assert "no whole detector" in out
    assert json.loads(call("inspect", FIXTURES / "kinds_zip.pth", "--json")[1])["config"] is None


def test_inspect_refuses_what_is_no_file_of_weights(tmp_path):
    (tmp_path / "text.pth").write_text("hello")
    fails(1, "text.pth", "inspect", tmp_path / "text.pth")
    fails(1, "none.pth", "inspect", tmp_path / "none.pth")


def test_convert_keeps_every_number_and_takes_settings(checkpoint, tmp_path):
    target = tmp_path / "new.safetensors"
    code, out, _ = call("convert", checkpoint, target, "--set", "box_score_threshold=0.25")
    assert code == 0
    assert str(target) in out
    before, after = read_weights(checkpoint), read_weights(target)
    assert before.arrays.keys() == after.arrays.keys()
    for name in before.arrays:
        np.testing.assert_array_equal(before.arrays[name], after.arrays[name])
    assert after.config is not None
    assert json.loads(call("inspect", target, "--json")[1])["config"]["box_score_threshold"] == 0.25


def test_convert_replaces_a_file_only_if_it_is_told_to(checkpoint, tmp_path):
    target = tmp_path / "new.safetensors"
    target.write_bytes(b"mine")
    fails(1, "is there already", "convert", checkpoint, target)
    assert target.read_bytes() == b"mine"
    assert call("convert", checkpoint, target, "--overwrite")[0] == 0
    assert read_weights(target).arrays


def test_convert_refuses_an_unknown_field_and_another_ending(checkpoint, tmp_path):
    target = tmp_path / "new.safetensors"
    fails(2, "box_widht", "convert", checkpoint, target, "--set", "box_widht=3")
    fails(1, ".safetensors", "convert", checkpoint, tmp_path / "new.pth")
    assert list(tmp_path.iterdir()) == []


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends the content; on /wrong/ as many zeros."""

    def do_GET(self):
        body = bytes(len(CONTENT)) if self.path.startswith("/wrong/") else CONTENT
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setitem(FILES, "net", NAME)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_download_fetches_with_a_bar_and_prints_the_path(url, tmp_path):
    code, out, err = call("download", "net", "--out", tmp_path / "new", "--base-url", url)
    assert code == 0
    assert out == f"{tmp_path / 'new' / NAME}\n"
    assert (tmp_path / "new" / NAME).read_bytes() == CONTENT
    assert "net: 100%" in err
    assert "48.8k" in err


def test_download_of_a_wrong_file_leaves_nothing(url, tmp_path):
    fails(1, "SHA-256", "download", "net", "--out", tmp_path, "--base-url", f"{url}/wrong/")
    assert list(tmp_path.iterdir()) == []


def test_download_of_an_unknown_name_lists_the_known_ones():
    fails(2, "maskrcnn_resnet50_fpn", "download", "nothing")


def test_download_help_names_every_file():
    code, out, _ = call("download", "--help")
    assert code == 0
    for name, file in FILES.items():
        assert name in out
        assert file in out
