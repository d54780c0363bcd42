"""Contact sheets, drawn: a mosaic of images, or paragraphs of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sklearn_hilander._samples import as_bytes, counted
from sklearn_hilander.inspection._matplotlib import BLUE, GREY, VERMILLION

_CELL_INCHES, _LABEL_INCHES = 0.5, 0.8
_GAP = 0.08  # between images, as a share of one
_LINE_INCHES, _TEXT_INCHES = 0.19, 8.0
_PARAGRAPH_LINES = 1.6  # title and space of a cluster's paragraph
_INDENT, _MAX_CHARACTERS = 0.03, 500


def image_sheet_size(samples: np.ndarray, members: Sequence[np.ndarray]) -> tuple[float, float]:
    """Inches of a figure for so many images."""
    n_columns = max((len(rows) for rows in members), default=1)
    height, width = samples.shape[1:3]
    cell_width = _CELL_INCHES * float(np.clip(width / height, 0.5, 3))
    return n_columns * cell_width + 2 * _LABEL_INCHES, max(1, len(members)) * _CELL_INCHES + 0.2


def text_sheet_size(samples: Sequence[str], members: Sequence[np.ndarray]) -> tuple[float, float]:
    """Inches of a figure for so many texts."""
    n_lines = sum(len(rows) + _PARAGRAPH_LINES for rows in members)
    return _TEXT_INCHES, max(1.0, n_lines * _LINE_INCHES)


def draw_image_sheet(
    ax: Any,
    samples: np.ndarray,
    clusters: np.ndarray,
    members: Sequence[np.ndarray],
    sizes: np.ndarray,
    framed: np.ndarray,
    options: dict[str, Any],
) -> None:
    """Draw one row of images for each cluster; see `ContactSheetDisplay`."""
    from matplotlib.patches import Rectangle

    height, width = samples.shape[1:3]
    aspect = width / height
    n_columns = max((len(rows) for rows in members), default=1)
    shown = as_bytes(samples[np.concatenate(members)] if len(members) else samples[:0])
    options = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"} | options
    at = 0
    for row, (cluster, rows, size) in enumerate(zip(clusters, members, sizes, strict=True)):
        for column, i in enumerate(rows):
            left, right = column * aspect, (column + 1 - _GAP) * aspect
            box = (left, right, row + 1 - _GAP, row)
            ax.imshow(shown[at], extent=box, **options)
            at += 1
            ax.add_patch(
                Rectangle(
                    (left, row),
                    right - left,
                    1 - _GAP,
                    fill=False,
                    clip_on=False,
                    linewidth=2.2 if framed[i] else 0.4,
                    linestyle=(0, (2.5, 1)) if framed[i] else "-",
                    edgecolor=VERMILLION if framed[i] else GREY,
                )
            )
        ax.text(-0.15 * aspect, row + 0.46, f"{cluster}", ha="right", va="center", fontsize=8)
        if size > len(rows):
            ax.text(
                (n_columns + 0.05) * aspect,
                row + 0.46,
                f"+{size - len(rows):,}",
                va="center",
                color=GREY,
                fontsize=8,
            )
    ax.set(
        xlim=(-0.1 * aspect, n_columns * aspect),
        ylim=(max(1, len(members)), -_GAP),
        aspect="equal",
    )
    ax.axis("off")


def draw_text_sheet(
    ax: Any,
    samples: Sequence[str],
    clusters: np.ndarray,
    members: Sequence[np.ndarray],
    sizes: np.ndarray,
    framed: np.ndarray,
    options: dict[str, Any],
) -> None:
    """Draw one paragraph for each cluster; see `ContactSheetDisplay`."""
    options = {"fontsize": 8, "va": "center", "parse_math": False} | options
    options["in_layout"] = False  # else a long text would narrow its own axes
    n_lines = sum(len(rows) + _PARAGRAPH_LINES for rows in members)
    ax.set(xlim=(0, 1), ylim=(max(n_lines, 1), 0))
    ax.axis("off")
    ax.figure.draw_without_rendering()  # the layout, for the width
    points = 72 * ax.get_window_extent().width / ax.figure.dpi
    measure = _text_measure(options)
    line = 0.0
    for cluster, rows, size in zip(clusters, members, sizes, strict=True):
        more = f", {size - len(rows):,} not shown" if size > len(rows) else ""
        title = f"Cluster {cluster}: {counted(size, 'member')}{more}"
        ax.text(0, line + 0.5, title, **options | {"color": BLUE, "weight": "bold"})
        for k, i in enumerate(rows, start=1):
            style = {"weight": "bold"} if k == 1 else {}
            y = line + k + 0.5
            if framed[i]:
                style["color"] = VERMILLION
                ax.text(0.012, y, "?", **options | {"color": VERMILLION, "weight": "bold"})
            text = _shorten(samples[i], points * (1 - _INDENT), measure)
            ax.text(_INDENT, y, text, **options | style)
        line += len(rows) + _PARAGRAPH_LINES


def _text_measure(options: dict[str, Any]) -> Any:
    """A function from a text to its width in points; bold is taken, the wider."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextToPath

    font, to_path = FontProperties(size=options["fontsize"], weight="bold"), TextToPath()
    return lambda text: to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def _shorten(text: str, width: float, measure: Any) -> str:
    """As much of a text as fits into a width, with an ellipsis where it was cut."""
    if len(text) <= _MAX_CHARACTERS and measure(text) <= width:
        return text
    low, high = 0, min(len(text), _MAX_CHARACTERS)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(text[:middle].rstrip() + "…") <= width:
            low = middle
        else:
            high = middle - 1
    return text[:low].rstrip() + "…"
