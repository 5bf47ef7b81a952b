"""Image files of every kind come out as RGB, the right way up; broken ones as a clear error."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from minirnn.data.images import EXIF_ORIENTATION, FORMATS, check_image, path_inside, read_image
from minirnn.errors import InputError


@pytest.fixture
def picture() -> np.ndarray:
    """4 x 6 pixels, no two alike, so that each of the 8 orientations differs."""
    return np.arange(72, dtype=np.uint8).reshape(4, 6, 3) * 3


def save_turned(path: Path, picture: np.ndarray, orientation: int) -> None:
    """What a camera does: store the picture lying down, and say so in EXIF."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    Image.fromarray(picture).save(path, exif=exif)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_that_is_promised_is_read(tmp_path, picture, name):
    big = np.kron(picture[:, :, :1], np.ones((8, 8, 3), np.uint8))  # grey: GIF has 256 colours
    Image.fromarray(big).save(tmp_path / "a", format=name, quality=95)
    read = read_image(tmp_path / "a", size=big.shape[:2])
    assert abs(read.astype(int) - big).mean() < 3
    check_image(tmp_path / "a", size=big.shape[:2])


def test_a_photo_of_a_phone_that_holds_several(tmp_path, picture):
    """An MPO begins as a JPEG, and the first picture in it is the photo."""
    first = Image.fromarray(np.kron(picture, np.ones((8, 8, 1), np.uint8)))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[first])
    assert read_image(tmp_path / "a.jpg").shape == (32, 48, 3)


@pytest.mark.parametrize("check", [read_image, lambda path: check_image(path, size=(10, 10))])
def test_an_image_cannot_start_another_program(tmp_path, monkeypatch, check):
    """An EPS is a program; Pillow hands it to Ghostscript, whatever the file is called."""
    (tmp_path / "a.jpg").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    )
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **k: started.append(a))
    monkeypatch.setattr(subprocess, "check_call", lambda *a, **k: started.append(a))
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", "gs")
    with pytest.raises(InputError, match=r"a\.jpg: not a readable image, or of another format"):
        check(tmp_path / "a.jpg")
    assert not started


# For each orientation, how a camera stores the upright picture (EXIF 2.32, table 6).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_trap_41_exif_rotation(tmp_path, picture, orientation):
    path = tmp_path / "a.png"
    save_turned(path, np.ascontiguousarray(STORED[orientation](picture)), orientation)
    np.testing.assert_array_equal(read_image(path), picture)
    np.testing.assert_array_equal(read_image(path, size=(4, 6)), picture)


def test_trap_41_annotations_of_the_stored_picture(tmp_path, picture):
    """Where the annotations are of the picture as stored, EXIF must not turn it."""
    path = tmp_path / "a.png"
    save_turned(path, picture, 6)
    assert read_image(path).shape == (6, 4, 3)
    np.testing.assert_array_equal(read_image(path, size=(4, 6)), picture)
    with pytest.raises(InputError, match=r"a\.png: the image is 4 x 6 .* should be 5 x 5"):
        read_image(path, size=(5, 5))


def test_trap_41_grey_and_alpha(tmp_path, picture):
    grey = picture[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "grey.png"), np.repeat(grey[:, :, None], 3, 2)
    )
    Image.fromarray(grey).save(tmp_path / "grey.jpg", quality=100)
    assert read_image(tmp_path / "grey.jpg").shape == (4, 6, 3)

    alpha = np.full((4, 6, 1), 255, np.uint8)
    Image.fromarray(np.concatenate([picture, alpha], 2)).save(tmp_path / "opaque.png")
    np.testing.assert_array_equal(read_image(tmp_path / "opaque.png"), picture)
    alpha[:2] = 0
    Image.fromarray(np.concatenate([picture, alpha], 2)).save(tmp_path / "half.png")
    half = read_image(tmp_path / "half.png")
    assert (half[:2] == 255).all()
    np.testing.assert_array_equal(half[2:], picture[2:])

    grey_alpha = np.concatenate([grey[:, :, None], alpha], 2)
    Image.fromarray(grey_alpha).save(tmp_path / "la.png")
    np.testing.assert_array_equal(read_image(tmp_path / "la.png")[2:, :, 0], grey[2:])


def test_palette_one_bit_cmyk_and_16_bit(tmp_path, picture):
    image = Image.fromarray(picture)
    image.quantize(256).save(tmp_path / "p.png")
    assert np.abs(read_image(tmp_path / "p.png").astype(int) - picture).max() <= 8
    image.quantize(256).save(tmp_path / "p.gif")
    assert read_image(tmp_path / "p.gif").shape == (4, 6, 3)
    palette = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    palette.save(tmp_path / "t.png", transparency=3)
    expected = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]
    np.testing.assert_array_equal(read_image(tmp_path / "t.png"), expected)
    image.convert("1").save(tmp_path / "bit.png")
    assert set(np.unique(read_image(tmp_path / "bit.png"))) <= {0, 255}
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    assert read_image(tmp_path / "cmyk.jpg").shape == (4, 6, 3)
    Image.fromarray(np.array([[0, 0x1234], [0x80FF, 0xFFFF]], np.uint16)).save(tmp_path / "16.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "16.png")[:, :, 1], [[0, 0x12], [0x80, 0xFF]]
    )
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "f.tiff")
    with pytest.raises(InputError, match="32-bit pixels"):
        read_image(tmp_path / "f.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.9])
def test_broken_files(tmp_path, suffix, kept):
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    read_image(path, size=(64, 64))
    check_image(path, size=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(len(content) * kept)])
    with pytest.raises(InputError, match=rf"a\.{suffix}: not a readable image"):
        read_image(path)
    with pytest.raises(InputError, match=rf"a\.{suffix}: not a readable image"):
        check_image(path, size=(64, 64))


def test_missing_file_folder_and_text(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read_image(tmp_path / "no.jpg")
    with pytest.raises(InputError, match="not a readable image"):
        read_image(tmp_path)
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(InputError, match="not a readable image"):
        read_image(tmp_path / "text.jpg")


def test_unreadable_exif_is_no_orientation(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png", exif=b"Exif\0\0XXnonsense")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)


def test_path_inside(tmp_path):
    inside, outside = tmp_path / "images", tmp_path / "secret.png"
    (inside / "sub").mkdir(parents=True)
    (inside / "a.png").touch()
    (inside / "sub" / "b.png").touch()
    outside.touch()
    (tmp_path / "images-too").mkdir()
    (tmp_path / "images-too" / "c.png").touch()
    assert path_inside(inside, "a.png").name == "a.png"
    assert path_inside(inside, "sub/b.png").name == "b.png"
    (inside / "out.png").symlink_to(outside)
    (inside / "in.png").symlink_to(inside / "a.png")
    assert path_inside(inside, "in.png").name == "a.png"
    (tmp_path / "link").symlink_to(inside)  # the folder itself may be a link
    assert path_inside(tmp_path / "link", "a.png").name == "a.png"
    for name in (
        *("../secret.png", "sub/../../secret.png", "..\\secret.png", str(outside), "out.png"),
        *("../images-too/c.png", "sub/../a.png", ".", ""),
    ):
        with pytest.raises(InputError, match="leads out of the folder"):
            path_inside(inside, name)
    assert path_inside(inside, "no.png").name == "no.png"  # whether it is there is another question
    with pytest.raises(InputError, match="file name"):
        path_inside(inside, "a\0.png")
