"""A training that tests run under mpiexec: `python mpi_training.py FOLDER '{"steps": 5, …}'`.

In float64, so that rounding tips nothing over and a mistake in any number shows.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from test_model import TINY, scene

from minirnn.data.sample import Sample
from minirnn.errors import InputError
from minirnn.models import build_model
from minirnn.training import TrainingSettings, train


class Scenes:
    """Pictures, of which some do something special to a rank."""

    def __init__(self, count=12, torn=-1):
        self.count, self.torn = count, torn
        self.read = []

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read.append(index)
        if index == self.torn:
            raise InputError(f"picture {index} is torn")
        return Sample(*scene(index, objects=index % 3 + 1, image_id=index))


def model_of(seed=0, dtype="float64", freeze=True):
    model = build_model("maskrcnn_shapes", seed=seed, **TINY).astype(np.dtype(dtype))
    if freeze:
        model.backbone.body.freeze()
    return model


def settings_of(**given):
    chosen = {"steps": 20, "batch_size": 4, "workers": 0, "warmup_steps": 2, "learning_rate": 0.005}
    return TrainingSettings(**{**chosen, **given})


def moment(rank, do, at):
    """Do something in one rank, once its metrics would have shown so many steps."""
    from minirnn.training import loop

    real, count = loop.gradients_of, [0]

    def noted(*args, **kw):
        count[0] += 1
        if count[0] > at and int(os.environ.get("PMI_RANK", 0)) == rank:
            do()
        return real(*args, **kw)

    loop.gradients_of = noted


def raise_error():
    raise KeyError("a bug of this rank")


def fail_in_backward():
    from minirnn.training import part

    def fail(self, dy, *_):
        raise MemoryError("too little for this gradient")

    real = part.Part.backward

    def backward(self, factors, before):
        name = "mask"
        node = self._terms[name].mean._node
        node.vjps = tuple(lambda dy: fail(None, dy) for _ in node.vjps)
        return real(self, factors, before)

    part.Part.backward = backward


ACTS = {
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "raise": raise_error,
    "backward": fail_in_backward,
    "stop": lambda: os.kill(os.getpid(), signal.SIGTERM),
}


def main():
    folder, given = Path(sys.argv[1]), json.loads(sys.argv[2])
    data = Scenes(**given.pop("data", {}))
    if act := given.pop("act", None):
        moment(given.pop("rank"), ACTS[act], given.pop("at"))
    slow = given.pop("slow", 0)
    model = model_of(given.pop("seed_of_model", 0), given.pop("dtype", "float64"))
    resume, stop_at = given.pop("resume", False), given.pop("stop_at", None)
    train(
        model,
        data,
        settings_of(**given),
        folder,
        resume=resume,
        stop_at=stop_at,
        progress=False,
        callback=(lambda step, model: time.sleep(slow)) if slow else None,
        callback_every=1 if slow else 0,
    )
    rank = os.environ.get("PMI_RANK", "0")
    os.write(1, f"rank {rank} read {sorted(set(data.read))}\n".encode())


if __name__ == "__main__":
    main()
