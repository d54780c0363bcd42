"""Training of the dimension-free architecture: links, then a judge on merges of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sklearn_hilander._files._checkpoint import Checkpoint
from sklearn_hilander._graph._pair_graph import PairGraph
from sklearn_hilander._linkage._linkage_model import STAGES
from sklearn_hilander._linkage._linkage_training import (
    N_FOLDS,
    LabelledGraph,
    outside_fold,
    train_linkage,
)
from sklearn_hilander._linkage._perceptron import Perceptrons
from sklearn_hilander._linkage._perceptron_training import (
    PerceptronSettings,
    kept_as_one,
    kept_perceptrons,
)
from sklearn_hilander._rounds._decoder_choice import choose_decoder
from sklearn_hilander._rounds._decoders import similarity_judge
from sklearn_hilander._rounds._lessons import LOWEST, School
from sklearn_hilander._rounds._relational import RelationalModel

_LOWEST_FOR_TRUTH = 0.4
# Rounds of earlier passes that the next pass trains on too.
_REMEMBERED = 25


def train_relational(
    data: list[LabelledGraph],
    build_graph: Callable[..., PairGraph],
    *,
    max_iter: int,
    settings: PerceptronSettings,
    seed: int,
    on_network: Callable[[float], None],
    start: Perceptrons | None = None,
    checkpoint: Checkpoint | None = None,
    n_stages: tuple[int, int] = STAGES,
    as_one: bool = False,
) -> tuple[RelationalModel | None, float, list[float]]:
    """Learn from labelled data sets; every score is made by networks of other classes.

    Parameters
    ----------
    data : list of LabelledGraph
        Those without a pair are left out.
    build_graph : callable
    max_iter : int
        Passes over the merges: the first on those that labels and probabilities make, the others on
        those that the judge itself makes, which a judge to start from does in the first, too.
    settings : PerceptronSettings
    seed : int
    on_network : callable
        Called with the loss of each network.
    start : Perceptrons, optional
        A judge of other data to go on from: it makes merges of its own from the first pass on.
    checkpoint : Checkpoint, optional
        Where the networks of each stage and pass are kept. Relations and rounds are computed again.
    n_stages : tuple of int, default=STAGES
        Of linkage, on the graph as given, and on that of whitened embeddings.
    as_one : bool, default=False
        The networks of the folds are taught to one, which is as many times quicker. On data like
        that they learned from it says what they do.

    Returns
    -------
    model : RelationalModel or None
        None if there is no pair to learn from.
    linkage_threshold : float
        Half of the best F on the training samples, judged out of fold, or more where that is low or
        near 1; or the nearest whose BCubed F is as good as the best.
    loss_curve : list of float
        Mean loss of the judges of each pass.
    """
    data = [one for one in data if len(one.graph.i)]
    if not data:
        return None, 0.5, []
    checkpoint = checkpoint or Checkpoint()
    linkage, links = train_linkage(
        data,
        build_graph,
        settings=settings,
        seed=seed,
        on_network=on_network,
        checkpoint=checkpoint,
        n_stages=n_stages,
        as_one=as_one,
    )
    random = np.random.RandomState(seed)
    schools = [School(one, of_one, random) for one, of_one in zip(data, links, strict=True)]
    judges = start = start and start.repeated(N_FOLDS)
    loss_curve = []
    for number in range(max_iter):
        for school in schools:
            if number == 0:
                school.attend(school.truth_judge, _LOWEST_FOR_TRUTH)
                school.attend(similarity_judge, _LOWEST_FOR_TRUTH)
            if judges is not None:
                school.attend(school.out_of_fold_judge(judges), LOWEST)
        lessons = [lesson for school in schools for lesson in school.lessons]
        features, targets, weights, fold_i, fold_j = (
            np.concatenate(parts) for parts in zip(*lessons, strict=True)
        )
        # One judge a fold.
        judges, losses = kept_perceptrons(
            checkpoint,
            f"judges {number}",
            features,
            targets,
            [outside_fold(fold, fold_i, fold_j) for fold in range(N_FOLDS)],
            weights=weights,
            settings=settings,
            seed=seed + 100 * (number + 1),
            start=start,
        )
        if number < 2:
            for school in schools:
                school.lessons = school.lessons[-_REMEMBERED:]
        loss_curve.append(float(np.mean(losses)))
        for loss in losses:
            on_network(loss)
    assert judges is not None, "there is one pass at least"
    chosen_by = [school for school, one in zip(schools, data, strict=True) if one.to_choose_by]
    chosen_by = chosen_by or schools
    threshold, decoder, scores = choose_decoder(chosen_by, judges)
    if as_one:
        judges = kept_as_one(
            checkpoint,
            "judge as one",
            judges,
            features,
            weights=weights,
            settings=settings,
            seed=seed + 50 * (max_iter + 1),
        )
    n_learned = sum(len(school.y) for school in chosen_by)
    model = RelationalModel(linkage, judges, threshold, decoder, scores, n_learned)
    return model, threshold, loss_curve
