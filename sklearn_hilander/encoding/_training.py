"""Training a classifier over an encoder, and running the encoder afterwards."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from sklearn_hilander._callbacks import FitTask
from sklearn_hilander.encoding._networks import (
    CosineHead,
    Encoder,
    Standardize,
    VectorBackbone,
    make_cnn,
)

# Rows go through the encoder in blocks of this very size, the last one padded: kernels pick
# their order of summation by shape, and an embedding must not depend on its neighbours.
BLOCK_SIZE = 128


@dataclass(frozen=True)
class TrainingSettings:
    """What a training run depends on beside the data and the seed."""

    max_iter: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    margin: float
    max_shift: int


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's generators start from ``seed`` inside the block and are put back after it."""
    devices = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
    ):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def build_encoder(
    X: np.ndarray,
    backbone: nn.Module | None,
    image_shape: tuple[int, int, int] | None,
    n_components: int,
) -> Encoder:
    """An untrained encoder whose standardisation is fitted to X.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
    backbone : torch.nn.Module or None
        Copied. None: the default for vectors or images.
    image_shape : tuple of (channels, height, width) or None
    n_components : int

    Returns
    -------
    encoder : Encoder
        On the CPU.

    Raises
    ------
    ValueError
        If the backbone cannot take X's rows, or gives anything but (n_samples, n_features).
    """
    standardize = Standardize(X, image_shape)
    if backbone is None:
        backbone = VectorBackbone(X.shape[1]) if image_shape is None else make_cnn(image_shape)
    else:
        backbone = copy.deepcopy(backbone).cpu()
    backbone.eval()
    trial = standardize(torch.as_tensor(X[:2].copy()))
    with torch.no_grad():
        try:
            features = backbone(trial)
        except (RuntimeError, ValueError, TypeError) as error:
            raise ValueError(
                f"backbone cannot take input of shape {tuple(trial.shape)}: {error}"
            ) from error
    shape = getattr(features, "shape", None)
    if shape is None or len(shape) != 2 or shape[0] != len(trial):
        given = type(features).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            "backbone must give an output of shape (n_samples, n_features); for input of "
            f"shape {tuple(trial.shape)} it gave {given}."
        )
    return Encoder(standardize, backbone, shape[1], n_components)


def train_classifier(
    encoder: Encoder,
    X: np.ndarray,
    y: np.ndarray,
    settings: TrainingSettings,
    device: torch.device,
    task: FitTask,
    verbose: bool,
) -> list[float]:
    """Train the encoder under a cosine softmax that is dropped afterwards.

    Loss: cross-entropy. Optimiser: AdamW, its learning rate on one cycle.

    Parameters
    ----------
    encoder : Encoder
        Trained in place; afterwards on the CPU, in evaluation mode.
    X : ndarray of shape (n_samples, n_features)
    y : ndarray of shape (n_samples,), int64
        Classes, contiguous from 0.
    settings : TrainingSettings
    device : torch.device
    task : FitTask
        Epochs are reported as its subtasks.
    verbose : bool
        Print a line an epoch.

    Returns
    -------
    loss_curve : list of float
        Mean loss of each epoch.

    Raises
    ------
    ValueError
        If the loss stops being finite, or the backbone cannot be trained on one row at a time.
    """
    images = len(encoder.standardize.shape) > 1
    # Convolutions on the CPU take about half the time in this layout.
    memory_format = torch.channels_last if images else torch.preserve_format
    # torch's own hints lack the two together.
    encoder.to(device=device, memory_format=memory_format).train()  # type: ignore[call-overload]
    head = CosineHead(encoder.embedding.out_features, int(y.max()) + 1, settings.margin).to(device)
    with torch.no_grad():
        inputs = torch.cat(
            [encoder.standardize(torch.as_tensor(X[i].copy(), device=device)) for i in _blocks(X)]
        )
    targets = torch.as_tensor(y, device=device)
    parameters = [p for p in (*encoder.parameters(), *head.parameters()) if p.requires_grad]
    n_batches = math.ceil(len(inputs) / settings.batch_size)
    if settings.batch_size > 1:
        # Batch normalisation may not do with one row, so three rows in batches of two are one.
        n_batches = min(n_batches, max(1, len(inputs) // 2))
    optimizer = torch.optim.AdamW(
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.max_iter * n_batches + 1
    )
    loss_curve: list[float] = []
    for epoch in range(settings.max_iter):
        total = 0.0
        with task.subtask("epoch") as epoch_task:
            for batch in torch.randperm(len(inputs)).to(device).tensor_split(n_batches):
                rows = inputs[batch]
                if images:
                    rows = shift_images(rows, settings.max_shift)
                    rows = rows.contiguous(memory_format=memory_format)
                with _one_row_explained(len(batch)):
                    projected = encoder.project(rows)
                logits = head(projected, targets[batch])
                loss = nn.functional.cross_entropy(logits, targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item() * len(batch)
        loss_curve.append(total / len(inputs))
        if not math.isfinite(loss_curve[-1]):
            raise ValueError(
                f"The training loss is {loss_curve[-1]} in epoch {epoch + 1}; a smaller "
                f"learning_rate than {settings.learning_rate} may help."
            )
        if verbose:
            print(
                f"[ClassifierEncoder] epoch {epoch + 1}/{settings.max_iter}, "
                f"loss {loss_curve[-1]:.4f}"
            )
        if epoch_task.stop_requested:
            break
    encoder.cpu().eval()
    return loss_curve


def shift_images(images: torch.Tensor, max_shift: int) -> torch.Tensor:
    """Each image moved by up to `max_shift` pixels along both axes, its border repeated.

    Parameters
    ----------
    images : torch.Tensor of shape (n, channels, height, width)
    max_shift : int

    Returns
    -------
    shifted : torch.Tensor of the same shape
    """
    if max_shift == 0:
        return images
    n, _, height, width = images.shape
    down, right = torch.randint(-max_shift, max_shift + 1, (2, n, 1)).to(images.device)
    rows = (torch.arange(height, device=images.device) + down).clamp(0, height - 1)
    columns = (torch.arange(width, device=images.device) + right).clamp(0, width - 1)
    # Indices around the channels' slice: that axis comes last, which is channels_last.
    each = torch.arange(n, device=images.device)[:, None, None]
    return images[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def embed(encoder: Encoder, X: np.ndarray, device: torch.device) -> np.ndarray:
    """Unit-norm embeddings of the rows of X, each independent of the other rows.

    Parameters
    ----------
    encoder : Encoder
        On the CPU, in evaluation mode; not changed.
    X : ndarray of shape (n_samples, n_features)
    device : torch.device

    Returns
    -------
    embeddings : ndarray of shape (n_samples, n_components), float32
    """
    if device.type != "cpu":
        encoder = copy.deepcopy(encoder).to(device)
    embeddings = np.empty((len(X), encoder.embedding.out_features), dtype=np.float32)
    block = np.zeros((BLOCK_SIZE, X.shape[1]), dtype=X.dtype)
    with torch.no_grad():
        for rows in _blocks(X):
            n_rows = rows.stop - rows.start
            block[:n_rows] = X[rows]
            output = encoder(torch.as_tensor(block, device=device))
            embeddings[rows] = output[:n_rows].cpu().numpy()
    return embeddings


def _blocks(X: np.ndarray) -> Iterator[slice]:
    for start in range(0, len(X), BLOCK_SIZE):
        yield slice(start, min(start + BLOCK_SIZE, len(X)))


@contextmanager
def _one_row_explained(n_rows: int) -> Iterator[None]:
    """Torch's error on one row of one position, which batch normalisation has no variance of."""
    try:
        yield
    except ValueError as error:
        if n_rows > 1 or "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "The backbone has batch normalisation, which cannot be trained on one sample at a "
            "time: give a batch_size of 2 or more, and at least two samples."
        ) from error
