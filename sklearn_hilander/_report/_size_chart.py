"""The distribution of cluster sizes as SVG within a page."""

from __future__ import annotations

import math
from html import escape

from sklearn_hilander._members import SizeBins

_STEP, _BAR, _HEIGHT, _TOP, _BOTTOM = 84, 30, 150, 22, 24
# Of a digit of the names under the bars.
_DIGIT = 7.5


def size_chart(bins: SizeBins) -> str:
    """Bars of the share of clusters and of rows in each bin; colours come from the page's style.

    Parameters
    ----------
    bins : SizeBins

    Returns
    -------
    str
        An ``svg`` element; the numbers stand over the bars.
    """
    names = bins.names
    n_rows = int(bins.n_samples.sum()) + bins.n_noise
    shares = [
        (
            name,
            int(clusters) / max(int(bins.n_clusters.sum()), 1),
            int(clusters),
            rows / n_rows,
            rows,
        )
        for name, clusters, rows in zip(
            names, bins.n_clusters, bins.n_samples.tolist(), strict=True
        )
    ]
    if bins.n_noise:
        shares.append(("no cluster", 0.0, 0, bins.n_noise / n_rows, bins.n_noise))
    tallest = max([max(share[1], share[3]) for share in shares], default=1.0)
    step = max(_STEP, math.ceil(_DIGIT * (1 + max((len(share[0]) for share in shares), default=0))))
    width, base = step * len(shares), _TOP + _HEIGHT
    parts = [
        f'<svg viewBox="0 0 {width} {base + _BOTTOM}" width="{width}" role="img" '
        'aria-label="Number of clusters, and of rows in them, by cluster size">'
    ]
    for k, (name, cluster_share, n_clusters, row_share, n_in_bin) in enumerate(shares):
        middle = step * k + step / 2
        bars = [
            ("clusters", middle - _BAR - 1, cluster_share, n_clusters),
            ("rows", middle + 1, row_share, n_in_bin),
        ]
        for kind, left, share, count in bars:
            if not count:
                continue
            height = max(_HEIGHT * share / tallest, 1.0)
            parts.append(
                f'<rect class="{kind}" x="{left:g}" y="{base - height:.1f}" width="{_BAR}" '
                f'height="{height:.1f}"></rect><text x="{left + _BAR / 2:g}" '
                f'y="{base - height - 5:.1f}">{count:,}</text>'
            )
        parts.append(f'<text class="size" x="{middle:g}" y="{base + 17}">{escape(name)}</text>')
    parts.append(f'<path class="axis" d="M0 {base + 0.5}H{width}"></path></svg>')
    return "".join(parts)
