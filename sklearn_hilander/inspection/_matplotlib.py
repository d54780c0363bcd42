"""What the displays share: matplotlib, imported when something is drawn, and colours."""

from __future__ import annotations

from typing import Any

# Okabe and Ito's palette, which colour-blind readers can tell apart: https://jfly.uni-koeln.de/color
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE = "#CC79A7"
GREY, LIGHT_GREY = "#767676", "#D9D9D9"


def import_pyplot(display: str) -> Any:
    """``matplotlib.pyplot``, or an ImportError that says how to get it."""
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            f"{display} draws with matplotlib: pip install sklearn-hilander[plot]"
        ) from error
    return pyplot


def axes_to_draw_on(display: str, ax: Any, figsize: tuple[float, float]) -> Any:
    """The axes given, or the only ones of a new figure of so many inches."""
    pyplot = import_pyplot(display)
    if ax is not None:
        return ax
    return pyplot.subplots(figsize=figsize, layout="constrained")[1]


def fade_spines(ax: Any) -> None:
    """Leave the left and the bottom edge of the axes only."""
    ax.spines[["top", "right"]].set_visible(False)
