from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier  # type: ignore[import-untyped]

from lakeflow_demo.models import Classify, accuracies, knn, logistic


@pytest.mark.parametrize("neighbors", [1, 4])
def test_knn_says_what_scikit_learn_says(neighbors: int) -> None:
    random = np.random.default_rng(3)
    images, unknown = random.normal(size=(60, 64)), random.normal(size=(30, 64))
    labels = random.integers(0, 10, size=60)

    model = KNeighborsClassifier(neighbors, algorithm="brute").fit(images, labels)
    assert np.array_equal(knn(neighbors)(images, labels, unknown), model.predict(unknown))


@pytest.mark.parametrize("classify", [knn(3), logistic(0.1)])
def test_a_model_reads_most_digits_and_does_so_again(classify: Classify) -> None:
    folds = accuracies(classify, folds=2)

    assert len(folds) == 2
    assert min(folds) > 0.9
    assert folds == accuracies(classify, folds=2)
