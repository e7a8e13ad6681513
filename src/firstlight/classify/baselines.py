"""Plain classifiers to compare with; not meant to win."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from firstlight._types import Progress
from firstlight.classify.balance import class_weights
from firstlight.classify.forest import softmax
from firstlight.classify.protocol import (
    Validation,
    check_rows,
    check_training,
    check_validation,
    encode_labels,
    not_fitted,
    two_classes,
)
from firstlight.classify.storage import read_arrays, read_state, write_arrays, write_state

__all__ = ["LogisticBaseline", "LogisticConfig"]

_ARRAYS = ("median", "centre", "scale", "weight", "bias")
_REACH = 6.0  # standard deviations to which features are clipped


@dataclass(frozen=True, kw_only=True)
class LogisticConfig:
    """Settings of `LogisticBaseline`.

    Attributes
    ----------
    ridge : float
        Penalty of the squared coefficients.
    iterations : int
        Steps of the optimiser at most.
    class_weight_exponent : float
        0 leaves the classes as they are, 1 weighs them alike.
    """

    ridge: float = 1.0
    iterations: int = 200
    class_weight_exponent: float = 0.5


class LogisticBaseline:
    """Multinomial logistic regression on standardised features, missing ones at their median.

    Parameters
    ----------
    config : LogisticConfig, optional
        Settings.
    """

    def __init__(self, config: LogisticConfig | None = None) -> None:
        self.config = LogisticConfig() if config is None else config
        self._classes: tuple[str, ...] = ()
        self._arrays: dict[str, NDArray[np.float64]] = {}

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes trained on, in the order of the taxonomy."""
        return self._classes

    def fit(
        self,
        X: NDArray[np.float32],
        labels: NDArray[np.str_],
        *,
        redshift: NDArray[np.floating] | None = None,
        sample_weight: NDArray[np.floating] | None = None,
        groups: NDArray[np.generic] | None = None,
        validation: Validation | tuple[NDArray[Any] | None, ...] | None = None,
        seed: int = 0,
        jobs: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """Train on rows; see `Classifier.fit`. Validation rows are checked and not used."""
        X, labels, weight = check_training(X, labels, sample_weight, groups)
        classes, code = encode_labels(labels)
        two_classes(classes)
        check_validation(validation, groups, classes, X.shape[1])
        self._arrays = _standardisation(X)
        weight = class_weights(code, self.config.class_weight_exponent, weight)
        coefficients = _fit_coefficients(self._standardised(X), code, weight, self.config)
        self._arrays |= {"weight": coefficients[:-1], "bias": coefficients[-1]}
        self._classes = classes
        if progress is not None:
            progress("classifier", 1.0)
        return self

    def predict_proba(
        self, X: NDArray[np.float32], redshift: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """Class probabilities of rows; see `Classifier.predict_proba`."""
        if not self._classes:
            raise not_fitted("LogisticBaseline")
        Z = self._standardised(check_rows(X, len(self._arrays["median"])))
        # Not a matrix product: BLAS may round a row differently alone and in a batch.
        scores = [(Z * column).sum(axis=1) for column in self._arrays["weight"].T]
        return softmax(np.column_stack(scores) + self._arrays["bias"])

    def save(self, folder: Path) -> None:
        """Write ``classifier.json`` and ``logistic.safetensors``; see `Classifier.save`."""
        if not self._classes:
            raise not_fitted("LogisticBaseline")
        write_arrays(folder / "logistic.safetensors", self._arrays)
        write_state(folder / "classifier.json", {"kind": "logistic", "classes": list(self._classes)})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; see `Classifier.load`."""
        model = cls()
        model._arrays = read_arrays(folder / "logistic.safetensors", *_ARRAYS)
        model._classes = tuple(read_state(folder / "classifier.json", "classes")["classes"])
        return model

    def _standardised(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        a = self._arrays
        filled = np.where(np.isnan(X), a["median"], X.astype(np.float64))
        return np.clip((filled - a["centre"]) / a["scale"], -_REACH, _REACH)


def _standardisation(X: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Median, and a centre and scale that outliers do not move."""
    values = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
    values[:, np.isnan(values).all(axis=0)] = 0.0
    low, median, high = np.nanquantile(values, [0.16, 0.5, 0.84], axis=0)
    scale = 0.5 * (high - low)
    return {"median": median, "centre": median.copy(), "scale": np.where(scale > 0.0, scale, 1.0)}


def _fit_coefficients(
    Z: NDArray[np.float64], code: NDArray[np.int64], weight: NDArray[np.float64], config: LogisticConfig
) -> NDArray[np.float64]:
    """Coefficients and bias, shape (n_features + 1, n_classes), of the penalised likelihood."""
    from scipy.optimize import minimize

    design = np.column_stack([Z, np.ones(len(Z))])
    n_classes = int(code.max()) + 1
    target = np.zeros((len(Z), n_classes))
    target[np.arange(len(Z)), code] = 1.0
    total = weight.sum()

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        beta = flat.reshape(design.shape[1], n_classes)
        proba = softmax(design @ beta)
        chosen = np.maximum(proba[np.arange(len(Z)), code], 1e-300)
        penalised = beta.copy()
        penalised[-1] = 0.0
        value = -(weight * np.log(chosen)).sum() + 0.5 * config.ridge * (penalised**2).sum()
        slope = design.T @ (weight[:, None] * (proba - target)) + config.ridge * penalised
        return value / total, slope.ravel() / total

    start = np.zeros(design.shape[1] * n_classes)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": config.iterations})
    return np.asarray(found.x).reshape(design.shape[1], n_classes)
