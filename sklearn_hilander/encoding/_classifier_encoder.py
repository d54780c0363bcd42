"""A transformer that learns embeddings by training a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn

from sklearn_hilander._callbacks import CallbackSupportMixin, fit_task, with_callbacks
from sklearn_hilander._device import resolve_device, thread_limit
from sklearn_hilander._documentation import DocumentationLinkMixin
from sklearn_hilander._state import unchanged_on_failure
from sklearn_hilander.encoding._training import (
    TrainingSettings,
    build_encoder,
    embed,
    seeded,
    train_classifier,
)

if TYPE_CHECKING:
    from typing_extensions import Self

_FLOATS = [np.float64, np.float32]


class ClassifierEncoder(
    CallbackSupportMixin,
    DocumentationLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Embeddings learned by classification, for clustering classes never seen.

    The first step of Hi-LANDER [1]_: a network is trained to tell the classes of ``(X, y)``
    apart; its last layer is dropped; what the layer before gives, scaled to unit norm, is the
    embedding of a sample, of a known class or not. The dropped layer takes its softmax over
    cosines, so that the angle between embeddings is what is trained.

    Parameters
    ----------
    n_components : int, default=128
        Size of the embeddings.
    backbone : torch.nn.Module, default=None
        Network that maps standardised input, (n_samples, n_features) or, with `image_shape`,
        (n_samples, channels, height, width), to (n_samples, any number of features); a linear
        layer to `n_components` follows it. It is copied, and its weights are where training
        starts. None: the input itself beside a hidden layer of 256 units, or, with
        `image_shape`, four convolutions of 16, 32, 64 and 128 channels.
    image_shape : tuple of int, default=None
        (height, width) or (channels, height, width), if the rows of X are flattened images.
    max_iter : int, default=30
        Number of passes over the training data.
    batch_size : int, default=128
        Samples in a gradient step.
    learning_rate : float, default=3e-3
        Highest learning rate of the one-cycle schedule.
    weight_decay : float, default=1e-4
        Decoupled weight decay of AdamW.
    margin : float, default=0.0
        How much nearer, in cosine, a training sample has to be to its own class than to others
        (CosFace, [2]_). 0.2 gave better embeddings of unseen classes when training on hundreds
        of classes of images, worse ones when training on a handful, or on vectors.
    max_shift : int, default=2
        Each time an image is trained on, it is moved by up to so many pixels, up or down and
        left or right, its border repeated. Without effect if `image_shape` is None.
    device : str, default="auto"
        Where torch computes. "auto": CUDA if there is one, else the CPU. Needs float64.
    n_jobs : int, default=None
        Threads that torch may use. None: as torch is set; -1: all cores.
    random_state : int, RandomState instance or None, default=None
        Seeds the weights, the order of the samples and the shifts. The same int gives the
        same embeddings, bit for bit, on one machine with one number of threads.
    verbose : int, default=0
        Print a line an epoch if above 0.

    Attributes
    ----------
    encoder_ : torch.nn.Module
        The trained encoder, on the CPU: maps a tensor of shape (n_samples, n_features) to
        unit-norm float32 embeddings, its standardisation of the input included.
    classes_ : ndarray of shape (n_classes,)
        Classes that it was trained on.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    n_iter_ : int
        Number of epochs run.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of features seen in `fit`, if they were all strings.

    See Also
    --------
    sklearn_hilander.HiLanderClustering : Learns to cluster such embeddings.

    Notes
    -----
    Features are standardised first, images by channel; features that are constant in the
    training data are ignored. A row's embedding does not depend on the other rows given to
    `transform`. Train on some classes, and meta-train the clustering on others: embeddings of
    the classes trained on are tighter than those of classes never seen.

    References
    ----------
    .. [1] Y. Xing, T. He, T. Xiao, Y. Wang, Y. Xiong, W. Xia, D. Wipf, Z. Zhang, S. Soatto,
       "Learning Hierarchical Graph Neural Networks for Image Clustering", ICCV 2021,
       arXiv:2107.01319.
    .. [2] H. Wang, Y. Wang, Z. Zhou, X. Ji, D. Gong, J. Zhou, Z. Li, W. Liu, "CosFace: Large
       Margin Cosine Loss for Deep Face Recognition", CVPR 2018, arXiv:1801.09414.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_hilander.encoding import ClassifierEncoder
    >>> X, y = load_digits(return_X_y=True)
    >>> seen = y < 6
    >>> encoder = ClassifierEncoder(16, image_shape=(8, 8), max_iter=2, random_state=0)
    >>> encoder.fit(X[seen], y[seen]).transform(X[~seen]).shape
    (714, 16)
    """

    _parameter_constraints: ClassVar[dict] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "backbone": [nn.Module, None],
        "image_shape": [tuple, list, None],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "margin": [Interval(Real, 0, 1, closed="left")],
        "max_shift": [Interval(Integral, 0, None, closed="left")],
        "device": [str],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        n_components: int = 128,
        *,
        backbone: nn.Module | None = None,
        image_shape: Sequence[int] | None = None,
        max_iter: int = 30,
        batch_size: int = 128,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        margin: float = 0.0,
        max_shift: int = 2,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.backbone = backbone
        self.image_shape = image_shape
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.margin = margin
        self.max_shift = max_shift
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    @with_callbacks
    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train the encoder as a classifier.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training samples.
        y : array-like of shape (n_samples,)
            Their classes: numbers, strings or objects.

        Returns
        -------
        self : ClassifierEncoder

        Raises
        ------
        ValueError
            If X, y or a parameter is not valid, `image_shape` does not fit X, `backbone` does
            not fit X or gives anything but (n_samples, n_features), or the loss diverges. What
            was fitted before is kept then.
        """
        self._validate_params()
        with (
            # The task first: what callbacks keep on the estimator is theirs to clear.
            fit_task(self, n_subtasks=self.max_iter, X=X, y=y) as task,
            unchanged_on_failure(self),
        ):
            rows, y = validate_data(self, X, y, dtype=_FLOATS, order="C")
            check_classification_targets(y)
            image_shape = _check_image_shape(self.image_shape, rows.shape[1])
            device = resolve_device(self.device)
            classes, targets = np.unique(y, return_inverse=True)
            seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
            settings = TrainingSettings(
                max_iter=self.max_iter,
                batch_size=self.batch_size,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                margin=self.margin,
                max_shift=self.max_shift,
            )
            with thread_limit(self.n_jobs), seeded(seed, device):
                encoder = build_encoder(rows, self.backbone, image_shape, self.n_components)
                loss_curve = train_classifier(
                    encoder, rows, targets, settings, device, task, verbose=bool(self.verbose)
                )
                self.encoder_ = encoder
                self.classes_ = classes
                self.loss_curve_ = loss_curve
                self.n_iter_ = len(loss_curve)
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Embed samples, of known classes or not.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, n_components), float32
            Rows of unit norm.

        Raises
        ------
        ValueError
            If X is not valid or has another number of features than in `fit`.
        NotFittedError
            If there was no `fit`.
        """
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=_FLOATS, order="C", reset=False)
        with thread_limit(self.n_jobs):
            return embed(self.encoder_, rows, resolve_device(self.device))

    @property
    def _n_features_out(self) -> int:
        return self.encoder_.embedding.out_features


def _check_image_shape(
    image_shape: Sequence[int] | None, n_features: int
) -> tuple[int, int, int] | None:
    """(channels, height, width) of flattened images of `n_features` values."""
    if image_shape is None:
        return None
    sizes = tuple(image_shape)
    if len(sizes) not in (2, 3) or not all(isinstance(n, Integral) and n > 0 for n in sizes):
        raise ValueError(
            "image_shape must be (height, width) or (channels, height, width), positive "
            f"integers; got {image_shape!r}."
        )
    if math.prod(sizes) != n_features:
        raise ValueError(
            f"image_shape={image_shape!r} asks for {math.prod(sizes)} values a row, but X has "
            f"{n_features} features."
        )
    channels = 1 if len(sizes) == 2 else sizes[0]
    return channels, sizes[-2], sizes[-1]
