"""`minirnn verify`: everything agrees, a planted error shows, and nothing is left out in silence."""

from __future__ import annotations

import contextlib
import html.parser
import importlib.util
import io
import json

import numpy as np
import pytest

import minirnn.verify
from minirnn.autograd.tensor import OPERATIONS
from minirnn.cli import cli
from minirnn.errors import InputError
from minirnn.kernels import plain_only
from minirnn.verify.comparison import compare
from minirnn.verify.difference import as_arrays
from minirnn.verify.references import REFERENCES, Reference
from minirnn.verify.subjects import subjects
from minirnn.verify.table import NotCompared, Row, Table

ALWAYS = ("textbook", "SciPy", "pycocotools")
#: What has no plain loops, so that the table must have a row of another reference for it.
WITHOUT_LOOPS = {
    "coco_box_iou",
    "coco_mask_iou",
    "average_precision",
}


def call(*arguments: object) -> tuple[int, str, str]:
    """Run `minirnn verify` in this process: exit code, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as leaving,
    ):
        cli.main(["verify", *map(str, arguments)], prog_name="minirnn")
    return leaving.value.code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def table() -> Table:
    """Everything, against what is always installed."""
    return compare(references=ALWAYS)


def test_everything_agrees(table):
    assert table.rows
    assert not [row.cells() for row in table.misses]
    assert table.agrees


def test_every_operation_and_stage_has_a_row(table):
    forward = {row.name for row in table.rows if row.compared == "forward"}
    # What pycocotools does for us would be compared with itself.
    assert set(subjects()) - forward == {"polygons_to_mask"}
    loops = {row.name for row in table.rows if row.reference == "textbook"}
    assert forward - loops == WITHOUT_LOOPS
    (left,) = [left for left in table.not_compared if left.reference == "no reference"]
    assert left.names == ("polygons_to_mask",)


def test_every_operation_has_a_gradient_row(table):
    gradient = {row.name for row in table.rows if row.compared == "gradient"}
    losses = {"rpn_losses", "box_losses", "mask_loss", "keypoint_loss"}
    assert gradient == set(OPERATIONS) | losses


def test_stages_are_those_that_a_network_has(table):
    stages = {row.stage for row in table.rows}
    assert stages >= {
        *("anchors", "boxes", "matching", "rpn", "roi", "heads", "masks", "transform"),
        *("evaluation", "convolution", "losses"),
    }


def test_what_is_compared_and_what_is_not_is_everything(table):
    """For each function and reference: a row, or a reason."""
    for name, subject in subjects().items():
        for reference in ALWAYS if subject.cases else ():
            rows = [r for r in table.rows if (r.name, r.reference) == (name, reference)]
            reasons = [
                left.reason
                for left in table.not_compared
                if left.reference == reference and name in left.names
            ]
            compared = {row.compared for row in rows}
            wanted = {"forward"} if subject.differentiable == () else {"forward", "gradient"}
            if compared != wanted:
                assert any("some of" not in reason for reason in reasons), (name, reference)
            if sum(row.compared == "forward" for row in rows):
                (row,) = [row for row in rows if row.compared == "forward"]
                if row.cases < len(subject.cases):
                    assert any("some of its inputs" in reason for reason in reasons)


def test_edge_cases_are_among_the_inputs(table):
    """Inputs without any element are drawn for what takes arrays of any number."""
    for name in ("nms", "box_iou", "roi_align", "detections_of_image", "mask_paste", "conv2d"):
        draws = [case(np.random.default_rng(0)) for case in subjects()[name].cases]
        assert any(x.size == 0 for inputs, _ in draws for x in inputs if isinstance(x, np.ndarray))


def test_tolerances_follow_from_the_arithmetic(table):
    for row in table.rows:
        if row.compared == "gradient":
            assert row.tolerance == 1e-7, row
        else:
            single = ("normalise", "scale_boxes", "scale_keypoints", "keypoints_of_maps")
            expected = 1e-6 if row.name in single else 1e-10
            assert row.tolerance in (0, expected), row
    for name in ("nms", "match", "rle_encode", "mask_paste", "assign_levels"):
        assert {row.tolerance for row in table.rows if row.name == name} == {0}


def test_another_seed_draws_other_inputs_and_the_same_seed_the_same():
    def errors(seed: int) -> list[tuple[float, ...]]:
        return [row.errors for row in compare("bilinear", references=ALWAYS, seed=seed).rows]

    assert errors(1) == errors(1)
    assert errors(1) != errors(2)


@pytest.mark.parametrize("kind", ["forward", "gradient"])
def test_a_planted_error_in_an_operation_is_a_miss(monkeypatch, kind):
    right = OPERATIONS["sigmoid"].raw

    def wrong(x):
        y, vjp = right(x)
        if kind == "forward":
            return y * (1 + 1e-9), vjp
        return y, lambda dy: vjp(dy) * (1 + 1e-6)

    from minirnn.autograd.tensor import differentiable

    wrong.__name__ = "wrong"
    lifted = differentiable(wrong)
    OPERATIONS.pop("wrong", None)
    monkeypatch.setitem(OPERATIONS, "sigmoid", lifted)
    monkeypatch.setattr(lifted, "__module__", "minirnn.ops.activation")
    table = compare("sigmoid", references=["textbook"])
    assert [row.compared for row in table.misses] == [kind]
    assert not table.agrees
    code, out, _ = call("sigmoid", "--reference", "textbook")
    assert code == 1
    assert "1 MISS" in out


def test_a_lost_gradient_is_a_miss(monkeypatch):
    import minirnn.heads.mask

    right = minirnn.heads.mask.mask_loss
    monkeypatch.setattr(minirnn.heads.mask, "mask_loss", lambda x, *more: right(x.detach(), *more))
    table = compare("mask_loss", references=["textbook"])
    assert [row.compared for row in table.misses] == ["gradient"]
    assert "no input got a gradient" in table.misses[0].note


def test_plain_compares_the_plain_forms(monkeypatch):
    import minirnn.boxes

    seen = []
    right = minirnn.boxes.area
    monkeypatch.setattr(minirnn.boxes, "area", lambda b: seen.append(plain_only()) or right(b))
    code, *_ = call("box_area", "--reference", "textbook", "--plain")
    assert (code, set(seen)) == (0, {True})
    assert compare("box_area", references=["textbook"]).agrees
    assert not seen[-1]


def test_a_planted_error_in_a_stage_is_a_miss(monkeypatch):
    import minirnn.boxes

    right = minirnn.boxes.nms
    monkeypatch.setattr(minirnn.boxes, "nms", lambda b, s, t: right(b, s, t)[::-1])
    code, out, _ = call("nms", "--json")
    assert code == 1
    report = json.loads(out)
    assert not report["agrees"]
    assert "MISS" in {row["verdict"] for row in report["rows"]}


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (lambda boxes: np.zeros(len(boxes) + 1), "shapes"),
        (lambda boxes: np.full(len(boxes), np.nan), ""),
        (lambda boxes: (np.zeros(len(boxes)),) * 2, "2 results and 1"),
        (lambda boxes: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_wrong_shapes_nan_and_exceptions_are_misses_and_json_stays_json(monkeypatch, answer, note):
    import minirnn.boxes

    monkeypatch.setattr(minirnn.boxes, "area", answer)
    (row,) = compare("box_area", references=["textbook"]).rows
    assert not row.agrees
    assert note in row.note
    code, out, _ = call("box_area", "--reference", "textbook", "--json")
    assert code == 1
    assert json.loads(out)["rows"][0]["relative"] is None


def test_a_reference_that_raises_is_a_miss_and_does_not_end_the_rest(monkeypatch):
    from minirnn.verify.references import scipy_functions

    def broken(x, **settings):
        raise RuntimeError("another version")

    monkeypatch.setitem(scipy_functions.FUNCTIONS, "softmax", broken)
    table = compare("softmax", "log_softmax", references=["scipy"])
    softmax, log_softmax = table.rows
    assert "another version" in softmax.note
    assert not softmax.agrees
    assert log_softmax.agrees


def test_an_operation_without_inputs_is_named(monkeypatch):
    def new(x):
        return x

    monkeypatch.setattr(new, "__module__", "minirnn.ops.arithmetic")
    monkeypatch.setitem(OPERATIONS, "brand_new", new)
    table = compare("brand_new")
    assert table.rows == []
    (left,) = [left for left in table.not_compared if "brand_new" in left.names]
    assert left.reference == "no reference"
    assert "operations.py" in left.reason


def test_a_library_that_is_not_installed_is_named_with_the_way_to_get_it(monkeypatch):
    import minirnn.verify.comparison as comparison

    absent = Reference("Absent", "absent_functions", ("no_such_package",))
    monkeypatch.setattr(comparison, "REFERENCES", (REFERENCES[0], absent))
    table = compare("relu")
    assert {row.reference for row in table.rows} == {"textbook"}
    (left,) = table.not_compared
    assert left.names == ("everything",)
    assert "no_such_package" in left.reason
    assert "docs/verify.md" in left.reason
    with pytest.raises(InputError, match="Absent cannot be compared with"):
        compare("relu", references=["absent"])


def test_a_broken_installation_is_named():
    broken = Reference("Broken", "no_such_module", ("numpy",))
    assert "cannot be imported" in broken.missing()


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match=r"'roi_algin'.*evaluation.*roi_align"):
        compare("roi_algin")
    with pytest.raises(InputError, match=r"'tensorflow'.*torch.*SciPy"):
        compare("nms", references=["tensorflow"])
    code, out, err = call("roi_algin")
    assert (code, out) == (1, "")
    assert err.startswith("minirnn: error: ")
    assert len(err.splitlines()) == 1


def test_compare_is_one_call_for_a_notebook():
    table = minirnn.verify.compare("roi_align")
    assert {row.name for row in table.rows} == {"roi_align"}
    shown = table._repr_html_()
    assert shown.count("<tr>") == len(table.rows) + 1
    assert "roi_align" in shown
    assert str(table) == table.as_text()
    assert table.as_markdown().count("\n") == len(table.rows) + 1
    with pytest.raises(AttributeError, match="compair"):
        _ = minirnn.verify.compair


def test_a_stage_is_all_of_its_functions():
    names = {row.name for row in compare("masks", references=["textbook"]).rows}
    assert names == {
        "mask_crop",
        "best_thresholds",
        "mask_paste",
        "rle_encode",
        "rle_decode",
        "rle_area",
    }


def test_text_names_reasons_and_ends_with_the_sum(table):
    text = table.as_text()
    assert text.splitlines()[-1] == table.summary()
    assert "SciPy, has no gradients: sigmoid" in text
    assert max(map(len, text.splitlines())) < 140
    for row in table.rows:
        assert row.name in text


def test_rows_judge_by_their_errors():
    def row(**changed) -> Row:
        fields = {"cases": 1, "absolute": 0.0, "relative": 0.0, "tolerance": 1e-10} | changed
        return Row("s", "n", "forward", "r", **fields)

    assert row().agrees
    assert row(relative=1e-10).agrees
    assert not row(relative=1.1e-10).agrees
    assert not row(relative=float("nan")).agrees
    assert not row(cases=0).agrees
    assert not row(tolerance=0.0, relative=1.0).agrees
    assert "<b>" not in Table([row()], [NotCompared("<b>", "x", ("y",))])._repr_html_()


def test_answers_of_all_kinds_become_arrays():
    rle = {"size": [2, 3], "counts": "abc"}
    size, text = as_arrays(rle)
    assert size.tolist() == [2, 3]
    assert text.tobytes() == b"abc"
    assert [a.shape for a in as_arrays((1.5, [np.zeros((2, 3))]))] == [(), (2, 3)]


def test_json_is_one_object_with_rows():
    code, out, _ = call("boxes", "--json", "--reference", "textbook", "--reference", "pycocotools")
    report = json.loads(out)
    assert code == 0
    assert report["agrees"]
    assert set(report["versions"]) == {"pycocotools"}
    for row in report["rows"]:
        assert row["verdict"] == "agrees"
        assert len(row["errors"]) == row["cases"]
        assert set(row) >= {"stage", "name", "reference", "absolute", "relative", "tolerance"}
    assert any("nms" in left["names"] for left in report["not_compared"])


class Links(html.parser.HTMLParser):
    """Collects everything that a page would load, and counts its pictures."""

    def __init__(self):
        super().__init__()
        self.loaded, self.pictures, self.tags = [], 0, []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href") and value.startswith("data:image/svg+xml;base64,"):
                self.pictures += 1
            elif name in ("src", "href"):
                self.loaded.append(value)


def test_the_page_holds_everything_in_itself(tmp_path):
    path = tmp_path / "errors.html"
    code, out, _ = call("boxes", "masks", "--reference", "textbook", "--html", path)
    assert code == 0
    assert str(path) in out
    text = path.read_text("utf-8")
    links = Links()
    links.feed(text)
    assert links.loaded == []
    assert links.pictures == 2
    assert "script" not in links.tags
    assert "mask_paste" in text


def test_the_page_shows_a_miss(tmp_path):
    from minirnn.verify.page import errors_figure, write_errors

    rows = [
        Row("s", "fine", "forward", "textbook", 2, 0.0, 0.0, 1e-10, (0.0, 1e-12)),
        Row("s", "bad", "forward", "SciPy", 2, 1.0, np.inf, 1e-10, (np.nan, np.inf), "(shapes)"),
    ]
    axes = errors_figure("s", rows).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()][1] == "bad, forward, SciPy"
    assert len(axes.patches) == 1  # the band behind the row that misses
    write_errors(tmp_path / "page.html", Table(rows))
    assert "1 MISS" in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_without_a_folder_is_refused_before_the_work(tmp_path):
    code, out, err = call("relu", "--html", tmp_path / "none" / "page.html")
    assert (code, out) == (1, "")
    assert "there is no folder" in err


@pytest.mark.reference
@pytest.mark.parametrize("name", ["torch", "torchvision", "ONNX Runtime"])
def test_everything_agrees_with_a_library_that_is_not_always_there(name):
    (reference,) = [r for r in REFERENCES if r.name == name]
    if any(importlib.util.find_spec(package) is None for package in reference.packages):
        pytest.skip(f"{name} is not installed")
    table = compare(references=[name])
    assert len(table.rows) > 25
    assert not [row.cells() for row in table.misses]
    unknown = set(reference.functions()) - set(subjects())
    assert not unknown, "a reference for something that there is not"


@pytest.mark.reference
def test_a_region_without_area_is_read_by_torchvision_and_is_0_here():
    """The documented difference, for which such a region is not compared with torchvision."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "torchvision")):
        pytest.skip("torch or torchvision is not installed")
    import torch

    from minirnn.verify.references.torchvision_functions import ops

    settings = {"output_size": 2, "spatial_scale": 1.0, "sampling_ratio": 2, "aligned": True}
    features, box = np.full((1, 1, 6, 6), 7.0), np.array([[2.5, 1.5, 2.5, 4.0]])
    rois = torch.from_numpy(np.hstack([[[0.0]], box]))
    assert (ops.roi_align(torch.from_numpy(features), rois, **settings).numpy() == 7).all()
    ours = OPERATIONS["roi_align"](features, box, np.zeros(1, np.intp), **settings)
    assert (as_arrays(ours)[0] == 0).all()
    left = compare("roi_align", references=["torchvision"]).not_compared
    assert any("region without area" in each.reason for each in left)


def test_tables_of_references_name_only_what_there_is():
    for reference in REFERENCES:
        if reference.name in ALWAYS:
            assert set(reference.functions()) <= set(subjects())
