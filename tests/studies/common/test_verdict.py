"""The verdict on a trained encoder: clearly above random initialisation, or not learned."""

from examine_jax.studies.common.verdict import learned, mean_sd


def test_learned_is_two_standard_errors_above_random_initialisation() -> None:
    """Gains .1, .2, .3: mean .2, standard error .1 / sqrt(3) = .058."""
    assert learned([0.6, 0.7, 0.8], [0.5, 0.5, 0.5]) is True
    assert learned([0.4, 0.7, 0.6], [0.5, 0.5, 0.5]) is False
    assert learned([0.5, 0.5], [0.5, 0.5]) is False
    assert learned([0.9], [0.1]) is None


def test_mean_and_deviation_over_seeds() -> None:
    assert mean_sd([0.4, 0.6]) == "0.500 ± 0.141"
    assert mean_sd([0.25]) == "0.250"
