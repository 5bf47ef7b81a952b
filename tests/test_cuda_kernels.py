"""The CUDA kernels, run on the host (tests/cuda_shim): each equals the plain form of its operation.

What this cannot see: races between threads, and how fast they are. Where there is a GPU, the same is
compared there, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path
from unittest import mock

import kernel_cases_ops
import kernel_cases_regions
import numpy as np
import pytest
from conftest import why_no_gpu
from cuda_shim import SANITIZE, HostModule, on_host, why_not
from standin import counted, standin
from test_model import _tiny, scene

from minirnn import kernels
from minirnn.backend import to_host
from minirnn.errors import InputError
from minirnn.kernels import report
from minirnn.kernels.cuda import launch, winograd
from minirnn.roi.levels import pyramid_roi
from minirnn.training import SGD

HERE = Path(__file__).parent
DRAWS = 25
EXACT = {
    "nms",
    "batched_nms",
    "paste",
    "sgd_steps",
}  # indices, bits; and the same steps in the same order


def for_pyramid(rng):
    """Maps of three levels, regions on and off them, of all sizes, and now and then none."""
    dtype = np.float32 if rng.random() < 0.5 else np.float64
    maps = [rng.normal(size=(2, 5, 24 // 2**k, 32 // 2**k)).astype(dtype) for k in range(3)]
    count = int(rng.choice([0, 1, 14]))
    boxes = kernel_cases_regions.boxes_of(rng, count, size=130, dtype=dtype)
    settings = {
        "output_size": int(rng.integers(1, 5)),
        "spatial_scales": (1 / 4, 1 / 8, 1 / 16),
        "canonical_size": 50,
        "sampling_ratio": int(rng.integers(0, 4)),
        "aligned": bool(rng.random() < 0.5),
        "rule": str(rng.choice(["floor", "round"])),
    }
    return (*maps, boxes, rng.integers(0, 2, count)), settings


def for_sgd_steps(rng):
    """Parameters of several shapes, gradients that lie in another order, and one shared array."""
    dtype = np.float32 if rng.random() < 0.5 else np.float64
    arrays = []
    for shape in [(3, 5), (1,), (300,), (2, 3, 4, 5), (0, 2)][: int(rng.integers(1, 6))]:
        gradient = np.asfortranarray(rng.normal(size=shape).astype(dtype))
        arrays += [
            rng.normal(size=shape).astype(dtype),
            gradient,
            rng.normal(size=shape).astype(dtype),
        ]
    decays = rng.choice([0, 1e-4, 0.01], len(arrays) // 3).tolist()
    return arrays, {"learning_rate": 0.1, "momentum": 0.9, "weight_decays": decays}


TABLE = report.every_operation()
OF_CUDA = {
    name: [k for k in entry.kernels if k.device == "cuda"]
    for name, entry in TABLE.items()
    if any(k.device == "cuda" for k in entry.kernels)
}
CASES = {
    **kernel_cases_ops.CASES,
    **kernel_cases_regions.CASES,
    "pyramid_roi": for_pyramid,
    "sgd_steps": for_sgd_steps,
}


def on_device(x, xp=standin):
    """The same with arrays of a library, sides of regions among them."""
    if isinstance(x, np.ndarray):
        return xp.asarray(x)
    if isinstance(x, tuple) and hasattr(x, "_fields"):
        return type(x)(*(on_device(part, xp) for part in x))
    return x


def computed(function, arrays, settings, seed, device=lambda x: x):
    """The result, the gradient of each array that has one, and the arrays as they are then."""
    result = function(*arrays, **settings)
    if not isinstance(result, tuple):
        found = [] if result is None else [result]
        return [to_host(x) for x in [*found, *arrays] if hasattr(x, "strides")]
    value, vjps = result
    dy = device(np.random.default_rng(seed).standard_normal(value.shape).astype(value.dtype))
    vjps = vjps if isinstance(vjps, tuple) else (vjps,)
    return [to_host(x) for x in (value, *(vjp(dy) for vjp in vjps if vjp is not None))]


def compare(name, seed, xp=standin):
    """One drawn call by the kernel and by the plain form; returns whether a kernel was taken."""
    arrays, settings = CASES[name](np.random.default_rng(seed))
    ours = [on_device(array, xp) for array in arrays]
    with kernels.plain():
        slow = computed(TABLE[name].plain, arrays, settings, seed)
    taken = TABLE[name].chosen(tuple(ours), settings)
    fast = computed(taken, ours, settings, seed, partial(on_device, xp=xp))
    assert len(fast) == len(slow)
    for a, b in zip(fast, slow, strict=True):
        where = f"seed {seed}, {settings}"
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        if name in EXACT or a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b, err_msg=where)
        else:
            # Sums of up to a few thousand products; Winograd may err as in tests/test_winograd.py.
            by_winograd = name == "conv2d" and b.dtype == np.float32
            error = 3e-5 if by_winograd else 60 * float(np.finfo(b.dtype).eps)
            most = max(float(np.abs(b).max(initial=0)), 1) * error
            np.testing.assert_allclose(a, b, rtol=0, atol=most, err_msg=where)
    return taken is not TABLE[name].plain


@pytest.fixture(autouse=True)
def _on_host(request):
    if "library" in request.fixturenames:
        request.getfixturevalue("library")
    elif why_not():
        pytest.skip(str(why_not()))
    with on_host():
        yield


@pytest.fixture(params=["standin", pytest.param("cupy", marks=pytest.mark.gpu)])
def library(request):
    """Whose arrays: the stand-in's, with kernels built by g++, or CuPy's on a GPU."""
    reason = why_no_gpu() if request.param == "cupy" else why_not()
    if reason:
        pytest.skip(reason)
    return standin if request.param == "standin" else pytest.importorskip("cupy")


@pytest.mark.parametrize("name", sorted(OF_CUDA))
def test_kernel_equals_the_plain_form(name, library):
    taken = [compare(name, seed, library) for seed in range(DRAWS)]
    assert sum(taken) > DRAWS // 3


@pytest.mark.parametrize("shape", [(1, 16, 6, 6), (2, 17, 9, 14), (1, 40, 3, 3), (2, 16, 13, 4)])
def test_3x3_goes_by_winograd(shape):
    rng = np.random.default_rng(0)
    for padding, with_all in ((0, False), (1, True)):
        size = [n + 2 * padding - 2 for n in shape[2:]]
        x, add = (rng.standard_normal(s).astype(np.float32) for s in (shape, (shape[0], 20, *size)))
        weight = rng.standard_normal((20, shape[1], 3, 3)).astype(np.float32)
        bias = rng.standard_normal(20).astype(np.float32)
        arrays = (x, weight, bias, add) if with_all else (x, weight, None)
        settings = {"padding": padding, "relu": with_all}
        with kernels.plain():
            slow = computed(TABLE["conv2d"].plain, arrays, settings, 1)
        ours = [on_device(array) for array in arrays]
        with mock.patch.object(winograd, "correlate", wraps=winograd.correlate) as correlate:
            fast = computed(TABLE["conv2d"].chosen(tuple(ours), {}), ours, settings, 1, on_device)
        assert correlate.call_count == 2  # there and back
        for a, b in zip(fast, slow, strict=True):
            # Winograd's own rounding, which tests/test_winograd.py measures; at a ReLU's edge it decides.
            np.testing.assert_allclose(a, b, rtol=0, atol=3e-5 * np.abs(b).max())


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (5, 2, ((1, 2), (1, 2)))])
def test_a_depthwise_convolution_is_one_launch_each_way(kernel, stride, padding):
    """EfficientNet's. The plain form goes over the map for each element of the kernel, 9 or 25."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 6, 12, 14)).astype(np.float32)
    weight, bias = (
        rng.standard_normal((6, 1, kernel, kernel)).astype(np.float32),
        np.ones(6, np.float32),
    )
    settings = {"stride": stride, "padding": padding, "groups": 6, "relu6": True}
    ours = [on_device(array) for array in (x, weight, bias)]
    taken = TABLE["conv2d"].chosen(tuple(ours), settings)
    assert taken.__name__ == "depthwise_conv2d"
    with counted() as work:
        y, vjps = taken(*ours, **settings)
    assert (work.launches, work.waits.total()) == (2, 0)  # the stand-in counts `empty`, too
    dy = on_device(rng.standard_normal(y.shape).astype(np.float32))
    vjps[0](dy)  # and what is remembered: the way back through ReLU6
    with counted() as work:
        found = [vjp(dy) for vjp in vjps[:2]]
    assert (work.launches, work.waits.total()) == (4, 0)
    with kernels.plain():
        exact, back = TABLE["conv2d"].plain(x, weight, bias, **settings)
        wanted = [vjp(to_host(dy)) for vjp in back[:2]]
    for a, b in zip([y, *found], [exact, *wanted], strict=True):
        np.testing.assert_allclose(to_host(a), b, rtol=0, atol=2e-6 * np.abs(b).max())


def test_gradients_may_be_added_in_any_order(monkeypatch, library):
    monkeypatch.setenv(launch.ATOMICS, "1")
    for name in ("pyramid_roi", "sample_regions"):
        assert sum(compare(name, seed, library) for seed in range(DRAWS)) > DRAWS // 2


def test_the_gathered_gradient_repeats_bit_for_bit(library):
    arrays, settings = for_pyramid(np.random.default_rng(3))
    ours = [on_device(array, library) for array in arrays]
    pooled, back = pyramid_roi.raw(*ours, **settings)
    dy = np.random.default_rng(0).standard_normal(pooled.shape).astype(pooled.dtype)
    dy = on_device(dy, library)
    for vjp in back[:3]:
        np.testing.assert_array_equal(to_host(vjp(dy)), to_host(vjp(dy)))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, of infinities; CuPy has none
def test_regions_of_nonsense_do_no_harm():
    """What is wrong is refused when the answer has come back; until then kernels have to stand it."""
    boxes = np.array(
        [[0, 0, 9, 9], [np.nan] * 4, [-np.inf, 0, np.inf, 5], [0, 0, 1e30, 1e30]], np.float32
    )
    wild = standin.asarray(boxes)
    index = standin.asarray(np.array([0, 0, 0, 7]))
    features = standin.asarray(np.ones((1, 2, 6, 6), np.float32))
    masks = standin.asarray(np.ones((1, 6, 6), bool))
    chosen = partial(TABLE["crop"].chosen, settings={"size": 3})
    cut = chosen((masks, wild, index))(masks, wild, index, size=3)
    assert np.isfinite(to_host(cut)).all()
    probabilities = standin.asarray(np.ones((4, 3, 3), np.float32))
    paste = TABLE["paste"].chosen((probabilities, wild, 5, 5), {})
    assert not to_host(paste(probabilities, wild, 5, 5))[1].any()
    with pytest.raises(InputError, match="NaN"):
        pyramid_roi(features, wild, index, spatial_scales=(0.25,))


def test_a_network_takes_every_kernel_that_there_is_and_learns_the_same():
    seen = set()
    choose = TABLE["conv2d"].chosen.__func__

    def watched(entry, arrays, settings):
        chosen = choose(entry, arrays, settings)
        seen.update((entry.name,) if chosen in [k.function for k in entry.kernels] else ())
        return chosen

    host, device = _tiny(), _tiny().to_library(standin)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(TABLE["conv2d"]), "chosen", watched)
        found = []
        for model in (host, device):
            for _ in range(2):
                losses = model.losses(*map(list, zip(scene(0), strict=True)))
                sum(losses.values(), start=0.0).backward()
                SGD(model).step(0.01)
            found.append({name: float(loss) for name, loss in losses.items()})
            model.predict([scene(0)[0]])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert {
        "conv2d",
        "group_norm",
        "pyramid_roi",
        "batched_nms",
        "crop",
        "paste",
        "sgd_steps",
    } <= seen


@pytest.mark.parametrize("operation", ["warp", "pool"])
def test_networks_of_the_other_roi_operations_learn_the_same(operation):
    found = []
    for xp in (np, standin):
        model = _tiny(roi_operation=operation).to_library(xp)
        losses = model.losses(*map(list, zip(scene(0), strict=True)))
        sum(losses.values(), start=0.0).backward()
        found.append([to_host(tensor.grad) for tensor in SGD(model).parameters()])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b, a, atol=2e-3 * max(float(np.abs(a).max()), 1e-3))


def test_blocks_that_wait_at_different_places_are_found():
    """The shim itself: a barrier that half of the threads pass by is an error, not a wrong number."""
    text = 'extern "C" __global__ void odd(float *x) { if (threadIdx.x % 2) __syncthreads(); ' \
           "else __shfl_down_sync(0xffffffffu, x[0], 1); }"  # fmt: skip
    code = f"""
import numpy as np
from standin import counted, standin
from cuda_shim import HostModule
HostModule({text!r}, ()).get_function("odd")((1,), (32,), (standin.asarray(np.ones(1, np.float32)),))
"""
    done = run_python(code)
    assert done.returncode != 0
    assert "different places" in done.stderr


def run_python(code, **environment):
    paths = os.pathsep.join([str(HERE), str(HERE.parent)])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
    )


def runtime_of(sanitizer):
    """The sanitizer's library, which has to be there before Python's own memory is."""
    done = subprocess.run(
        ["g++", f"-print-file-name=lib{sanitizer}.so"], capture_output=True, text=True, check=True
    )
    path = done.stdout.strip()
    if not os.path.isabs(path):
        pytest.skip(f"g++ has no lib{sanitizer}.so")
    return path


def under_sanitizers(code):
    return run_python(
        code,
        LD_PRELOAD=runtime_of("asan"),
        ASAN_OPTIONS="detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=0",
        **{SANITIZE: "address,undefined", "PYTHONMALLOC": "malloc"},
    )


def test_sanitizers_find_an_access_outside_of_an_array():
    text = 'extern "C" __global__ void past(float *x, long long n) { x[n] = 0; }'
    code = f"""
import numpy as np
from standin import counted, standin
from cuda_shim import HostModule
run = HostModule({text!r}, ()).get_function("past")
run((1,), (1,), (standin.asarray(np.ones(5000, np.float32)), np.int64(PLACE)))
"""
    assert under_sanitizers(code.replace("PLACE", "4999")).returncode == 0
    done = under_sanitizers(code.replace("PLACE", "5000"))
    assert "heap-buffer-overflow" in done.stderr


@pytest.mark.skipif(SANITIZE in os.environ, reason="it is what is running")
def test_no_kernel_reads_or_writes_outside_of_its_arrays():
    code = """
import os
import test_cuda_kernels as tests
with tests.on_host():
    for name in tests.OF_CUDA:
        for seed in range(6):
            tests.compare(name, seed)
    os.environ[tests.launch.ATOMICS] = "1"
    for seed in range(6):
        tests.compare("pyramid_roi", seed)
print("all")
"""
    done = under_sanitizers(code)
    assert (done.returncode, done.stdout) == (0, "all\n"), done.stderr[-3000:]


def test_sources_say_what_they_equal():
    for file in launch.sources():
        text = (Path(launch.__file__).parent / file).read_text("utf-8")
        head = text.partition("extern")[0]
        assert "The NumPy lines that it equals (minirnn/" in head, file
        for path in re.findall(r"\((minirnn/[\w/]+\.py)", head):
            assert (HERE.parent / path).exists(), path


def test_places_are_counted_in_64_bits():
    """An array may have more than 2³¹ numbers, and a grid more than 2³² threads."""
    for file in launch.sources():
        text = launch.source_of(file)
        assert not re.search(r"blockIdx\.x \* (?!\(long long\))", text), file
        for heads in re.findall(r"__global__ void \w+\((.*?)\) \{", text, re.DOTALL):
            assert not re.search(r"\b(int|unsigned|size_t) \w+(,|$)", heads), (file, heads)


def test_every_source_is_built_and_every_kernel_used():
    used = "".join(path.read_text("utf-8") for path in Path(launch.__file__).parent.glob("*.py"))
    for file in launch.sources():
        names = re.findall(r"__global__ void (\w+)\(", launch.source_of(file))
        assert names, file
        module = HostModule(launch.source_of(file), launch.options_for("float32"))
        for name in names:
            assert module.get_function(name)
            assert f'"{name}"' in used, f"nothing starts {name} of {file}"
