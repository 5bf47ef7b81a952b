"""Image files of every kind come out as RGB, the right way up; broken ones as a clear error."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from minirnn.errors import InputError
from minirnn.images import (
    DEPTHS,
    EXIF_ORIENTATION,
    FORMATS,
    UnusableImage,
    check_image,
    path_inside,
    read_image,
)


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


@pytest.mark.parametrize("check", [read_image, lambda path: check_image(path, size=(9400, 9400))])
def test_a_small_file_is_not_unfolded_into_gigabytes(tmp_path, check):
    Image.new("1", (9400, 9400)).save(tmp_path / "a.png")  # 11 kB, of half a GB when it is read
    tracemalloc.start()
    with pytest.raises(InputError, match=r"a\.png: \d+ bytes that unfold into 9400 x 9400 pixels"):
        check(tmp_path / "a.png")
    assert tracemalloc.get_traced_memory()[1] < 2e7
    tracemalloc.stop()
    Image.new("L", (4000, 4000)).save(tmp_path / "b.png")  # black, but not large
    check_image(tmp_path / "b.png", size=(4000, 4000))


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


@pytest.mark.parametrize("bits", DEPTHS)
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_grey_of_every_depth_is_as_bright_as_with_8_bits(tmp_path, bits, suffix):
    """12 bits in a file of 16 keep the upper 8 of the 12, and are not nearly black."""
    grey = np.linspace(0, 255, 64, dtype=np.uint16).reshape(8, 8)
    deep = (grey << (bits - 8)) | (grey >> (16 - bits)) & (2 ** (bits - 8) - 1)
    assert int(deep.max()).bit_length() == bits
    Image.fromarray(deep.astype(np.uint16)).save(tmp_path / f"a.{suffix}")
    read = read_image(tmp_path / f"a.{suffix}", size=(8, 8))
    np.testing.assert_array_equal(read, np.repeat(grey[:, :, None], 3, 2))
    check_image(tmp_path / f"a.{suffix}", size=(8, 8))


def test_a_tiff_that_says_how_many_bits_it_uses_is_believed(tmp_path):
    """A dark picture of a 12-bit camera stays as dark as it was."""
    values = np.array([[0, 160], [320, 800]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={281: 4095})
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[:, :, 0], values >> 4)
    Image.fromarray(values).save(tmp_path / "b.tif", tiffinfo={281: 511})  # which is not so
    np.testing.assert_array_equal(read_image(tmp_path / "b.tif")[:, :, 0], values >> 2)


def test_a_pgm_says_what_white_is(tmp_path):
    (tmp_path / "a.pgm").write_bytes(b"P5 2 1 4095\n" + np.array([0, 2048], ">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.pgm")[0, :, 0], [0, 128])


def test_32_bits_that_use_16_are_grey_and_others_are_refused(tmp_path):
    Image.fromarray(np.array([[0, 0x80FF]], np.int32)).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[0, :, 0], [0, 0x80])
    for wrong in (-1, 1 << 16):
        Image.fromarray(np.array([[0, wrong]], np.int32)).save(tmp_path / "a.tif")
        with pytest.raises(InputError, match="32-bit pixels"):
            read_image(tmp_path / "a.tif")


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_heic_names_the_line_that_installs_its_reader(tmp_path, monkeypatch):
    """Whatever the file is called: phones and messengers rename it."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "IMG_1.jpg").write_bytes(HEIC)
    for read in (read_image, lambda path: check_image(path, size=(1, 1))):
        with pytest.raises(UnusableImage, match=r"IMG_1\.jpg.*pip install pillow-heif") as error:
            read(tmp_path / "IMG_1.jpg")
        assert error.value.reason == "HEIC image without its reader"


def test_heic_is_read_where_its_reader_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="pip install '.[heic]'")
    pixels = np.kron([[30, 90], [150, 210]], np.ones((32, 48))).astype(np.uint8)
    heif.from_pillow(Image.fromarray(pixels).convert("RGB")).save(tmp_path / "a.heic", quality=90)
    assert (
        abs(read_image(tmp_path / "a.heic", size=(64, 96))[:, :, 1].astype(int) - pixels).max() < 20
    )
    check_image(tmp_path / "a.heic", size=(64, 96))
    with pytest.raises(UnusableImage, match=r"96 x 64 .* should be 64 x 96"):
        check_image(tmp_path / "a.heic", size=(96, 64))
    (tmp_path / "b.heic").write_bytes(HEIC)
    with pytest.raises(UnusableImage, match="not a readable image") as error:
        read_image(tmp_path / "b.heic")
    assert error.value.reason == "broken image"


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
