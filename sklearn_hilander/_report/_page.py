"""The report's page; all that comes from the user is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from sklearn_hilander._members import (
    bin_sizes,
    choose_members,
    cluster_sizes,
    largest_clusters,
    unit_rows,
)
from sklearn_hilander._report._content import MergeCandidate, ReportContent
from sklearn_hilander._report._images import image_uris
from sklearn_hilander._report._size_chart import size_chart
from sklearn_hilander._report._style import STYLE
from sklearn_hilander._samples import counted

_MAX_CHARACTERS = 400
_SMALL_PIXELS = 64  # images under this are enlarged without smoothing
# Says to the browser, too, that nothing is loaded and nothing runs.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def render_report(content: ReportContent) -> str:
    """One HTML page about clusters.

    Parameters
    ----------
    content : ReportContent

    Returns
    -------
    str
        The page, with style and images within; it refers to nothing outside.

    Raises
    ------
    ImportError
        If the samples are images and Pillow is not installed.
    """
    clusters = largest_clusters(content.labels, content.n_clusters)
    members = choose_members(
        content.labels,
        clusters,
        content.n_members,
        rows=None if content.X is None else unit_rows(content.X),
        exemplars=content.exemplars,
        probabilities=content.probabilities,
    )
    uris = {}
    images = content.samples if isinstance(content.samples, np.ndarray) else None
    if images is not None:
        paired = [row for pair in content.merge_candidates for row in pair.exemplars]
        shown = np.concatenate([*members, np.array(paired, dtype=np.int64)])
        uris = image_uris(images, shown)
    title = escape(content.title)
    body = [
        f"<h1>{title}</h1>",
        _summary(content),
        _sizes(content),
        _sheet(content, clusters, members, uris),
        _candidates(content, set(clusters.tolist()), uris),
        "<footer>Made with sklearn_hilander.</footer>",
    ]
    small = images is not None and max(images.shape[1:3]) < _SMALL_PIXELS
    kind = ' class="pixels"' if small else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body{kind}>\n"
        + "\n".join(part for part in body if part)
        + "\n</body>\n</html>\n"
    )


def _summary(content: ReportContent) -> str:
    """What there is, in numbers."""
    labels, sizes = content.labels, cluster_sizes(content.labels)[1]
    facts = [("Rows", f"{len(labels):,}"), ("Clusters", f"{len(sizes):,}")]
    if len(sizes):
        facts += [
            ("Clusters of one row", f"{np.count_nonzero(sizes == 1):,}"),
            ("Median cluster size", f"{np.median(sizes):,.10g}"),
            ("Largest cluster", f"{sizes.max():,}"),
        ]
    if n_noise := len(labels) - int(sizes.sum()):
        facts.append(("Rows in no cluster", f"{n_noise:,}"))
    if content.probabilities is not None:
        doubtful = (content.probabilities < content.min_probability) & (labels >= 0)
        name = f"Members under probability {content.min_probability:g}"
        facts.append((name, f"{np.count_nonzero(doubtful):,}"))
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in [*facts, *content.facts]
    )
    return f'<dl class="facts">{items}</dl>'


def _sizes(content: ReportContent) -> str:
    """The distribution of sizes."""
    return (
        '<h2>Cluster sizes</h2>\n<p class="note"><span class="key clusters"></span>clusters of '
        'each size<span class="key rows"></span>rows in them; heights are shares of all '
        'clusters and of all rows</p>\n<div class="chart">'
        f"{size_chart(bin_sizes(content.labels))}</div>"
    )


def _sheet(
    content: ReportContent,
    clusters: np.ndarray,
    members: Sequence[np.ndarray],
    uris: dict[int, str],
) -> str:
    """The largest clusters with their exemplars and the members most like them."""
    known, sizes = cluster_sizes(content.labels)
    if not len(known):
        return ""
    which = (
        "All clusters" if len(clusters) == len(known) else f"The {len(clusters)} largest clusters"
    )
    note = "Largest first. The first member of each is its exemplar"
    if content.probabilities is not None:
        note += f"; a dashed line marks members under probability {content.min_probability:g}"
    parts = [f'<h2>{which}</h2>\n<p class="note">{note}.</p>']
    for cluster, rows in zip(clusters.tolist(), members, strict=True):
        size = int(sizes[np.searchsorted(known, cluster)])
        more = f", {size - len(rows):,} not shown" if size > len(rows) else ""
        parts.append(
            f'<section class="cluster" id="cluster-{cluster}"><h3>Cluster {cluster} '
            f'<span class="faint">{counted(size, "row")}{more}</span></h3>'
        )
        if content.has_images:
            figures = "".join(_figure(content, row, uris) for row in rows.tolist())
            parts.append(f'<div class="images">{figures}</div></section>')
        else:
            kind = "members names" if content.samples is None else "members"
            items = "".join(
                _item(content, row, is_exemplar=k == 0) for k, row in enumerate(rows.tolist())
            )
            parts.append(f'<ul class="{kind}">{items}</ul></section>')
    return "\n".join(parts)


def _doubt(content: ReportContent, row: int) -> str:
    """The probability of a row that is less sure than it should be, else nothing."""
    probabilities = content.probabilities
    if probabilities is None or not probabilities[row] < content.min_probability:
        return ""
    return f' <span class="doubt">p = {probabilities[row]:.2f}</span>'


def _figure(content: ReportContent, row: int, uris: dict[int, str]) -> str:
    """An image with its name under it."""
    name, doubt = escape(content.name(row)), _doubt(content, row)
    kind = ' class="doubtful"' if doubt else ""
    return (
        f'<figure{kind}><img src="{uris[row]}" alt="{name}">'
        f"<figcaption>{name}{doubt}</figcaption></figure>"
    )


def _text(content: ReportContent, row: int) -> str:
    """A row's text and name, or its name alone."""
    name = escape(content.name(row))
    if content.samples is None:
        return name
    text = content.samples[row]
    if len(text) > _MAX_CHARACTERS:
        text = text[:_MAX_CHARACTERS].rstrip() + "…"
    return f'<bdi>{escape(text)}</bdi> <span class="faint">{name}</span>'


def _item(content: ReportContent, row: int, *, is_exemplar: bool) -> str:
    """A member as one line of a list."""
    doubt = _doubt(content, row)
    kinds = ["exemplar"] * is_exemplar + ["doubtful"] * bool(doubt)
    kind = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<li{kind}>{_text(content, row)}{doubt}</li>"


def _candidates(content: ReportContent, shown: set[int], uris: dict[int, str]) -> str:
    """Pairs of clusters that may be one, side by side."""
    if not content.merge_candidates:
        return ""
    known, sizes = cluster_sizes(content.labels)

    def cell(pair: MergeCandidate, side: int) -> str:
        cluster, row = pair.clusters[side], pair.exemplars[side]
        name = f"Cluster {cluster}"
        if cluster in shown:
            name = f'<a href="#cluster-{cluster}">{name}</a>'
        size = counted(int(sizes[np.searchsorted(known, cluster)]), "row")
        sample = _figure(content, row, uris) if content.has_images else _text(content, row)
        return f'<td>{name} <span class="faint">{size}</span><br>{sample}</td>'

    rows = "".join(
        f'<tr><td class="number">{pair.probability:.2f}</td>{cell(pair, 0)}{cell(pair, 1)}</tr>'
        for pair in content.merge_candidates
    )
    return (
        '<h2>Clusters that may be one</h2>\n<p class="note">Pairs of clusters that were kept '
        "apart, the most probable first, each with its exemplar: what to look at next.</p>\n"
        '<table><thead><tr><th scope="col">Probability</th><th scope="col">One cluster</th>'
        f'<th scope="col">The other</th></tr></thead><tbody>{rows}</tbody></table>'
    )
