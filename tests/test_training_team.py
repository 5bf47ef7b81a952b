"""A batch shared out among processes: the step of one process, whatever becomes of the others."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import standin
from test_model import TINY, scene

from minirnn.data.sample import Sample
from minirnn.distributed import Alone, shared_arrays
from minirnn.errors import DivergenceError, InputError, WorkerError
from minirnn.models import build_model
from minirnn.training import TrainingSettings, helpers, read_checkpoint, train
from minirnn.training import team as team_module
from minirnn.training.helpers import processes_of
from minirnn.training.optimiser import SGD
from minirnn.training.part import Part, together, trained
from minirnn.training.team import Team, _shares


def model_of(seed=0):
    return build_model("maskrcnn_shapes", seed=seed, **TINY)


def batch_of(count, **fields):
    images, targets = zip(
        *(scene(k, objects=k % 3 + 1, **fields) for k in range(count)), strict=True
    )
    return list(images), list(targets)


def rngs_of(count, seed=0):
    return np.random.default_rng(seed).spawn(count)


def gradients_of(model):
    return {name: tensor.grad for name, tensor in model.named_parameters()}


def alone(model, images, targets, seed=0):
    """Losses and gradients of one process."""
    model.zero_grad()
    losses = model.losses(images, targets, np.random.default_rng(seed))
    sum(losses.values(), start=0.0).backward()
    return {name: float(loss) for name, loss in losses.items()}, gradients_of(model)


def apart(found, expected):
    """How far two arrays are apart, as a fraction of their length."""
    return np.linalg.norm(found - expected) / max(np.linalg.norm(expected), 1e-30)


@pytest.fixture(autouse=True)
def _temporary_files_of_its_own(monkeypatch, tmp_path):
    """Other tests run beside this one, and have teams, too."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def files():
    return set(Path(tempfile.gettempdir()).glob("minirnn-shared-*"))


@pytest.fixture(params=["without a name", "with one"])
def kind_of_file(request, monkeypatch):
    """Linux has files without a name; elsewhere it is a temporary one."""
    named = request.param == "with one"
    if named:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    elif not hasattr(os, "memfd_create"):
        pytest.skip("there are no such files here")
    return named


@pytest.mark.parametrize(("processes", "count"), [(2, 5), (3, 4)])
def test_the_step_of_one_process(processes, count):
    """Shares of unequal size, with unequal numbers of objects, the same numbers but for rounding."""
    images, targets = batch_of(count)
    one, several = model_of(), model_of()
    for model in (one, several):
        model.backbone.body.freeze()
    with Team(several, processes) as team:
        assert len(team.ranks.pids) == processes - 1
        for step in range(2):
            losses, expected = alone(one, images, targets, step)
            several.zero_grad()
            found = team.losses(images, targets, rngs_of(count, step))
            assert found == pytest.approx(losses, rel=1e-6)
            team.backward()
            for name, gradient in gradients_of(several).items():
                if expected[name] is None:
                    assert gradient is None, name
                    continue
                assert apart(gradient, expected[name]) < 1e-5, name
            for model in (one, several):  # the others see what this process does to the weights
                SGD(model, 0.9, 1e-4).step(0.01)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=40), st.integers(1, 8))
def test_shares_are_even(objects, count):
    shares = _shares(objects, count)
    assert sorted(i for share in shares for i in share) == list(range(len(objects)))
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    assert all(share == sorted(share) for share in shares)
    if len(objects) % count == 0:
        load = [sum(objects[i] for i in share) for share in shares]
        assert max(load) - min(load) <= max(objects) - min(objects)


def test_gradients_are_added_to_those_that_are_there():
    images, targets = batch_of(2)
    model = model_of()
    with Team(model, 2) as team:
        team.losses(images, targets, rngs_of(2))
        team.backward()
        once = {name: gradient.copy() for name, gradient in gradients_of(model).items()}
        team.losses(images, targets, rngs_of(2))
        team.backward()
    for name, gradient in gradients_of(model).items():
        assert apart(gradient, 2 * once[name]) < 1e-6, name


def losses_of_each(model, images, targets, shares):
    """Each share's losses, and over how many things they are means."""
    of_all = images, targets, rngs_of(len(images))
    return [
        Part(model).losses(False, *([each[i] for i in share] for each in of_all))[0]
        for share in shares
    ]


def test_gradients_are_added_in_the_order_of_the_processes_bit_for_bit():
    """(first + second) + third: another order would give other bits, and so another training."""
    images, targets = batch_of(3)
    model, apart_from_it = model_of(), model_of()
    with Team(model, 3) as team:
        team.losses(images, targets, rngs_of(3))
        team.backward()
    parts = []
    shares = _shares([len(target.labels) for target in targets], 3)
    factors = together(losses_of_each(model_of(), images, targets, shares))[1]
    for share, own in zip(shares, factors, strict=True):
        part = Part(apart_from_it)
        part.losses(False, *([each[i] for i in share] for each in (images, targets, rngs_of(3))))
        apart_from_it.zero_grad()
        part.backward(own)
        parts.append({name: t.grad.copy() for name, t in apart_from_it.named_parameters()})
    first, second, third = parts
    other_order = 0
    for name, gradient in gradients_of(model).items():
        expected = (first[name] + second[name]) + third[name]
        assert gradient.tobytes() == expected.tobytes(), name
        other_order += (first[name] + (second[name] + third[name])).tobytes() != expected.tobytes()
    assert other_order > 10  # the test can tell


def test_weights_that_are_loaded_in_between_reach_everyone():
    images, targets = batch_of(2)
    model, other = model_of(), model_of(seed=1)
    with Team(model, 2) as team:
        team.losses(images, targets, rngs_of(2))
        model.load_state_dict(other.state_dict())
        found = team.losses(images, targets, rngs_of(2))
    assert found == pytest.approx(alone(other, images, targets)[0], rel=1e-6)


def test_afterwards_nothing_is_left_and_the_model_works_on():
    images = batch_of(2)
    model = model_of()
    with Team(model, 2) as team:
        team.losses(*images, rngs_of(2))
        (helper,) = [p for p in multiprocessing.active_children() if p.pid in team.ranks.pids]
        assert not files()  # mapped, and no longer there for anybody else
        inside = {name: tensor.data for name, tensor in model.named_parameters()}
        state = model.state_dict()
    assert not helper.is_alive()
    for name, tensor in model.named_parameters():
        assert tensor.data is not inside[name]
        np.testing.assert_array_equal(tensor.data, state[name])
        assert tensor.data.strides == inside[name].strides
    alone(model, *images)


def test_a_team_that_is_forgotten_ends_its_processes_and_leaves_no_file(kind_of_file, monkeypatch):
    made = []
    room = shared_arrays._room
    monkeypatch.setattr(shared_arrays, "_room", lambda: made.append(room()) or made[-1])
    team = Team(model_of(), 2)
    assert made
    assert [Path(tempfile.gettempdir()) == path.parent for _, path in made] == [kind_of_file] * len(
        made
    )
    assert not files()
    team.losses(*batch_of(2), rngs_of(2))
    (helper,) = [p for p in multiprocessing.active_children() if p.pid in team.ranks.pids]
    del team
    gc.collect()
    helper.join(10)
    assert not helper.is_alive()
    assert not files()


def test_a_process_that_dies():
    images, targets = batch_of(2)
    with Team(model_of(), 2) as team:
        team.losses(images, targets, rngs_of(2))
        os.kill(team.ranks.pids[0], signal.SIGKILL)
        with pytest.raises(WorkerError, match=r"died \(signal 9, SIGKILL"):
            team.backward()


class Leave(Exception):
    """The other process's way out."""


class Left(Alone):
    """What another process is told, from which it leaves at once."""

    def scatter(self, objs):
        raise Leave


@pytest.mark.parametrize("keep", [True, False])
def test_the_others_keep_freed_memory_where_the_first_does(keep, monkeypatch):
    """A process that gives each map back to the system takes half as long again for a step."""
    told = []
    monkeypatch.setattr(team_module, "keeps_freed", lambda: keep)
    monkeypatch.setattr(team_module, "keep_freed", lambda: told.append(True))
    monkeypatch.setenv("MINIRNN_THREADS", "1")
    model = model_of()
    memory = shared_arrays.SharedArrays([tensor.data for tensor in trained(model)], 1)
    plan = team_module._Plan.of(model, memory, 1)
    with pytest.raises(Leave):
        team_module._take_part(plan, Left())
    memory.remove()
    assert told == [True] * keep


def test_what_goes_wrong_before_the_first_batch_leaves_nothing(kind_of_file, monkeypatch):
    """A network that the others cannot build: their error is told, and they and the memory are gone."""
    model = model_of()
    model.builder = _cannot_be_built
    before = {name: tensor.data for name, tensor in model.named_parameters()}
    with pytest.raises(WorkerError, match=r"rank 1 of 2, on [\s\S]*KeyError: 'no such network'"):
        Team(model, 2)
    assert not multiprocessing.active_children()
    assert not files()
    for name, tensor in model.named_parameters():
        assert tensor.data.base is None or tensor.data is before[name]
        np.testing.assert_array_equal(tensor.data, before[name])


def _cannot_be_built(config, rng):
    raise KeyError("no such network")


def test_bad_input():
    images, targets = batch_of(2)
    with Team(model_of(), 2) as team:
        with pytest.raises(InputError, match="1 images cannot be shared out among 2 processes"):
            team.losses(images[:1], targets[:1], rngs_of(1))
        strange = scene(7, image_id=77)[1]
        strange.labels[:] = 9
        for place in (0, 1):  # it may be this process's, or another's
            given = [targets[0], targets[1]]
            given[place] = strange
            with pytest.raises(InputError, match=r"image 77: label 9, but the model knows 1…3"):
                team.losses(images, given, rngs_of(2))
            assert not multiprocessing.active_children()
        assert set(team.losses(images, targets, rngs_of(2))) > {"mask"}  # goes on
    with pytest.raises(InputError, match="processes is 2, but the model is on cuda"):
        Team(model_of().to_library(standin), 2)


class Scenes:
    """Eight pictures."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return Sample(*scene(index, image_id=index))


def run(folder, *, processes=2, model=None, **settings):
    model = model or model_of()
    chosen = {"steps": 5, "batch_size": 4, "workers": 0, "warmup_steps": 2, **settings}
    train(
        model,
        Scenes(),
        TrainingSettings(processes=processes, **chosen),
        folder,
        resume=(folder / "checkpoint.safetensors").exists(),
        stop_at=settings.get("steps", 5),
        progress=False,
    )
    return read_checkpoint(folder / "checkpoint.safetensors")


def test_a_run_goes_on_with_the_same_numbers(tmp_path):
    whole, _ = run(tmp_path / "whole")
    train(
        model_of(),
        Scenes(),
        TrainingSettings(steps=5, batch_size=4, workers=0, warmup_steps=2, processes=2),
        tmp_path / "parts",
        progress=False,
        callback=lambda step, model: {"found": len(model.predict([scene(0)[0]])[0].boxes)},
        callback_every=2,
    )
    parts, _ = run(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    for name, array in whole.items():
        assert array.tobytes() == parts[name].tobytes(), name


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_one_process_and_two_learn_the_same(tmp_path, seed):
    # Three steps: with more of them a rounding error has time to tip something over (a region at an IoU of
    # a half, a maximum), and the two part for good reasons. Here they are 5e-7 apart.
    one, _ = run(tmp_path / "one", processes=1, model=model_of(seed), steps=3, seed=seed)
    two, metadata = run(tmp_path / "two", processes=2, model=model_of(seed), steps=3, seed=seed)
    assert metadata["settings"]["processes"] == 2
    for name, array in one.items():
        assert apart(two[name], array) < 2e-6, name


def test_the_number_of_processes(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="processes is -1; it should be at least 0"):
        TrainingSettings(steps=1, processes=-1)
    with pytest.raises(InputError, match="processes is 5, but a batch has 4 images"):
        run(tmp_path / "many", processes=5)
    asked = []

    class Refused(Exception):
        pass

    def refuse(model, processes, **_):
        asked.append(processes)
        raise Refused

    monkeypatch.setattr("minirnn.training.helpers.Team", refuse)
    for cores in (3, 16):
        monkeypatch.setattr("minirnn.training.helpers.thread_count", lambda cores=cores: cores)
        with pytest.raises(Refused):
            run(tmp_path / f"cores-{cores}", processes=0)
    assert asked == [3, 4]  # one for each core, but none without an image
    monkeypatch.setattr("minirnn.training.helpers.thread_count", lambda: 1)
    run(tmp_path / "one", processes=0)
    on_gpu = model_of().to_library(standin)
    assert processes_of(on_gpu, TrainingSettings(steps=1, processes=0)) == 1
    with pytest.raises(InputError, match="the model is on a GPU"):
        run(tmp_path / "gpu", model=on_gpu)
    assert asked == [3, 4]


def test_losses_that_are_not_finite_are_found(tmp_path):
    model = model_of()
    model.roi_heads.box_predictor.cls_score.bias.data[:] = np.nan
    with pytest.raises(DivergenceError, match="step 1, with images"):
        run(tmp_path, model=model)


def test_a_process_that_stalls_does_not_stall_the_run():
    """Swapped out, stopped, waiting for a disk: it is not dead, and will never answer."""
    images, targets = batch_of(2)
    with Team(model_of(), 2, timeout=60) as team:
        team.losses(images, targets, rngs_of(2))
        team.ranks.timeout = 1
        os.kill(team.ranks.pids[0], signal.SIGSTOP)
        with pytest.raises(
            WorkerError, match=r"rank 1 of 2, on \S+: its part took longer than 1 s"
        ):
            team.backward()


def test_a_run_gives_its_time_limit_to_the_team(tmp_path, monkeypatch):
    given = []

    class Noted(Team):
        def __init__(self, model, processes, *, timeout):
            given.append(timeout)
            super().__init__(model, processes, timeout=timeout)

    monkeypatch.setattr(helpers, "Team", Noted)
    run(tmp_path, timeout=33.0, steps=1)
    assert given == [33]


def test_processes_that_die_again_and_again_end_the_run_with_all_steps(tmp_path, monkeypatch):
    monkeypatch.setattr(team_module, "RENEWED", 0)

    def kill(step, model):
        for child in multiprocessing.active_children():
            os.kill(child.pid, signal.SIGKILL)
        time.sleep(0.1)

    with pytest.raises(WorkerError, match=r"died[\s\S]*holds the weights after 3 steps"):
        train(
            model_of(),
            Scenes(),
            TrainingSettings(steps=5, batch_size=4, workers=0, processes=2),
            tmp_path,
            progress=False,
            callback=kill,
            callback_every=3,
        )
    assert read_checkpoint(tmp_path / "checkpoint.safetensors")[1]["step"] == 3
