"""What the commands do: read, fit, write."""

from __future__ import annotations

import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_hilander._cli._progress import Progress
from sklearn_hilander._estimator import HiLanderClustering
from sklearn_hilander._members import cluster_sizes
from sklearn_hilander._report import MergeCandidate, ReportContent, import_pillow, render_report
from sklearn_hilander._samples import check_samples, counted
from sklearn_hilander._tables import (
    LABEL_SUFFIXES,
    Table,
    read_images,
    read_labels,
    read_table,
    read_texts,
    write_atomically,
    write_labels,
)
from sklearn_hilander.metrics import pairwise_f_score

_PARAMETERS = (
    "architecture", "device", "linkage_threshold", "max_iter", "metric", "min_cluster_size",
    "n_jobs", "n_neighbors", "random_state",
)  # fmt: skip
_N_CANDIDATES = 20
_OWN_MODEL = "the one that comes with the package"


def run_fit(options: Namespace, progress: Progress) -> None:
    """Learn from labelled rows and save the model.

    Raises
    ------
    ImportError, OSError, ValueError
        With a message for the user.
    """
    _check_outputs([options.model], [options.meta, options.labels])
    if options.model.suffix.lower() != ".safetensors":
        raise ValueError(f"{options.model}: models are saved to .safetensors files.")
    table = _read_rows(options, options.meta, progress, label_column=options.label_column)
    y = table.y if options.labels is None else read_labels(options.labels)
    if y is None:
        raise ValueError(
            f"{options.meta} has no labels to learn from: name them by --label-column or --labels."
        )
    if len(y) != len(table.X):
        raise ValueError(
            f"{options.labels} has {len(y)} labels, but there are {len(table.X)} rows."
        )
    progress.say(f"learning from {counted(len(set(y.tolist())), 'label')}")
    with progress.estimator() as verbose:
        clusterer = HiLanderClustering(**_parameters(options), verbose=verbose).fit(table.X, y)
    clusterer.set_params(verbose=0).save(options.model, clusters=False)
    progress.say(f"wrote {options.model} (linkage threshold {clusterer.linkage_threshold_:.3g})")


def run_cluster(options: Namespace, progress: Progress) -> None:
    """Cluster rows, write the cluster of each and, if asked for, a report.

    Raises
    ------
    ImportError, OSError, ValueError
        With a message for the user.
    """
    inputs = [options.rows, options.model, options.images, options.texts]
    _check_outputs([options.out, options.report], inputs)
    if options.out.suffix.lower() not in LABEL_SUFFIXES:
        kinds = ", ".join(LABEL_SUFFIXES)
        raise ValueError(f"{options.out}: clusters are written to {kinds} files.")
    clusterer = _load(options, progress)
    table = _read_rows(
        options,
        options.rows,
        progress,
        label_column=options.label_column,
        id_column=options.id_column,
        text_column=options.text_column,
    )
    samples = _read_samples(options, table)
    progress.say(f"clustering {counted(len(table.X), 'row')}")
    with progress.estimator() as verbose:
        clusterer.set_params(**_parameters(options), verbose=verbose).fit(table.X)
    labels = clusterer.labels_
    sizes = cluster_sizes(labels)[1]
    progress.say(
        f"found {counted(len(sizes), 'cluster')}, {np.count_nonzero(sizes == 1):,} of one row"
        + (f"; {np.count_nonzero(labels < 0):,} rows in none" if (labels < 0).any() else "")
    )
    facts = [("Features", f"{table.X.shape[1]:,}")]
    facts.append(("Linkage threshold", f"{clusterer.linkage_threshold_:.3g}"))
    facts.append(("Model", _OWN_MODEL if options.model is None else options.model.name))
    facts.append(("Data", options.rows.name))
    if table.y is not None:
        score = pairwise_f_score(table.y, labels)
        facts.append(("Pairwise F against the true classes", f"{score:.3f}"))
        progress.say(f"pairwise F against the true classes: {score:.3f}")
    probabilities = clusterer.probabilities_
    write_labels(options.out, labels, ids=table.ids, probabilities=probabilities)
    progress.say(f"wrote {options.out}")
    if options.report is not None:
        page = render_report(
            ReportContent(
                labels=labels,
                title=options.title,
                facts=facts,
                names=table.ids,
                samples=samples,
                X=table.X,
                exemplars=clusterer.exemplar_indices_,
                probabilities=probabilities,
                merge_candidates=_merge_candidates(clusterer),
            )
        )
        encoded = page.encode("utf-8", errors="xmlcharrefreplace")
        write_atomically(options.report, lambda file: file.write(encoded))
        progress.say(f"wrote {options.report}")


def _check_outputs(outputs: Sequence[Path | None], inputs: Sequence[Path | None]) -> None:
    """Raise before the work, not after it, if a result could not be written."""
    taken = {path.resolve() for path in inputs if path is not None}
    for path in outputs:
        if path is None:
            continue
        if not path.resolve().parent.is_dir():
            raise ValueError(f"{path}: there is no folder {path.resolve().parent}.")
        if path.is_dir():
            raise ValueError(f"{path} is a folder.")
        if path.exists() and not path.is_file():
            raise ValueError(f"{path} is no regular file, which alone can be written.")
        if not os.access(path.resolve().parent, os.W_OK):
            raise ValueError(f"{path}: nothing can be written to its folder.")
        if path.resolve() in taken:
            raise ValueError(f"{path} would be overwritten: it is read from, or written twice.")
        taken.add(path.resolve())


def _parameters(options: Namespace) -> dict[str, Any]:
    """Parameters of the estimator that the command gives."""
    given = {name: getattr(options, name, None) for name in _PARAMETERS}
    return {name: value for name, value in given.items() if value is not None}


def _load(options: Namespace, progress: Progress) -> HiLanderClustering:
    if options.model is None:
        return HiLanderClustering()
    clusterer = HiLanderClustering.load(options.model)
    progress.say(f"read the model {options.model}")
    return clusterer


def _read_rows(options: Namespace, path: Path, progress: Progress, **columns: Any) -> Table:
    table = read_table(path, ignored=options.ignore_column, **columns)
    n_rows, n_features = table.X.shape
    progress.say(f"read {path}: {counted(n_rows, 'row')} of {counted(n_features, 'feature')}")
    return table


def _read_samples(options: Namespace, table: Table) -> np.ndarray | list[str] | None:
    """Images or texts for the report; all that could be wrong with them is found here."""
    samples: np.ndarray | list[str] | None = table.texts
    if options.images is not None:
        samples = read_images(options.images)
        if options.report is not None:
            import_pillow()
    elif options.texts is not None:
        samples = read_texts(options.texts)
    if samples is None:
        return None
    if len(samples) != len(table.X):
        what, path = ("image", options.images) if options.images else ("text", options.texts)
        raise ValueError(
            f"{path} has {counted(len(samples), what)}, but there are {len(table.X):,} rows."
        )
    try:
        return check_samples(samples, len(table.X))
    except ValueError as error:
        raise ValueError(f"{options.images or options.texts}: {error}") from error


def _merge_candidates(clusterer: HiLanderClustering) -> list[MergeCandidate]:
    return [
        MergeCandidate(
            (int(pair.a), int(pair.b)),
            (int(pair.exemplar_a), int(pair.exemplar_b)),
            float(pair.probability),
        )
        for pair in clusterer.merge_candidates(top=_N_CANDIDATES)
    ]
