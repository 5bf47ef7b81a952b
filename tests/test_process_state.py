"""What a library must leave alone: all that belongs to the process and not to it.

A network is built, predicts and trains in a process of its own, by helper processes too, and before and
after each of these everything is noted that a program could notice.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = '''
import ctypes, gc, locale, logging, multiprocessing, os, random, signal, sys, threading, warnings
import numpy as np
from threadpoolctl import threadpool_info


def maps_large_blocks():
    """Whether malloc takes 64 MB from the system by itself, as glibc does unless it is told not to."""
    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in
                    "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keep".split()]
    try:
        libc = ctypes.CDLL(None)
        libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
    except (OSError, AttributeError, TypeError):
        return None
    before = libc.mallinfo2().hblks
    block = libc.malloc(ctypes.c_size_t(1 << 26))
    found = libc.mallinfo2().hblks - before
    libc.free(ctypes.c_void_p(block))
    return found


def umask():
    now = os.umask(0o22)
    os.umask(now)
    return now


def state():
    algorithm, keys, *rest = np.random.get_state()
    return {
        "malloc": maps_large_blocks(),
        "threads of BLAS": {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()},
        "NumPy's buffer": np.getbufsize(),
        "NumPy's errors": (np.geterr(), np.geterrcall()),
        "NumPy's printing": np.get_printoptions(),
        "NumPy's random numbers": (algorithm, keys.tobytes(), *rest),
        "Python's random numbers": random.getstate(),
        "filters of warnings": list(warnings.filters),
        "signals": {n: signal.getsignal(n) for n in signal.valid_signals()},
        "blocked signals": signal.pthread_sigmask(signal.SIG_BLOCK, []),
        "locale": locale.setlocale(locale.LC_ALL),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask(),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook),
        "limits": (sys.getrecursionlimit(), gc.get_threshold(), gc.isenabled(), sys.getswitchinterval()),
        "log": (logging.root.level, list(logging.root.handlers)),
        "start of processes": multiprocessing.get_start_method(allow_none=True),
        "threads": [t.name for t in threading.enumerate() if not t.name.startswith("minirnn")],
        "children": multiprocessing.active_children(),
        "path": list(sys.path),
    }


def main(folder):
    seen = state()

    def unchanged(what):
        now = state()
        for name, value in now.items():
            if name == "threads of BLAS":  # a library that has come with this part has no before
                value = {path: count for path, count in value.items() if path in seen[name]}
            assert value == seen[name], (
                f"{what} changed the {name}:\\n  {seen[name]!r}\\n  {value!r}"
            )

    import minirnn
    unchanged("the import")
    model = minirnn.build_model("maskrcnn_shapes")
    unchanged("building a model")

    from minirnn.data import Target
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    mask = np.zeros((1, 64, 64), bool)
    mask[0, 8:40, 8:40] = True
    target = Target(np.array([[8, 8, 40, 40]], np.float32), np.array([1]), mask, np.array([False]))
    model.predict([image])
    unchanged("predicting")

    from minirnn.training import SGD, TrainingSettings, train
    optimiser = SGD(model)
    losses = model.losses([image], [target])
    sum(losses.values()).backward()
    optimiser.step(0.01)
    unchanged("a step of training")

    from minirnn.data import Sample, generate
    generate(folder + "-data", train=2, val=1, size=32, workers=2, progress=True)
    unchanged("making a data set")

    inside = []
    settings = TrainingSettings(steps=1, batch_size=2, workers=1, processes=2)
    train(model, [Sample(image, target)] * 2, settings, folder,
          callback=lambda step, model: inside.append(np.geterr()), callback_every=1)
    unchanged("a run")
    assert inside == [np.geterr()], "the callback of a run saw other settings of NumPy"
    minirnn.load_weights(model, folder + "/checkpoint.safetensors")
    unchanged("loading weights")


if __name__ == "__main__":
    main(sys.argv[1])
    print("unchanged")
'''


@pytest.mark.skipif(not hasattr(os, "fork"), reason="reads what POSIX systems have")
def test_nothing_of_the_process_is_changed(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "MINIRNN_THREADS"}
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):  # two, so that one would be noticed
        environment[name] = "2"
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "run")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.stdout.endswith("unchanged\n"), done.stderr


def test_all_processes_are_started_by_spawn():
    """A fork copies one thread, and locks that the others hold: with BLAS's threads it can hang.

    Only a rank's supervisor forks: before anything with threads is loaded.
    """
    package = Path(__file__).resolve().parent.parent / "minirnn"
    forks = re.compile(
        r"multiprocessing\.(Process|Pool|Pipe|Queue|Manager)\b|ProcessPoolExecutor|os\.fork\("
    )
    contexts = []
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8")
        if path.name == "supervisor.py":
            text = text.replace("os.fork()", "", 1)
        assert not forks.search(text), path
        contexts += re.findall(r"get_context\(.*?\)", text)
    assert set(contexts) == {'get_context("spawn")'}
