"""The networks of the encoder: standardisation, default backbones, cosine head."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

# Inputs further than this from the training mean, in standard deviations, are outliers that
# would overflow float32 arithmetic sooner than carry meaning.
MAX_DEVIATIONS = 100.0
MLP_HIDDEN = 256
CNN_CHANNELS = (16, 32, 64, 128)
CNN_GRID = 4
# Of 4, 8, 16: the one whose embeddings told unseen classes apart best, images and vectors.
COSINE_SCALE = 16.0


class Standardize(nn.Module):
    """Rows of the caller's units in, float32 of zero mean and unit variance out.

    A feature or channel that is constant in the training data becomes zero. The arithmetic
    is float64, as the caller's numbers may not fit float32.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Training data.
    image_shape : tuple of (channels, height, width) or None
        If given, rows are flattened images, and each channel has one mean and variance.
    """

    size: torch.Tensor
    mean: torch.Tensor
    gain: torch.Tensor

    def __init__(self, X: np.ndarray, image_shape: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.shape = image_shape if image_shape is not None else (X.shape[1],)
        groups = X
        axis: int | tuple[int, int] = 0
        if image_shape is not None:
            groups, axis = X.reshape(len(X), image_shape[0], -1), (0, 2)
        # Divided by its largest magnitude first, so that no square overflows.
        size = np.abs(groups).max(axis=axis, keepdims=True).astype(np.float64)
        size[size == 0] = 1.0
        scaled = groups / size
        mean = scaled.mean(axis=axis, keepdims=True)
        deviation = scaled.std(axis=axis, keepdims=True)
        constant = deviation <= 10 * np.finfo(X.dtype).eps
        gain = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation))
        per_group = (-1,) + (1,) * (len(self.shape) - 1)
        self.register_buffer("size", torch.from_numpy(size.reshape(per_group)))
        self.register_buffer("mean", torch.from_numpy(mean.reshape(per_group)))
        self.register_buffer("gain", torch.from_numpy(gain.reshape(per_group)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, n_features), any float dtype, to (n, *shape), float32."""
        z = x.to(self.size.dtype).reshape(-1, *self.shape)
        z = ((z / self.size - self.mean) * self.gain).clamp(-MAX_DEVIATIONS, MAX_DEVIATIONS)
        return z.float()


class Encoder(nn.Module):
    """Standardisation, backbone and a linear layer: rows in, unit-norm embeddings out.

    Parameters
    ----------
    standardize : Standardize
    backbone : torch.nn.Module
        Maps (n, *standardize.shape) to (n, features).
    n_features : int
        Features that the backbone gives.
    n_components : int
        Size of the embeddings.
    """

    def __init__(
        self, standardize: Standardize, backbone: nn.Module, n_features: int, n_components: int
    ) -> None:
        super().__init__()
        self.standardize = standardize
        self.backbone = backbone
        self.embedding = nn.Linear(n_features, n_components)

    def project(self, z: torch.Tensor) -> torch.Tensor:
        """Map standardised (n, *shape) to unit-norm (n, n_components), both float32."""
        return nn.functional.normalize(self.embedding(self.backbone(z)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (n, n_features_in) to unit-norm (n, n_components), float32."""
        return self.project(self.standardize(x))


class CosineHead(nn.Module):
    """Logits of a softmax over cosines: s (cos(embedding, class weight) − m [own class]).

    That is CosFace (Wang et al., CVPR 2018, arXiv:1801.09414, eq. 4), with a fixed scale s;
    without a margin m it is NormFace (Wang et al., 2017, arXiv:1704.06369).

    Parameters
    ----------
    n_components : int
        Size of the embeddings.
    n_classes : int
        Number of classes.
    margin : float
        How much nearer to its own class than to others a sample has to be.
    """

    def __init__(self, n_components: int, n_classes: int, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_classes, n_components))
        self.margin = margin

    def forward(self, embeddings: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Map unit-norm (n, n_components) and classes (n,) to logits (n, n_classes)."""
        cosines = embeddings @ nn.functional.normalize(self.weight).T
        own = nn.functional.one_hot(targets, cosines.shape[1])
        return COSINE_SCALE * (cosines - self.margin * own)


class VectorBackbone(nn.Module):
    """The default backbone for vectors: a hidden layer beside the input itself.

    What already tells classes apart in the input, such as the embeddings of a pretrained
    network, thus reaches the linear layer as it is.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(n_features, MLP_HIDDEN), nn.ReLU())

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        """Map (n, n_features) to (n, n_features + MLP_HIDDEN)."""
        return torch.cat([z, self.hidden(z)], dim=1)


def make_cnn(image_shape: tuple[int, int, int]) -> nn.Module:
    """The default backbone for images: four convolutions, for images of any size."""
    layers: list[nn.Module] = []
    channels, *size = image_shape
    for block, width in enumerate(CNN_CHANNELS):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        if block < len(CNN_CHANNELS) - 1:
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
            size = [(side + 1) // 2 for side in size]
        channels = width
    # Large images: no more than a 4 × 4 grid of positions reaches the linear layer.
    if max(size) > CNN_GRID:
        layers.append(nn.AdaptiveAvgPool2d(tuple(min(side, CNN_GRID) for side in size)))
    return nn.Sequential(*layers, nn.Flatten())
