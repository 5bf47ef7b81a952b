"""`minirnn devices`: what is there, what is missing, and the line that installs it."""

from __future__ import annotations

import ctypes
import json
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_cases import succeed

from minirnn import devices as module
from minirnn.cli.networks import make_ready
from minirnn.devices import Gpu, devices, install_line

ROOT = Path(__file__).parent.parent
CHIP = Gpu("NVIDIA Something", 24 * 2**30, 89)


def driver(monkeypatch, version=128, gpus=(CHIP,), cupy="14.2.0"):
    found = module._Driver(version, list(gpus))
    monkeypatch.setattr(module._Driver, "ask", classmethod(lambda cls: found))
    monkeypatch.setattr(module, "_version_of_cupy", lambda: cupy)


def works(monkeypatch, value=3):
    arange = lambda n: SimpleNamespace(sum=lambda: value)  # noqa: E731
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(arange=arange))


def test_everything_is_there(monkeypatch):
    driver(monkeypatch)
    works(monkeypatch)
    found = devices()
    assert found.missing == []
    text = found.as_text()
    assert "cuda   ready" in text
    assert "NVIDIA Something: 24.0 GiB, compute capability 8.9" in text
    assert "driver: for CUDA 12.8" in text
    assert "CuPy: 14.2.0" in text


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"version": None, "gpus": ()}, "NVIDIA's driver"),
        ({"gpus": ()}, "the driver finds none"),
        ({"gpus": [Gpu("old", 1, 61)]}, "compute capability 7.5"),
        ({"version": 114}, "a newer driver"),
        ({"cupy": None}, r"CuPy: pip install '\.\[cuda12\]', in the folder of the clone"),
        ({"cupy": None, "version": 130}, r"pip install '\.\[cuda13\]'"),
        ({"cupy": None, "version": None}, r"or '\.\[cuda13\]' where"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, given, wanted):
    driver(monkeypatch, **given)
    works(monkeypatch)
    found = devices()
    assert any(re.search(wanted, line) for line in found.missing), found.missing
    assert "cuda   not usable" in found.as_text()
    assert not found.as_dict()["cuda_usable"]


def test_a_first_computation_that_fails_is_told(monkeypatch):
    driver(monkeypatch)
    works(monkeypatch, value="no number")
    (missing,) = devices().missing
    assert missing.startswith("a first computation fails (ValueError: ")


def test_the_install_lines_name_extras_that_there_are():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    for version in (None, 120, 130):
        (name,) = re.findall(r"\[(\w+)\]", install_line(version))
        assert name in extras


def test_which_gradients_a_gpu_run_uses_is_said(monkeypatch):
    driver(monkeypatch)
    works(monkeypatch)
    monkeypatch.delenv("MINIRNN_ATOMICS", raising=False)
    assert "gathered in a fixed order" in devices().as_text()
    monkeypatch.setenv("MINIRNN_ATOMICS", "1")
    assert "added in any order" in devices().as_text()


def test_what_a_gpu_computes_plainly_is_said(monkeypatch):
    driver(monkeypatch)
    works(monkeypatch)
    text = devices().as_text()
    said = text.partition("plain forms for want of a kernel: ")[2].splitlines()[0]
    for name in ("conv_transpose2d", "max_pool2d", "bilinear", "nearest", "convolutions in groups"):
        assert name in said
    assert not re.search(r"\bconv2d|roi_pool|group_norm", said)


def test_the_command(monkeypatch):
    driver(monkeypatch, version=None, gpus=(), cupy=None)
    assert "missing for cuda: CuPy: pip install '.[cuda12]'" in succeed("devices").out
    report = json.loads(succeed("devices", "--json").out)
    assert report["cuda_usable"] is False
    assert len(report["missing"]) == 2


class FakeDriver:
    """The driver's functions, of a machine with one chip."""

    def __init__(self, fails=0):
        self.cuInit = lambda flags: fails

    @staticmethod
    def _set(place, value):
        place._obj.value = value
        return 0

    def cuDriverGetVersion(self, version):
        return self._set(version, 12080)

    def cuDeviceGetCount(self, count):
        return self._set(count, 1)

    def cuDeviceGet(self, device, number):
        return self._set(device, number)

    def cuDeviceGetName(self, name, size, device):
        name.value = b"Chip"
        return 0

    def cuDeviceTotalMem_v2(self, memory, device):
        return self._set(memory, 8 * 2**30)

    def cuDeviceGetAttribute(self, value, attribute, device):
        return self._set(value, {75: 9, 76: 0}[attribute])


@pytest.mark.parametrize(("fails", "gpus"), [(0, [Gpu("Chip", 8 * 2**30, 90)]), (100, [])])
def test_the_driver_is_asked(monkeypatch, fails, gpus):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: FakeDriver(fails))
    found = module._Driver.ask()
    assert (found.version, found.gpus) == (128, gpus)


def test_no_driver(monkeypatch):
    def refuse(name):
        raise OSError("no such file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert module._Driver.ask() == module._Driver(None, [])


def test_a_run_on_a_gpu_says_whether_it_repeats(monkeypatch, capsys):
    model = SimpleNamespace(to=lambda device: None)
    monkeypatch.delenv("MINIRNN_ATOMICS", raising=False)
    monkeypatch.setattr("minirnn.kernels.cpu.memory.keep_freed", lambda: True)
    make_ready(model, "cpu")
    assert capsys.readouterr().err == ""
    make_ready(model, "cuda")
    said = capsys.readouterr().err
    assert "gathered in a fixed order, so that runs repeat" in said
    assert "Plain forms for want of a kernel there: " in said
