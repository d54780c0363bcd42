"""Synthetic embeddings of identities, of a difficulty that can be asked for."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_params

from sklearn_hilander.datasets._spread import Identities, calibrate_spread

_N_SUBSPACES = 16


def _class_sizes(
    rng: np.random.Generator,
    n_samples: int,
    mean_size: float,
    distribution: str,
    size_variation: float,
    max_size: float,
) -> np.ndarray:
    """Sizes of at least 1 that add up to `n_samples`, their mean as near `mean_size` as can be."""
    if n_samples == 0:
        return np.zeros(0, dtype=np.int64)
    fewest = int(np.ceil(n_samples / max_size))
    n_classes = int(np.clip(round(n_samples / mean_size), max(fewest, 1), n_samples))
    if distribution == "lognormal":
        weights = rng.lognormal(sigma=size_variation, size=n_classes)
    elif distribution == "geometric":
        weights = rng.exponential(size=n_classes)
    else:
        weights = np.ones(n_classes)

    # One member each and the others by weight; what a full class cannot take, the rest share.
    extra = np.full(n_classes, max_size - 1.0)
    full = np.zeros(n_classes, dtype=bool)
    while not full.all():
        n_left = n_samples - n_classes - (max_size - 1) * full.sum()
        shares = weights / weights[~full].sum() * n_left
        exceeding = ~full & (shares > (max_size - 1) * (1 + 1e-9))
        if not exceeding.any():
            extra[~full] = shares[~full]
            break
        full |= exceeding
    # Rounding the running total, instead of each size, keeps the sum exact.
    return 1 + np.diff(np.floor(np.cumsum(extra) + 0.5), prepend=0).astype(np.int64)


def _unit_rows(rng: np.random.Generator, n_rows: int, n_features: int) -> np.ndarray:
    rows = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def _draw_centers(
    rng: np.random.Generator,
    n_classes: int,
    n_features: int,
    superclass_size: float,
    superclass_similarity: float,
) -> np.ndarray:
    """Unit-norm class centres around the centres of their superclasses."""
    centers = _unit_rows(rng, n_classes, n_features)
    if superclass_size > 1 and n_classes:
        n_superclasses = int(np.ceil(n_classes / superclass_size))
        superclass = rng.integers(n_superclasses, size=n_classes)
        centers *= np.float32(np.sqrt(1 - superclass_similarity))
        shared = np.float32(np.sqrt(superclass_similarity))
        centers += shared * _unit_rows(rng, n_superclasses, n_features)[superclass]
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    return centers


def _draw_noise(
    rng: np.random.Generator,
    labels: np.ndarray,
    n_classes: int,
    n_features: int,
    noise_rank: int,
    isotropic: float,
) -> np.ndarray:
    """Noise of expected squared norm 1: a share in all directions, the rest in few.

    The few directions are one of a small bank of subspaces, the same for a whole class, as
    pose or light vary alike for many people.
    """
    noise = rng.standard_normal((len(labels), n_features), dtype=np.float32)
    noise *= np.float32(np.sqrt(isotropic / n_features))
    rank = min(noise_rank, n_features)
    subspace = rng.integers(_N_SUBSPACES, size=n_classes)[labels]
    for i in range(_N_SUBSPACES):
        basis, _ = np.linalg.qr(rng.standard_normal((n_features, rank)))
        basis = (np.sqrt((1 - isotropic) / rank) * basis.T).astype(np.float32)
        rows = np.flatnonzero(subspace == i)
        noise[rows] += rng.standard_normal((len(rows), rank), dtype=np.float32) @ basis
    return noise


@validate_params(
    {
        "n_samples": [Interval(Integral, 1, None, closed="left")],
        "n_features": [Interval(Integral, 2, None, closed="left")],
        "mean_size": [Interval(Real, 1, None, closed="left")],
        "size_distribution": [StrOptions({"lognormal", "geometric", "constant"})],
        "size_variation": [Interval(Real, 0, None, closed="left")],
        "max_size": [Interval(Integral, 1, None, closed="left"), None],
        "nn_rate": [Interval(Real, 0, 1, closed="neither"), None],
        "spread": [Interval(Real, 0, None, closed="left"), None],
        "spread_variation": [Interval(Real, 0, None, closed="left")],
        "noise_rank": [Interval(Integral, 1, None, closed="left")],
        "isotropic": [Interval(Real, 0, 1, closed="both")],
        "superclass_size": [Interval(Real, 1, None, closed="left")],
        "superclass_similarity": [Interval(Real, 0, 1, closed="left")],
        "outliers": [Interval(Real, 0, 1, closed="both")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_identities(
    n_samples: int = 1000,
    n_features: int = 128,
    *,
    mean_size: float = 20,
    size_distribution: str = "lognormal",
    size_variation: float = 1.0,
    max_size: int | None = None,
    nn_rate: float | None = None,
    spread: float | None = None,
    spread_variation: float = 0.25,
    noise_rank: int = 8,
    isotropic: float = 0.5,
    superclass_size: float = 1,
    superclass_similarity: float = 0.5,
    outliers: float = 0.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Make embeddings of identities: many classes of uneven size on the unit sphere.

    A row is ``center + spread * scale * noise``, normalised. The scale varies from class to
    class; the noise has a part of low rank, in directions that classes share, and an
    isotropic part. How hard the classes are to tell apart is asked for by `nn_rate`; the
    spread that gives it is found on the very data.

    Parameters
    ----------
    n_samples : int, default=1000
        Number of rows.
    n_features : int, default=128
        Dimension of the embeddings, at least 2.
    mean_size : float, default=20
        Mean number of rows in a class, outliers apart; met but for rounding.
    size_distribution : {"lognormal", "geometric", "constant"}, default="lognormal"
        Distribution of the class sizes, which are at least 1.
    size_variation : float, default=1.0
        Standard deviation of the logarithm of lognormal sizes.
    max_size : int or None, default=None
        Largest class size; None for no limit.
    nn_rate : float or None, default=None
        Wished share of rows whose most similar other row is of their class, among the rows of
        classes with two members or more; in (0, 1). 0.9 if neither this nor `spread` is given.
    spread : float or None, default=None
        Expected norm of the noise of a class of scale 1, beside centres of norm 1, instead of
        `nn_rate`.
    spread_variation : float, default=0.25
        Standard deviation of the logarithm of the classes' scales.
    noise_rank : int, default=8
        Rank of the noise's part of low rank.
    isotropic : float, default=0.5
        Isotropic share of the noise's variance, in [0, 1].
    superclass_size : float, default=1
        Mean number of classes in a superclass, whose centres lie close together; 1 for none.
    superclass_similarity : float, default=0.5
        Expected cosine between two centres of one superclass, in [0, 1).
    outliers : float, default=0.0
        Share of rows, in [0, 1], that are a class of their own outside all superclasses.
    random_state : int, RandomState instance or None, default=None
        Determines the data. Pass an int for the same data in every call.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features), float32
        The embeddings, of unit norm, in random order.
    y : ndarray of shape (n_samples,), int64
        Classes, from 0 without gaps; each outlier has its own.

    Raises
    ------
    ValueError
        If a parameter is out of range, both `nn_rate` and `spread` are given, `max_size` is
        under `mean_size`, or the classes cannot have the wished `nn_rate`.

    Notes
    -----
    The calibration compares up to 2,000 rows with all rows some ten times and so takes most of
    the time: O(n_samples * n_features) with a large constant, nothing with `spread`. Memory is
    that of X and of the class centres.

    Examples
    --------
    >>> from sklearn_hilander.datasets import make_identities
    >>> X, y = make_identities(n_samples=500, mean_size=10, nn_rate=0.95, random_state=0)
    >>> X.shape, int(y.max()) + 1
    ((500, 128), 50)
    """
    if nn_rate is not None and spread is not None:
        raise ValueError("Give nn_rate or spread, not both.")
    if max_size is not None and max_size < mean_size:
        raise ValueError(f"max_size={max_size} is under mean_size={mean_size}.")
    # The legacy generator only seeds the new one, which draws float32 and is several times faster.
    rng = np.random.default_rng(check_random_state(random_state).randint(2**31 - 1, size=4))

    n_outliers = round(outliers * n_samples)
    sizes = _class_sizes(
        rng,
        n_samples - n_outliers,
        mean_size,
        size_distribution,
        size_variation,
        n_samples if max_size is None else max_size,
    )
    centers = np.concatenate(
        [
            _draw_centers(rng, len(sizes), n_features, superclass_size, superclass_similarity),
            _unit_rows(rng, n_outliers, n_features),
        ]
    )
    n_classes = len(centers)
    scales = rng.lognormal(sigma=spread_variation, size=n_classes).astype(np.float32)
    labels = np.repeat(np.arange(n_classes), np.append(sizes, np.ones(n_outliers, dtype=np.int64)))
    labels = rng.permutation(labels)
    noise = _draw_noise(rng, labels, n_classes, n_features, noise_rank, isotropic)
    data = Identities(centers, scales, noise, labels)

    if spread is None:
        spread = calibrate_spread(rng, data, 0.9 if nn_rate is None else nn_rate)
    X = data.noise
    for block in data.blocks():
        X[block] = data.embed(block, spread)
    # Class numbers must not tell outliers, the last, from identities.
    return X, rng.permutation(n_classes)[labels]
