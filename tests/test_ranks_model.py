"""What n ranks should do: the arithmetic of a ring, of buckets behind the way back, and of the slowest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirnn.bench import ranks_model as model
from minirnn.bench.ranks_model import Link, Step

LINK = Link(bandwidth=1e9, latency=1e-5)
ranks_ = st.integers(2, 600)
sizes_ = st.lists(st.integers(1, 10**8), min_size=1, max_size=9).map(tuple)


def test_a_ring_worked_out_by_hand():
    # Four ranks: six messages, each of a quarter of the bytes.
    assert model.ring_seconds(4_000_000, 4, LINK) == pytest.approx(6 * (1e-3 + 1e-5))
    assert model.sent(4_000_000, 4) == 6_000_000
    assert model.ring_seconds(4_000_000, 1, LINK) == model.sum_seconds(4_000_000, 1, LINK) == 0


def test_by_halves_worked_out_by_hand():
    # Four ranks: halves and quarters, and back: 2 + 1 + 1 + 2 MB in four messages.
    assert model.sum_seconds(4_000_000, 4, LINK) == pytest.approx(6e-3 + 4e-5)
    assert [model.messages(ranks) for ranks in (2, 3, 4, 512)] == [2, 4, 4, 18]


@given(size=st.integers(1, 10**9), ranks=ranks_)
def test_no_rank_ever_sends_more_than_twice_the_gradients(size, ranks):
    assert size <= model.sent(size, ranks) < 2 * size


@given(size=st.integers(1, 10**10), most=st.integers(10**6, 10**9))
def test_buckets_hold_all_bytes_and_none_too_many(size, most):
    parts = model.buckets(size, most)
    assert sum(parts) == size
    assert max(parts) <= most
    assert len(parts) == math.ceil(size / most)
    assert max(parts) - min(parts) <= 1


@given(sizes=sizes_, ranks=ranks_, seconds=st.floats(1e-3, 100))
def test_what_is_not_hidden_is_at_least_the_last_bucket_and_at_most_all(sizes, ranks, seconds):
    step = Step(seconds, sizes)
    left = model.not_hidden(step, ranks, LINK)
    assert left >= model.sum_seconds(sizes[-1], ranks, LINK) * (1 - 1e-9)
    assert left <= model.exchange_seconds(step, ranks, LINK) * (1 + 1e-9)
    # Nothing is hidden that the way back has no time for.
    all_of_it = model.exchange_seconds(step, ranks, LINK)
    assert left >= (all_of_it - step.backward * seconds) * (1 - 1e-9)


def test_buckets_worked_out_by_hand():
    # The way back takes 2 s. Buckets are full at 1 and 2 s; a slow link takes 3 s and 1 s for them.
    slow = Link(bandwidth=1.0, latency=0.0)
    step = Step(seconds=3.0, sizes=(3, 1))
    assert model.not_hidden(step, 2, slow) == pytest.approx(1 + 3 + 1 - 2)
    assert model.step_seconds(step, 2, slow) == pytest.approx(3 + 3)
    assert model.efficiency(step, 2, slow) == pytest.approx(0.5)
    # A link ten times as quick is done with the first long before the second is full.
    assert model.not_hidden(step, 2, Link(10.0, 0.0)) == pytest.approx(0.1)


@given(sizes=sizes_, ranks=ranks_, spread=st.floats(0, 0.5))
def test_one_rank_waits_for_nobody_and_more_are_never_quicker(sizes, ranks, spread):
    step = Step(0.5, sizes, spread=spread)
    assert model.efficiency(step, 1, LINK) == 1
    assert model.efficiency(step, ranks, LINK) < 1
    faster, slower = Link(LINK.bandwidth * 4, LINK.latency), Link(LINK.bandwidth, LINK.latency * 4)
    assert model.efficiency(step, ranks, slower) <= model.efficiency(step, ranks, LINK)
    assert model.efficiency(step, ranks, faster) >= model.efficiency(step, ranks, LINK)
    assert model.efficiency(step, ranks + 1, LINK) <= model.efficiency(step, ranks, LINK) + 1e-12


@pytest.mark.parametrize("ranks", [2, 8, 64, 512])
def test_the_slowest_is_that_of_drawn_numbers(ranks):
    drawn = np.random.default_rng(0).standard_normal((4000, ranks)).max(axis=1)
    # 0.03 for Blom's formula, three standard errors for the draws.
    assert model.slowest(ranks) == pytest.approx(drawn.mean(), abs=0.03 + 3 * drawn.std() / 63)


def test_a_step_measured_on_eight_ranks_is_what_eight_ranks_take():
    step = Step(0.72, (1,), spread=0.1, ranks=8)
    assert model.step_seconds(step, 8, Link(math.inf, 0.0)) == pytest.approx(0.72)
    assert model.alone(step) < 0.72 < model.step_seconds(step, 64, Link(math.inf, 0.0))


@given(bandwidth=st.floats(1e7, 1e11), latency=st.floats(1e-7, 1e-3), ranks=ranks_)
def test_a_link_is_found_from_what_it_took(bandwidth, latency, ranks):
    true = Link(bandwidth, latency)
    sizes = [4, 10**6, 10**8]
    took = [model.sum_seconds(size, ranks, true) for size in sizes]
    found = model.link_of(sizes, took, ranks)
    for (
        size
    ) in sizes:  # where the one hardly matters, it is hardly known; the times are what counts
        again = model.sum_seconds(size, ranks, found)
        assert again == pytest.approx(model.sum_seconds(size, ranks, true), rel=1e-6)


def test_the_papers_schedule_is_the_papers():
    paper = model.schedule(Step(0.72, (1,), ranks=8), 8, Link(math.inf, 0.0))
    assert (paper.batch, paper.rate, paper.steps) == (16, 0.02, 160_000)
    assert paper.hours == pytest.approx(32, abs=0.1)  # "32 hours" (section 3.1)
    large = model.schedule(Step(0.72, (1,), ranks=8), 512, Link(math.inf, 0.0))
    assert (large.batch, large.steps) == (1024, 2500)
    assert large.rate == pytest.approx(1.28)


def test_gigabits_are_bits():
    assert Link.ethernet(10).bandwidth == 1.25e9
