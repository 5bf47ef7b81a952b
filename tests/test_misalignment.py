"""The misalignment page's own arithmetic, in JavaScript, equals the library's."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minirnn.draw.roi import OPERATIONS, region_read
from minirnn.lessons.misalignment import SCRIPT, embedded, page
from minirnn.masks.crop import crop
from minirnn.masks.paste import paste
from minirnn.textbook.roi_align import bilinear

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
RUN = """
const page = require(process.argv[1]);
const calls = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(calls.map(([name, args]) => page[name](...args))));
"""


def run(calls):
    """What functions of the page's script give: calls are (name, arguments)."""
    done = subprocess.run(
        ["node", "-e", RUN, str(SCRIPT)], input=json.dumps(calls), capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    return [np.array(result, dtype=float) for result in json.loads(done.stdout)]


def cases(count=120):
    rng = np.random.default_rng(5)
    for k in range(count):
        stride = int(rng.choice([4, 8, 16, 32]))
        height, width = rng.integers(3, 14, 2)
        corner = rng.uniform(-1.5, 1.2, 2) * stride * [width, height] / 2 + stride
        box = np.concatenate([corner, corner + rng.uniform(0.2, 9, 2) * stride])
        if k % 4 == 0:
            box = np.round(box / stride * 2) / 2 * stride  # halves, and boxes without area
        settings = {
            "stride": stride,
            "bins": int(rng.integers(1, 8)),
            "samples": int(rng.integers(0, 4)),
            "aligned": bool(rng.integers(2)),
        }
        yield rng.normal(size=(height, width)), box, settings


def library(name, features, box, settings):
    kind = {"output_size": settings["bins"], "spatial_scale": 1 / settings["stride"]}
    if name != "RoIPool":
        kind["sampling_ratio"] = settings["samples"]
    if name == "RoIAlign":
        kind["aligned"] = settings["aligned"]
    output, (vjp, *_) = OPERATIONS[name].raw(
        features[None, None], box[None], np.zeros(1, np.intp), **kind
    )
    return output[0, 0], vjp(np.ones_like(output))[0, 0]


@needs_node
@pytest.mark.parametrize("name", OPERATIONS)
def test_outputs_and_footprints_equal_the_library(name):
    drawn = list(cases())
    calls = [
        [what, [name, features.tolist(), box.tolist(), settings]]
        for features, box, settings in drawn
        for what in ("pooled", "footprint")
    ]
    results = run(calls)
    for number, (features, box, settings) in enumerate(drawn):
        output, gradient = library(name, features, box, settings)
        np.testing.assert_allclose(results[2 * number], output, atol=1e-9)
        np.testing.assert_allclose(results[2 * number + 1], gradient, atol=1e-9)


@needs_node
@pytest.mark.parametrize("name", OPERATIONS)
def test_regions_equal_the_library(name):
    drawn = list(cases())
    results = run([["regionRead", [name, box.tolist(), s["stride"], True]] for _, box, s in drawn])
    for read, (_, box, settings) in zip(results, drawn, strict=True):
        expected = region_read(name, box[None], 1 / settings["stride"])[0]
        np.testing.assert_allclose(read, expected, atol=1e-9)


@needs_node
def test_the_exact_mean_is_what_many_points_come_to():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(5, 6))
    for box in ([3.0, 5, 40, 30], [-6, -3, 20, 11], [30, 20, 60, 52]):
        (found,) = run([["exact", [features.tolist(), box, {"stride": 8, "bins": 2}]]])
        x = np.linspace(box[0] / 8, box[2] / 8, 2 * 400 + 1)
        y = np.linspace(box[1] / 8, box[3] / 8, 2 * 400 + 1)
        x, y = (x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2
        read = np.array([[bilinear(features[None], v, u)[0] for u in x[::4]] for v in y[::4]])
        expected = read.reshape(2, 100, 2, 100).mean(axis=(1, 3))
        np.testing.assert_allclose(found, expected, atol=0.02)


@needs_node
def test_masks_are_cropped_and_pasted_as_the_library_does():
    rng = np.random.default_rng(4)
    rows, columns = np.mgrid[:40, :48]
    mask = (rows - 18) ** 2 / 200 + (columns - 22) ** 2 / 150 < 1
    boxes = np.column_stack([rng.uniform(2, 12, (6, 2)), rng.uniform(25, 40, (6, 2))])
    for box in boxes:
        (view,) = run([["cropMask", [mask.astype(int).tolist(), box.tolist(), 28]]])
        expected = crop(mask[None], box[None], np.zeros(1, np.intp), 28, aligned=True)
        np.testing.assert_allclose(view, expected[0], atol=1e-9)
        (pasted,) = run([["pasteMask", [expected[0].tolist(), box.tolist(), 40, 48]]])
        np.testing.assert_array_equal(pasted, paste(expected, box[None], 40, 48)[0])


@needs_node
def test_the_known_half_cell():
    ramp = np.arange(25.0).reshape(5, 5).tolist()
    legacy, aligned = run([
        ["pooled", ["RoIAlign", ramp, [1, 1, 3, 3], {"stride": 1, "bins": 4, "aligned": how}]]
        for how in (False, True)
    ])  # fmt: skip
    assert (legacy[0, 0], aligned[0, 0]) == (7.5, 4.5)


def without_photograph(text):
    return re.sub(r'"data:image/jpeg;base64,[^"]*"', '"…"', text)


def test_the_page_in_docs_is_the_one_that_is_made():
    pytest.importorskip("skimage", reason="scikit-image ships the photograph")
    shown = (Path(__file__).parent.parent / "docs" / "misalignment.html").read_text("utf-8")
    assert without_photograph(shown) == without_photograph(page())  # Pillow's JPEG may change
    assert not re.search(r"(src|href)=\"https?:", shown), "the page must do without a network"


def in_browser(path):
    """The page's elements as text, after its scripts have run."""
    done = subprocess.run(
        [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
         "--window-size=1200,900", "--virtual-time-budget=8000", path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.S)


# What a hand does: each line drags from a place to another one, both in pixels of the photograph.
HANDS = """
const wait = setInterval(() => {
  if (!window.misalignment) return;
  clearInterval(wait);
  const { state } = window.misalignment;
  const photo = document.getElementById("photo");
  const results = [];
  const event = (type, kind, [x, y]) => {
    const frame = photo.getBoundingClientRect();
    const scale = frame.width / 512;
    photo.dispatchEvent(new PointerEvent(type, { pointerType: kind, pointerId: 1, bubbles: true,
      clientX: frame.left + x * scale, clientY: frame.top + y * scale }));
  };
  const drag = (kind, from, to) => {
    state.box = [100, 100, 200, 180];
    event("pointerdown", kind, from);
    event("pointermove", kind, to);
    event("pointerup", kind, to);
    event("pointermove", kind, [0, 0]); // the hand is off
    results.push(state.box.join());
  };
  drag("mouse", [150, 140], [160, 145]);
  drag("mouse", [201, 181], [211, 191]);
  drag("mouse", [300, 300], [310, 310]);
  drag("touch", [85, 85], [95, 105]);
  drag("touch", [150, 140], [145, 140]);
  drag("touch", [300, 300], [310, 310]);
  state.box = [100, 100, 200, 180];
  document.querySelector("#nudge [aria-label=right]").click();
  results.push(state.box.join());
  const key = (key, more) => photo.dispatchEvent(new KeyboardEvent("keydown", { key, ...more }));
  key("ArrowDown", { shiftKey: true });
  key("ArrowLeft", { altKey: true });
  results.push(state.box.join());
  const cell = () => document.querySelector("#output-RoIAlign .chosen");
  cell().focus();
  for (const key of ["ArrowRight", "ArrowDown", "ArrowUp", "ArrowUp"])
    cell().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  results.push(state.chosen.join() + (document.activeElement === cell() ? " focused" : " lost"));
  document.title = results.join(" | ");
}, 20);
"""


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_mouse_finger_and_keys_move_the_box(tmp_path):
    (tmp_path / "page.html").write_text(f"{page()}<script>{HANDS}</script>", encoding="utf-8")
    text = in_browser(tmp_path / "page.html")
    (title,) = re.findall("<title>(.*?)</title>", text)
    assert title.split(" | ") == [
        "110,105,210,185",  # by its middle
        "100,100,210,190",  # by a corner
        "100,100,200,180",  # beside it, nothing
        "110,120,200,180",  # a finger need not hit the corner
        "95,100,195,180",
        "100,100,200,180",  # and scrolls the page elsewhere
        "100.1,100,200.1,180",
        "100.1,101,200,181",
        "0,1 focused",
    ]


def test_embedded_it_needs_nothing_else_and_has_a_picture_for_readers():
    pytest.importorskip("skimage", reason="scikit-image ships the photograph")
    shown, metadata = embedded(700)._repr_mimebundle_()
    (inside,) = re.findall(r'<iframe srcdoc="([^"]*)"', shown["text/html"])
    assert html.unescape(inside) == page()
    assert "height: 700px" in shown["text/html"]
    assert shown["image/png"].startswith(b"\x89PNG")
    assert metadata["image/png"]["drawn"]


@pytest.mark.skipif(not BROWSER, reason="needs Chromium")
def test_the_page_works_in_a_browser():
    text = in_browser(Path(__file__).parent.parent / "docs" / "misalignment.html")
    assert "<td>0.75</td><td>0.58</td><td>0.37</td><td>0.18</td>" in text
    assert ">7.5</output>" in text
    assert ">4.5</output>" in text
    assert text.count("mask IoU") == len(OPERATIONS)
    assert len(re.findall(r"<dt>IoU of box and region</dt><dd>[01]\.\d{3}</dd>", text)) == 3
