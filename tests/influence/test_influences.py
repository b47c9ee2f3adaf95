"""The strongest influences without the matrix of all."""

import numpy as np
import pytest

from examine_jax.influence import InfluenceBlock, Influences


def _of(matrix, rows, columns):
    def blocks():
        for test_start in range(0, matrix.shape[1], columns):
            for train_start in range(0, matrix.shape[0], rows):
                part = matrix[train_start : train_start + rows, test_start : test_start + columns]
                yield InfluenceBlock(train_start, test_start, part)

    return Influences(*matrix.shape, blocks)


@pytest.mark.parametrize("blocks", [(50, 9), (7, 4), (1, 1)])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_extremes_are_those_of_the_sorted_matrix_and_ties_go_by_row(blocks, k):
    matrix = np.random.default_rng(0).integers(-4, 5, (50, 9)).astype(np.float32)
    influences = _of(matrix, *blocks)
    np.testing.assert_array_equal(influences.matrix(), matrix)
    extremes = influences.extremes(k)
    order = np.argsort(-matrix.T, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(extremes.helpful, order)
    np.testing.assert_array_equal(
        extremes.helpful_influence, np.take_along_axis(matrix.T, order, axis=1)
    )
    order = np.argsort(matrix.T, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(extremes.harmful, order)
    np.testing.assert_array_equal(
        extremes.harmful_influence, np.take_along_axis(matrix.T, order, axis=1)
    )


@pytest.mark.parametrize("k", [0, 51])
def test_more_than_all_training_images_are_refused(k):
    with pytest.raises(ValueError, match=f"k is {k}, but there are 50 training images"):
        _of(np.zeros((50, 9), np.float32), 50, 9).extremes(k)


def test_no_test_image_gives_empty_lists():
    empty = _of(np.zeros((50, 0), np.float32), 50, 9)
    assert empty.extremes(3).helpful.shape == (0, 3)
    assert empty.matrix().shape == (50, 0)
