"""The room between our fits and scikit-learn's callbacks."""

from __future__ import annotations

import runpy
import sys

import pytest
from sklearn.base import BaseEstimator

from sklearn_hilander import _callbacks
from sklearn_hilander._callbacks import (
    CallbackSupportMixin,
    FitTask,
    fit_task,
    with_callbacks,
)

try:
    import sklearn.callback as sk_callback
except ImportError:
    sk_callback = None


class Counter(CallbackSupportMixin, BaseEstimator):
    """Counts to ``max_iter``, an epoch a number."""

    def __init__(self, max_iter=3, fail_at=None):
        self.max_iter = max_iter
        self.fail_at = fail_at

    @with_callbacks
    def fit(self, X, y=None):
        with fit_task(self, n_subtasks=1, X=X, y=y) as root:
            with root.subtask("count", n_subtasks=self.max_iter) as task:
                count = count_up(self.max_iter, task, self.fail_at)
            self.count_ = count
        return self


def count_up(max_iter, task, fail_at=None):
    counted = []
    for _ in range(max_iter):
        with task.subtask("epoch", fitted=lambda: {"count_": len(counted)}) as epoch:
            counted.append(epoch)
            if len(counted) == fail_at:
                raise RuntimeError("cannot count so far")
        if epoch.stop_requested:
            break
    return len(counted)


class Recorder:
    """A callback that writes down what it is told, and may ask to stop."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.events = []

    def setup(self, estimator, context):
        self.events.append(("setup",))

    def teardown(self, estimator, context):
        self.events.append(("teardown",))

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self.events.append(("begin", context.task_name, context.max_subtasks, X))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        count = getattr(fitted_estimator, "count_", None)
        self.events.append(("end", context.task_name, count))
        return context.task_name == "epoch" and count == self.stop_at


with_sklearn_callbacks = pytest.mark.skipif(
    sk_callback is None, reason="this scikit-learn has no callbacks"
)


def test_fit_without_callbacks_runs_every_task():
    assert Counter(max_iter=4).fit([[0]]).count_ == 4


def test_task_outside_of_a_fit_does_nothing():
    assert count_up(2, FitTask()) == 2


@with_sklearn_callbacks
def test_tasks_are_reported_in_order_with_the_fitted_state():
    recorder = Recorder()
    Counter(max_iter=2).set_callbacks(recorder).fit([[0]])
    assert recorder.events == [
        ("setup",),
        ("begin", "fit", 1, [[0]]),
        ("begin", "count", 2, None),
        ("begin", "epoch", 0, None),
        ("end", "epoch", 1),
        ("begin", "epoch", 0, None),
        ("end", "epoch", 2),
        ("end", "count", None),
        ("end", "fit", 2),
        ("teardown",),
    ]


@with_sklearn_callbacks
def test_a_callback_can_stop_the_epochs():
    counter = Counter(max_iter=5).set_callbacks(Recorder(stop_at=2))
    assert counter.fit([[0]]).count_ == 2


@with_sklearn_callbacks
def test_callbacks_are_torn_down_when_the_fit_fails():
    recorder = Recorder()
    counter = Counter(fail_at=2).set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="cannot count so far"):
        counter.fit([[0]])
    assert recorder.events[-2:] == [("begin", "epoch", 0, None), ("teardown",)]
    assert counter.set_params(fail_at=None).fit([[0]]).count_ == 3


@with_sklearn_callbacks
def test_progress_bar_shows_the_tasks(capsys):
    pytest.importorskip("rich")
    Counter(max_iter=2).set_callbacks(sk_callback.ProgressBar()).fit([[0]])
    shown = capsys.readouterr().out
    assert "Counter - fit" in shown
    assert "Counter - count" in shown
    assert "100%" in shown


def test_room_degrades_to_nothing_without_sklearn_callback(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.callback", None)  # as before scikit-learn 1.9
    room = runpy.run_path(_callbacks.__file__)

    class OldCounter(room["CallbackSupportMixin"]):
        @room["with_callbacks"]
        def fit(self):
            with room["fit_task"](self, n_subtasks=1) as root:
                with root.subtask("count", n_subtasks=3) as task:
                    self.count_ = count_up(3, task)
            return self

    assert OldCounter().fit().count_ == 3
    assert not hasattr(OldCounter, "set_callbacks")
