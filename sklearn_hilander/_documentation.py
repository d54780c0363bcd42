"""The link from an estimator's HTML representation to its page."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

_DISTRIBUTION = "sklearn-hilander"
_PAGES = Path(__file__).resolve().parent / "documentation"


class DocumentationLinkMixin:
    """Link to the estimator's page: the one that is online, or the one that is installed.

    Online it is under the address that the distribution names as `Documentation` among
    `project_urls` in setup.cfg. Without that, the link leads to a page among the package's own
    files, and there is none where these are not in a folder.
    """

    _doc_link_module = "sklearn_hilander"

    @property
    def _doc_link_template(self) -> str:
        address = documentation_url().rstrip("/")
        folder = f"{address}/generated" if address else _PAGES.as_uri()
        # An address is no template: a folder may have braces in its name.
        folder = folder.replace("{", "{{").replace("}", "}}")
        return folder + "/{estimator_module}.{estimator_name}.html"

    def _get_doc_link(self) -> str:
        # Of BaseEstimator, which comes after this class in an estimator's bases.
        link = super()._get_doc_link()  # type: ignore[misc]
        is_online = bool(documentation_url())
        return link if is_online or (_PAGES / link.rpartition("/")[2]).is_file() else ""


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
