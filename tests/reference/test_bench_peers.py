"""`minirnn bench` beside torch, torchvision and ONNX Runtime: that they are asked, and asked the same."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner

from minirnn.bench import infer, peers, train
from minirnn.bench.ops import run_ops
from minirnn.bench.stand_ins import our_roi_align_instead, timed_stand_ins
from minirnn.cli import cli

pytestmark = pytest.mark.reference


@pytest.fixture(scope="module")
def onnx():
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.mark.usefixtures("onnx")
def test_every_operation_is_asked_of_its_peers_and_agrees():
    names = ["conv3x3/2 512", "conv7x7", "conv3x3 256-256 16x16", "roi_align 100x", "roi_pool"]
    report = run_ops([*names, "nms", "anchors", "paste", "rle"], size=(64, 64), repeat=1)
    assert report.agrees, report.as_text()
    compared = {row.group: set(row.differences) for row in report.rows}
    assert compared["conv forward"] == {"torch", "ONNX Runtime"}
    assert compared["conv backward"] == {"torch"}
    assert compared["roi_align forward"] == {"torchvision", "ONNX Runtime"}
    assert compared["roi_align backward"] == {"torchvision"}
    assert compared["nms"] == {"torchvision", "ONNX Runtime"}
    assert compared["anchors"] == compared["paste"] == {"torchvision"}
    assert compared["rle"] == {"pycocotools"}
    compiled = peers.torchvision_is_compiled()
    for row in report.rows:
        stand_in = row.group.split()[0] in ("roi_align", "nms") and not compiled
        assert row.not_peers == (("torchvision",) if stand_in else ())
        assert bool(row.note) >= stand_in
    if not compiled:
        assert compared["roi_pool forward"] == {"ONNX Runtime"}
    assert [total.name.split(", ")[1] for total in report.sums] == ["forward", "backward"]


@pytest.mark.slow
@pytest.mark.usefixtures("onnx")
def test_transposed_and_fully_connected_layers_agree():
    report = run_ops(["conv_transpose", "linear"], size=(64, 64), repeat=1)
    assert report.agrees, report.as_text()
    forward, backward = {"torch", "ONNX Runtime"}, {"torch"}
    assert [set(row.theirs) for row in report.rows] == [forward, backward] * 2


@pytest.mark.usefixtures("onnx")
@pytest.mark.parametrize("size", [64, 96])  # 64 / 427 · 427 is less than 64 in float32
def test_the_same_detections_come_out_of_all_three(size):
    report = infer.run_infer(batch=1, size=size, repeat=1, memory=False)
    (row,) = report.rows
    assert set(row.theirs) == {"torchvision", "ONNX Runtime"}
    assert report.agrees, report.as_text()
    for found in row.details["agreement"].values():
        assert found["ours"] == found["theirs"] == 100
        assert found["partners"] >= 95
    if not peers.torchvision_is_compiled():
        assert row.details["stand_in_ms"]["torchvision"] > 0


def test_a_wrong_weight_is_noticed(monkeypatch):
    build = infer.our_network

    def other(folder, *place):
        model = build(folder, *place)
        model.roi_heads.box_predictor.cls_score.bias.data += np.arange(91, dtype=np.float32) / 30
        return model

    monkeypatch.setattr(infer, "our_network", other)
    monkeypatch.setattr(infer, "PEERS", (peers.TORCHVISION,))
    report = infer.run_infer(size=64, repeat=1, memory=False)
    assert not report.agrees
    json.dumps(report.as_dict(), allow_nan=False)  # infinite differences and all


@pytest.mark.parametrize("network", ["shapes", "resnet50"])
def test_a_step_of_training_agrees(network):
    report = train.run_train(network, size=64, repeat=1, memory=False)
    (row,) = report.rows
    assert report.agrees, report.as_text()
    assert 0 < row.details["loss_difference"] < 1e-4
    assert 0 < row.details["gradient_difference"] < train.TOLERANCE
    assert row.ratio_torch == row.ratio("torchvision") > 0
    if not peers.torchvision_is_compiled():
        assert row.details["stand_in_ms"]["torchvision"] > 0
        assert "forward and backward, are not in its time" in row.note


def test_a_wrong_gradient_is_noticed(monkeypatch):
    build = train.our_network

    def other(folder, *place):
        model = build(folder, *place)
        model.config = model.config.replace(box_beta=1.0)
        next(iter(model.roi_heads)).beta = 1.0
        return model

    monkeypatch.setattr(train, "our_network", other)
    assert not train.run_train("shapes", repeat=1, memory=False).agrees


@pytest.mark.slow
def test_memory_of_both_is_measured():
    ran = CliRunner().invoke(
        cli, ["bench", "train", "--model", "shapes", "--repeat", "1", "--json"]
    )
    (row,) = json.loads(ran.stdout)["rows"]
    for name in ("ours", "torchvision"):
        assert 30 < row["base_mb"][name] < row["peak_mb"][name]


# ---------------------------------------------------------------- stand-ins


def _pooled(features, boxes, settings):
    """torchvision's way to call it, its answer and its gradient."""
    from torchvision.ops import poolers

    leaf = features.clone().requires_grad_()
    out = poolers.roi_align(leaf, boxes, **settings)
    out.square().sum().backward()
    return out.detach().numpy(), leaf.grad.numpy()


@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize("around", [timed_stand_ins, our_roi_align_instead])
@pytest.mark.parametrize("aligned", [False, True])
def test_roi_align_under_the_clock_and_lent_is_the_same(count, around, aligned):
    import torch

    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 8, 9, generator=generator)
    corner = torch.rand(count, 2, generator=generator) * 20
    side = torch.rand(count, 2, generator=generator) * 15 + 1
    index = torch.arange(count)[:, None] % 2
    boxes = torch.cat([index.float(), corner, corner + side], 1)
    settings = {
        "output_size": (2, 3), "spatial_scale": 0.25, "sampling_ratio": 2, "aligned": aligned
    }  # fmt: skip
    if count:
        wanted = _pooled(features, boxes, settings)
    else:  # the stand-in gives a result without a gradient, which torch cannot walk back
        wanted = np.zeros((0, 3, 2, 3), np.float32), np.zeros_like(features.numpy())
    with around() as watch:
        found = _pooled(features, boxes, settings)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    if watch:
        assert watch.seconds > 0


def test_the_clock_runs_in_both_directions_and_for_nms():
    import torch
    from torchvision.ops import boxes as box_ops
    from torchvision.ops import poolers

    features = torch.randn(1, 64, 64, 64, requires_grad=True)
    rois = torch.tensor([[0.0, 0, 0, 50, 50]]).repeat(100, 1)
    with timed_stand_ins() as watch:
        out = poolers.roi_align(features, rois, output_size=7, sampling_ratio=2)
        forward = watch.take()
        out.sum().backward()
        backward = watch.take()
        assert box_ops.nms(rois[:, 1:], torch.rand(100), 0.5).numel() == 1
        suppression = watch.take()
    assert min(forward, backward, suppression) > 1e-5
