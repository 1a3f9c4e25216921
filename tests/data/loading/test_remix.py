"""Re-Mix: the update by hand, its invariances, and a learner of which it is known what should be drawn more often."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toyshift.core.errors import ConfigError
from toyshift.data.loading.remix import mean_excess, remix_step, remix_weights

POSITIVE = st.lists(st.floats(0.01, 10.0), min_size=3, max_size=3)


def test_one_update_by_hand() -> None:
    # a = (1/2, 1/2), excess (1, 0): (e^0.2, 1) / (e^0.2 + 1) = (0.549834, 0.450166); then 0.95 a + 0.05 * (0.2, 0.8)
    weights = remix_step(np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.2, 0.8]))
    np.testing.assert_allclose(weights, [0.95 * 0.549834 + 0.01, 0.95 * 0.450166 + 0.04], atol=1e-6)


def test_two_updates_without_smoothing_add_up_in_the_exponent() -> None:
    prior = np.array([0.2, 0.3, 0.5])
    once = remix_step(
        remix_step(prior, np.array([0.5, 0.0, 1.0]), prior, 0.4, 0.0), np.array([0.5, 2.0, 0.0]), prior, 0.4, 0.0
    )
    expected = prior * np.exp(0.4 * np.array([1.0, 2.0, 1.0]))
    np.testing.assert_allclose(once, expected / expected.sum())


def test_excess_is_clipped_sample_by_sample() -> None:
    # dataset 0: max(2 - 1, 0) and max(0 - 3, 0): mean 0.5, although the mean loss is below the reference's; dataset 2
    # has no sample
    excess = mean_excess(np.array([2.0, 0.0, 5.0]), np.array([1.0, 3.0, 1.0]), np.array([0, 0, 1]), 3)
    np.testing.assert_allclose(excess, [0.5, 4.0, 0.0])


@settings(max_examples=40, deadline=None)
@given(POSITIVE, POSITIVE, POSITIVE, st.floats(0.0, 5.0))
def test_an_update_is_a_distribution_that_ignores_what_all_have_in_common(
    weights: list[float], excess: list[float], prior: list[float], common: float
) -> None:
    a, e, p = np.array(weights) / sum(weights), np.array(excess), np.array(prior) / sum(prior)
    out = remix_step(a, e, p)
    assert out.sum() == pytest.approx(1.0)
    assert np.all(out >= 0.05 * p - 1e-12)
    np.testing.assert_allclose(remix_step(a, e + common, p), out, atol=1e-12)
    ratio = remix_step(a, e, p, smoothing=0.0) / a  # a larger excess is raised more
    assert np.all(np.diff(ratio[np.argsort(e)]) >= -1e-12)


def test_huge_losses_do_not_overflow() -> None:
    out = remix_step(np.array([0.5, 0.5]), np.array([1e6, 0.0]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(out, [0.975, 0.025])


class Scripted:
    """Losses given in advance; remembers the weights it learnt with."""

    def __init__(self, losses: list[list[float]], reference: list[float]) -> None:
        self.rows, self.reference, self.seen = losses, np.array(reference), []  # type: ignore[var-annotated]

    def losses(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return np.array(self.rows[step]), self.reference, np.arange(len(self.reference))

    def learn(self, weights: np.ndarray) -> None:
        self.seen.append(weights)


def test_the_result_is_the_average_over_steps_and_each_step_learns_with_its_own_weights() -> None:
    learner = Scripted([[1.0, 0.0], [0.0, 3.0]], [0.0, 1.0])
    result = remix_weights(learner, [1, 1], 2)
    half = np.array([0.5, 0.5])
    first = remix_step(half, np.array([1.0, 0.0]), half)
    second = remix_step(first, np.array([0.0, 2.0]), half)
    np.testing.assert_allclose(result.history, [first, second])
    np.testing.assert_allclose(result.weights, (first + second) / 2)
    np.testing.assert_allclose(result.excess, [0.5, 1.0])
    np.testing.assert_allclose(learner.seen, [first, second])


class Regression:
    """Gradient descent on a parameter per dataset: one learns fast, one slowly, one is noise that nobody can learn."""

    def __init__(self) -> None:
        self.left = np.array([1.0, 1.0, 1.0])  # excess that is left
        self.speed = np.array([1.0, 0.05, 0.0])
        self.noise = np.array([0.0, 0.0, 9.0])  # in the reference's loss as well

    def losses(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        learnable = np.where(self.speed > 0, self.left, 0.0)
        return learnable + self.noise, self.noise, np.arange(3)

    def learn(self, weights: np.ndarray) -> None:
        self.left = self.left * np.exp(-self.speed * weights)


def test_what_is_hard_but_learnable_is_drawn_most_and_noise_least() -> None:
    weights = remix_weights(Regression(), [1, 1, 1], 100).weights
    assert weights[1] > weights[0] > weights[2]
    assert weights[1] > 1.4 * weights[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], 1), "one per dataset"), (([1.0, 0.0], 1), "positive"), (
            ([1.0, math.nan], 1), "positive"
        ), (([1.0, 1.0], 0), "steps=0"),
        (([1.0, 1.0], 1, -0.1), "eta=-0.1"), (
            ([1.0, 1.0], 1, 0.2, 1.0), "smoothing=1.0"
        ), (([1.0], 1), "samples of dataset 1"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        remix_weights(Scripted([[1.0, 1.0]], [0.0, 0.0]), *arguments)  # type: ignore[arg-type]


def test_a_loss_that_is_no_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="step 1: a loss is not finite"):
        remix_weights(Scripted([[1.0, 1.0], [math.nan, 1.0]], [0.0, 0.0]), [1, 1], 2)
