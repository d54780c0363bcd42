"""Progress of a fit, reported to scikit-learn's callbacks where it has them (from 1.9 on).

On an older scikit-learn the mixin is empty, the decorator returns its argument, and a task
does nothing: the estimators need not ask which version they run on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

if TYPE_CHECKING:
    # scikit-learn has no type hints: its decorator would hide those of the methods.
    class CallbackSupportMixin: ...

    def with_callbacks(method: Method) -> Method: ...

else:
    try:
        from sklearn.callback import CallbackSupportMixin, with_callbacks
    except ImportError:  # scikit-learn < 1.9

        class CallbackSupportMixin:
            """Stand-in without methods: this scikit-learn has no callbacks."""

        def with_callbacks(method):
            """Return ``method`` as it is: this scikit-learn has no callbacks."""
            return method


__all__ = ["CallbackSupportMixin", "FitTask", "fit_task", "with_callbacks"]


class FitTask:
    """One task in the tree of tasks that a fit consists of.

    Parameters
    ----------
    estimator : estimator or None, default=None
        The estimator that is being fitted.
    context : sklearn.callback.CallbackContext or None, default=None
        Where the task reports to. None: nowhere. ``FitTask()`` is therefore the task to
        give a training loop that is run outside of a fit.

    Attributes
    ----------
    stop_requested : bool
        Whether a callback asked, when this task ended, that its siblings to come be
        left out.
    """

    def __init__(self, estimator: Any = None, context: Any = None) -> None:
        self._estimator = estimator
        self._context = context
        self.stop_requested = False

    @contextmanager
    def subtask(
        self,
        name: str,
        *,
        n_subtasks: int | None = 0,
        fitted: Callable[[], dict[str, Any]] | None = None,
    ) -> Iterator[FitTask]:
        """Run the body of a ``with`` statement as a subtask of this task.

        Parameters
        ----------
        name : str
            Name of the subtask, as a progress bar shows it.
        n_subtasks : int or None, default=0
            The most subtasks that the subtask has. None: not known beforehand.
        fitted : callable or None, default=None
            Returns the fitted attributes as they would be if the fit stopped at the end
            of the subtask. Called only when a callback asks for a fitted estimator.

        Yields
        ------
        subtask : FitTask
        """
        context = self._context
        if context is not None:
            context = context.subcontext(task_name=name, max_subtasks=n_subtasks)
        subtask = FitTask(self._estimator, context)
        with subtask._reported(fitted=fitted):
            yield subtask

    @contextmanager
    def _reported(
        self, *, X: Any = None, y: Any = None, fitted: Callable[[], dict[str, Any]] | None = None
    ) -> Iterator[None]:
        if self._context is None:
            yield
            return
        self._context.call_on_fit_task_begin(estimator=self._estimator, X=X, y=y)
        # A task that raises has no end: tearing the callbacks down is the decorator's part.
        yield
        self.stop_requested = self._context.call_on_fit_task_end(
            estimator=self._estimator, X=X, y=y, reconstruction_attributes=fitted
        )


@contextmanager
def fit_task(
    estimator: Any,
    *,
    name: str = "fit",
    n_subtasks: int | None = 0,
    X: Any = None,
    y: Any = None,
) -> Iterator[FitTask]:
    """Run the body of a ``with`` statement as the root task of a fit.

    To be entered once in a fit method, or another that fits, itself decorated by
    ``with_callbacks``, of an estimator that inherits ``CallbackSupportMixin``. The estimator must
    be fitted when the body ends.

    Parameters
    ----------
    estimator : estimator
        The estimator that is being fitted.
    name : str, default="fit"
        Name of the task: that of the method.
    n_subtasks : int or None, default=0
        The most subtasks that the fit has. None: not known beforehand.
    X, y : array-like or None, default=None
        The training data, passed on to the callbacks.

    Yields
    ------
    task : FitTask
    """
    start = getattr(estimator, "_init_callback_context", None)
    context = None if start is None else start(task_name=name, max_subtasks=n_subtasks)
    task = FitTask(estimator, context)
    with task._reported(X=X, y=y, fitted=dict):
        yield task
