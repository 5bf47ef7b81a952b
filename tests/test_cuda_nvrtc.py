"""Every CUDA source is compiled by NVRTC, for chips from 2018 to 2025, without a GPU or a driver.

Needs the extra `nvrtc`: pip install '.[nvrtc]' (90 MB).
"""

from __future__ import annotations

import pytest

from minirnn.kernels.cuda import launch

core = pytest.importorskip("cuda.core", reason="cuda-core is not installed (the extra `nvrtc`)")
pytest.importorskip("cuda.bindings.nvrtc", reason="NVRTC is not installed (the extra `nvrtc`)")

ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100", "sm_120")


def compiled(text, architecture, real="float"):
    options = core.ProgramOptions(
        std="c++17", arch=architecture, fma=False, define_macro=("REAL", real)
    )
    return core.Program(text, "c++", options).compile("cubin")


@pytest.mark.parametrize("file", launch.sources())
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_source_is_compiled(file, architecture):
    kinds = ("float", "double") if architecture == "sm_90" else ("float",)
    for real in kinds:
        assert compiled(launch.source_of(file), architecture, real).code


def test_a_mistake_is_found():
    with pytest.raises(Exception, match="undefined"):
        compiled('extern "C" __global__ void wrong() { nothing(); }', "sm_90")
