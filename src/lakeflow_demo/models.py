"""Two classifiers of the digits, and their cross-validated accuracy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]
from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

from lakeflow_demo_native import nearest

Images = NDArray[np.float64]
Labels = NDArray[np.int64]
Classify = Callable[[Images, Labels, Images], Labels]
"""(training images (n, 64), their labels (n,), images (m, 64)) to labels (m,)."""


def knn(neighbors: int) -> Classify:
    """The most frequent label among the nearest neighbours, the lowest of equally frequent ones."""

    def classify(images: Images, labels: Labels, unknown: Images) -> Labels:
        votes = labels[np.asarray(nearest(images, unknown, neighbors))]
        return np.array([np.bincount(row).argmax() for row in votes])

    return classify


def logistic(c: float) -> Classify:
    """Logistic regression on standardized pixels; `c` is the inverse strength of the penalty."""

    def classify(images: Images, labels: Labels, unknown: Images) -> Labels:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))
        predicted: Labels = model.fit(images, labels).predict(unknown)
        return predicted

    return classify


def accuracies(classify: Classify, folds: int = 5) -> list[float]:
    """The share of right answers in each fold of the 1,797 digits of scikit-learn."""
    images, labels = load_digits(return_X_y=True)
    split = StratifiedKFold(folds, shuffle=True, random_state=0).split(images, labels)
    return [
        float(np.mean(classify(images[train], labels[train], images[test]) == labels[test]))
        for train, test in split
    ]
