"""Modules: names, state, freezing."""

import numpy as np
import pytest
from standin import counted, standin

from minirnn import nn
from minirnn.autograd import Tensor
from minirnn.backbones.resnet import ResNet
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.models import PRESETS, build_model
from minirnn.nn import init
from minirnn.nn.layers import convolve_and_normalise


def _net(seed=0):
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, rng=rng), nn.GroupNorm(8, 2), nn.ReLU(), nn.FrozenBatchNorm2d(8)
    )


def test_names_are_paths():
    net = _net()
    assert [name for name, _ in net.named_parameters()] == [
        "0.weight", "0.bias", "1.weight", "1.bias",
    ]  # fmt: skip
    assert set(net.state_dict()) - {n for n, _ in net.named_parameters()} == {
        "3.weight", "3.bias", "3.running_mean", "3.running_var",
    }  # fmt: skip
    assert len(net) == 4
    assert isinstance(net[1], nn.GroupNorm)


def test_state_round_trip_copies():
    a, b = _net(0), _net(1)
    b.load_state_dict(a.state_dict())
    x = np.random.default_rng(2).standard_normal((1, 3, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(a(x).data, b(x).data)
    b[0].weight.data += 1
    assert not np.array_equal(a[0].weight.data, b[0].weight.data)


def test_wrong_state_is_refused_whole_and_lists_everything():
    net, before = _net(), _net().state_dict()
    state = dict(before)
    del state["1.bias"]
    state["9.weight"] = np.zeros(2)
    state["0.weight"] = np.zeros((8, 3, 5, 5), np.float32)
    state["0.bias"] = np.ones(8, np.float32)
    with pytest.raises(InputError) as error:
        net.load_state_dict(state)
    for part in ("missing: 1.bias", "unexpected: 9.weight", "shape: 0.weight is (8, 3, 5, 5)"):
        assert part in str(error.value)
    assert not net[0].bias.data.any()  # nothing was changed
    problems = net.load_state_dict(state, strict=False)
    assert len(problems) == 3
    assert net[0].bias.data.all()


def test_astype_and_freeze():
    net = _net().astype(np.float64)
    assert {array.dtype for array in net.state_dict().values()} == {np.dtype(np.float64)}
    net.freeze()
    y = net(np.zeros((1, 3, 4, 4)))
    assert y.requires_grad is False
    assert all(not tensor.requires_grad for tensor in net.parameters())


def test_zero_grad():
    net = _net()
    (net(np.ones((1, 3, 4, 4), np.float32)) * 1.0).backward(np.ones((1, 8, 4, 4), np.float32))
    assert net[0].weight.grad is not None
    net.zero_grad()
    assert net[0].weight.grad is None


def test_frozen_stages():
    model = ResNet(18, frozen_stages=2, rng=np.random.default_rng(0))
    trained = {n.split(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"layer2", "layer3", "layer4"}


@pytest.mark.parametrize("frozen", range(6))
def test_the_small_backbone_freezes_what_it_is_told_and_takes_the_eps(frozen):
    fields = {"frozen_stages": frozen, "norm_eps": 0.25, "small_widths": (8, 8, 8)}
    body = build_model("maskrcnn_shapes", **fields).backbone.body
    stem, stages = {"conv1", "bn1"}, ["layer1", "layer2", "layer3"]
    trained = {n.split(".")[0] for n, p in body.named_parameters() if p.requires_grad}
    assert trained == (set(stages[frozen - 1 :]) if frozen else {*stem, *stages})
    norms = [m for _, m in body.named_modules() if m.is_normalisation]
    assert {m.eps for m in norms} == {0.25}
    plain = build_model("maskrcnn_shapes", small_widths=(8, 8, 8)).backbone.body
    assert {m.eps for _, m in plain.named_modules() if m.is_normalisation} == {1e-5}


@pytest.mark.parametrize(
    ("depth", "count"), [(18, 11_176_512), (34, 21_284_672), (50, 23_508_032), (101, 42_500_160)]
)
def test_resnets_have_the_published_number_of_parameters(depth, count):
    # torchvision's counts, less the classifier's; the norm's scale and shift are buffers here.
    model = ResNet(depth, rng=np.random.default_rng(0))
    arrays = {
        name: array
        for name, array in model.state_dict().items()
        if not name.endswith(("running_mean", "running_var"))
    }
    assert sum(array.size for array in arrays.values()) == count


def test_resnet_strides():
    model = ResNet(18, rng=np.random.default_rng(0))
    maps = model(np.zeros((1, 3, 64, 96), np.float32))
    assert [m.shape for m in maps.values()] == [
        (1, 64, 16, 24), (1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3),
    ]  # fmt: skip


def test_trap_36_what_an_import_of_weights_depends_on():
    """torchvision's choices: stride in the 3×3, pooling pads with nothing, eps, channels, mean."""
    body = ResNet(50, rng=np.random.default_rng(0))
    first = body.layer2[0]
    assert first.conv1.settings["stride"] == 1
    assert first.conv2.settings["stride"] == 2
    negative = np.full((1, 64, 6, 6), -1, np.float32)
    np.testing.assert_array_equal(body.maxpool(negative), np.full((1, 64, 3, 3), -1))
    preset = PRESETS["maskrcnn_resnet50_fpn"]
    assert (preset.backbone.norm_eps, preset.transform.bgr, preset.transform.image_mean[0]) == (
        0.0,
        False,
        0.485,
    )
    frozen = nn.FrozenBatchNorm2d(2, eps=0.5)
    frozen.weight[:], frozen.bias[:] = (2, 3), (1, -1)
    frozen.running_mean[:], frozen.running_var[:] = (4, 5), (0.5, 3.5)
    y = frozen(np.ones((1, 2, 1, 1), np.float32))
    np.testing.assert_allclose(y.ravel(), [(1 - 4) / 1 * 2 + 1, (1 - 5) / 2 * 3 - 1])


def test_initial_deviations():
    rng = np.random.default_rng(0)
    w = init.kaiming_normal_fan_out((64, 32, 3, 3), rng)
    assert w.std() == pytest.approx(np.sqrt(2 / (64 * 9)), rel=0.02)
    w = init.kaiming_uniform((256, 300), rng)
    assert abs(w).max() <= np.sqrt(3 / 300)
    assert w.std() == pytest.approx(np.sqrt(1 / 300), rel=0.02)
    assert init.normal(0.01)((100, 100), rng).std() == pytest.approx(0.01, rel=0.05)


def test_forward_must_be_written():
    with pytest.raises(NotImplementedError, match="Module"):
        nn.Module()(Tensor(np.zeros(1)))


def test_on_a_gpu_scale_and_shift_are_kept_until_an_array_is_replaced():
    """Whatever changes the layer must be seen; whatever does not costs no launches."""
    rng = np.random.default_rng(0)
    host, norm = nn.FrozenBatchNorm2d(3), nn.FrozenBatchNorm2d(3)
    state = {name: rng.uniform(0.5, 2, 3).astype(np.float32) for name in norm.state_dict()}

    def same():
        for here, there in zip(host.scale_and_shift(), norm.scale_and_shift(), strict=True):
            assert there.dtype == here.dtype
            np.testing.assert_allclose(to_host(there), here, rtol=1e-6)

    norm.to_library(standin)
    same()
    with counted() as work:
        norm.scale_and_shift()
    assert work.launches == 0
    for change in (
        lambda layer: layer.load_state_dict(state),
        lambda layer: layer.astype(np.float64),
        lambda layer: setattr(layer, "running_var", layer.running_var * 2),
        lambda layer: setattr(layer, "eps", 0.5),
    ):
        for layer in (host, norm):
            change(layer)
        same()
    norm.to_library(np)
    assert isinstance(norm.scale_and_shift()[0], np.ndarray)
    same()
    norm.running_mean[...] = host.running_mean[...] = 7  # on the host writing into it is seen, too
    same()
    assert set(norm.state_dict()) == set(state)


def test_a_frozen_normalisation_follows_the_kernels_that_are_trained():
    """Only s and t are kept, not the kernels that they are folded into: those change with every step."""
    found = []
    for xp in (np, standin):
        convolution = nn.Conv2d(2, 3, 3, bias=False, rng=np.random.default_rng(1))
        norm = nn.FrozenBatchNorm2d(3)
        norm.weight = np.array([2, 3, 4], np.float32)
        nn.Sequential(convolution, norm).to_library(xp)
        x, seen = xp.asarray(np.ones((1, 2, 4, 4), np.float32)), []
        for _ in range(2):
            y = convolve_and_normalise(convolution, norm, Tensor(x))
            seen.append(to_host(y.data).copy())
            y.sum().backward()
            convolution.weight.data -= 0.1 * convolution.weight.grad
            convolution.zero_grad()
        assert not np.allclose(*seen)
        found.append(seen)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
