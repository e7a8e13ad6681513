"""Rest-frame surfaces of training objects: the median of a class."""

import numpy as np

from firstlight.features.rest_frame import median_surface


def test_cells_that_few_objects_cover_are_filled_from_their_neighbours() -> None:
    phase, wavelength = np.array([-4.0, 0.0, 4.0]), np.array([4000.0, 5000.0, 6000.0])
    stack = np.full((4, 3, 3), np.nan)
    stack[:, 1, :2] = [[0.5, 1.0]]
    stack[:, 2, :2] = [[0.4, 0.8]]
    stack[:2, 1, 2] = 9.0  # two objects do not make a median
    surface = median_surface(stack, phase, wavelength)
    np.testing.assert_allclose(surface[1], [0.5, 1.0, 1.0])
    np.testing.assert_allclose(surface[2], [0.4, 0.8, 0.8])
    np.testing.assert_allclose(surface[0], 0.0)  # nothing is emitted before the first covered phase


def test_a_class_that_covers_nothing_has_an_empty_surface() -> None:
    surface = median_surface(np.full((5, 2, 2), np.nan), np.array([0.0, 4.0]), np.array([4e3, 5e3]))
    np.testing.assert_array_equal(surface, 0.0)


def test_median_ignores_an_odd_object() -> None:
    stack = np.ones((7, 1, 2))
    stack[0] = 100.0
    np.testing.assert_array_equal(median_surface(stack, np.array([0.0]), np.array([4e3, 5e3])), 1.0)
