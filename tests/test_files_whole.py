"""Files that are replaced whole: what a link points to, and what is no file at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from minirnn.files import Reserve, remove_leftovers, replacing, write_whole


@pytest.mark.parametrize("there", [True, False], ids=["there", "dangling"])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path, there, relative):
    target, link = tmp_path / "disk/real.json", tmp_path / "link.json"
    target.parent.mkdir()
    if there:
        target.write_text("old")
    (tmp_path / "between").symlink_to("disk/real.json" if relative else target)
    link.symlink_to("between")
    write_whole(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "between").is_symlink()
    assert not target.is_symlink()
    assert target.read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["between", "disk", "link.json"]
    assert os.listdir(target.parent) == ["real.json"]


def test_what_fails_leaves_link_and_target_as_they_were(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk/real", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    with pytest.raises(TypeError), replacing(link) as file:
        file.writelines([b"half", None])
    assert link.is_symlink()
    assert link.read_text() == "old"
    assert os.listdir(target.parent) == ["real"]


def test_a_link_to_itself_is_named_and_stays(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OSError, match="symbolic links") as caught:
        write_whole(loop, "new")
    assert caught.value.filename == os.fspath(loop)
    assert os.listdir(tmp_path) == ["loop"]
    assert loop.is_symlink()


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_into_and_stays(tmp_path, linked):
    pipe = path = tmp_path / "pipe"
    os.mkfifo(pipe)
    if linked:
        path = tmp_path / "link"
        path.symlink_to(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_whole(path, "into it")
    reader.join(10)
    assert read == [b"into it"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert set(os.listdir(tmp_path)) == {"pipe", path.name}


def device(path: Path, minor: int) -> Path:
    """A device of our own: 3 takes everything, as /dev/null, and 7 is always full."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
        with open(path, "wb"):
            pass
    except OSError as error:
        pytest.skip(f"no device can be made here: {error.strerror}")
    return path


def test_a_device_is_written_into_and_stays(tmp_path):
    null = device(tmp_path / "null", 3)
    write_whole(null, "gone")
    assert stat.S_ISCHR(null.stat().st_mode)
    assert os.listdir(tmp_path) == ["null"]


def test_a_device_that_is_full_is_named(tmp_path):
    full = device(tmp_path / "full", 7)
    with pytest.raises(OSError, match="space") as caught:
        write_whole(full, "too much")
    assert caught.value.filename == os.fspath(full)
    assert stat.S_ISCHR(full.stat().st_mode)


def test_leftovers_and_held_room_lie_beside_what_a_link_points_to(tmp_path):
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk/real", tmp_path / "link"
    link.symlink_to(target)
    with Reserve(link, print) as reserve:
        reserve.write(lambda: write_whole(link, "content"))
        held = [name for name in os.listdir(target.parent) if name != "real"]
        assert len(held) == 1
        assert held[0].startswith(".real.room-")
    (tmp_path / "disk" / held[0]).write_bytes(b"left by a killed process")
    remove_leftovers(link)
    assert os.listdir(target.parent) == ["real"]


def test_a_name_that_is_no_utf8_is_escaped_in_a_text(tmp_path):
    name = os.fsdecode(b"caf\xe9.jpg")
    write_whole(tmp_path / "page.html", f"<p>ä {name}</p>")
    assert (tmp_path / "page.html").read_bytes() == "<p>ä caf\\udce9.jpg</p>".encode()
