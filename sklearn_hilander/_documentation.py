"""The link from an estimator's HTML representation to its page."""

from __future__ import annotations

from importlib import metadata

_DISTRIBUTION = "sklearn-hilander"


class DocumentationLinkMixin:
    """Link to the page under the address that the distribution names as its documentation.

    It stands as `Documentation` among `project_urls` in setup.cfg. Without it there is no link.
    """

    _doc_link_module = "sklearn_hilander"

    @property
    def _doc_link_template(self) -> str:
        return documentation_url().rstrip("/") + (
            "/generated/{estimator_module}.{estimator_name}.html"
        )

    def _get_doc_link(self) -> str:
        # Of BaseEstimator, which comes after this class in an estimator's bases.
        return super()._get_doc_link() if documentation_url() else ""  # type: ignore[misc]


def documentation_url() -> str:
    """Address of the documentation as the installed distribution names it, or an empty string."""
    try:
        urls = metadata.metadata(_DISTRIBUTION).get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    for url in urls:
        name, _, address = url.partition(",")
        if name.strip().lower() == "documentation":
            return address.strip()
    return ""
