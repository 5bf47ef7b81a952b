"""The learning rate's course."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirnn.textbook import training as textbook
from minirnn.training.schedule import learning_rate
from minirnn.training.settings import SCHEDULES, TrainingSettings

fractions = st.floats(0, 1)
courses = st.builds(
    TrainingSettings,
    steps=st.integers(1, 40),
    learning_rate=st.floats(1e-4, 1),
    warmup_steps=st.integers(0, 50),
    warmup_factor=fractions,
    schedule=st.sampled_from(SCHEDULES),
    milestones=st.sets(st.integers(1, 50), min_size=1, max_size=3).map(sorted),
    gamma=st.floats(0.01, 1),
    final_fraction=fractions,
)


@given(course=courses, step=st.integers(0, 60))
@settings(max_examples=200)
def test_equals_the_textbook(course, step):
    expected = textbook.learning_rate(step, course)
    assert learning_rate(step, course) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@given(course=courses, step=st.integers(0, 60))
@settings(max_examples=100)
def test_stays_between_zero_and_the_highest(course, step):
    assert 0 <= learning_rate(step, course) <= course.learning_rate * (1 + 1e-12)


def test_warmup_is_a_straight_line():
    course = TrainingSettings(
        steps=100, learning_rate=2.0, warmup_steps=4, warmup_factor=0.2, schedule="constant"
    )
    rates = [learning_rate(k, course) for k in range(6)]
    assert rates == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0, 2.0])


def test_step_falls_when_so_many_steps_are_taken():
    course = TrainingSettings(
        steps=10, learning_rate=1.0, warmup_steps=0, schedule="step", milestones=(3, 5), gamma=0.1
    )
    rates = [learning_rate(k, course) for k in range(7)]
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_starts_high_passes_the_middle_and_ends_low():
    course = TrainingSettings(
        steps=110, learning_rate=1.0, warmup_steps=10, schedule="cosine", final_fraction=0.2
    )
    rates = [learning_rate(k, course) for k in range(10, 111)]
    assert rates[0] == 1.0
    assert rates[50] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert learning_rate(1000, course) == pytest.approx(0.2)


def test_a_run_shorter_than_its_warmup():
    course = TrainingSettings(steps=5, learning_rate=1.0, warmup_steps=10, warmup_factor=0.0)
    assert [learning_rate(k, course) for k in range(5)] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_negative_step_is_refused():
    with pytest.raises(ValueError, match="step is -1"):
        learning_rate(-1, TrainingSettings(steps=5))
