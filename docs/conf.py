"""Sphinx settings. Everything is built offline: no intersphinx inventories."""

from __future__ import annotations

import sklearn_hilander

project = "sklearn_hilander"
author = "The sklearn_hilander developers"
copyright = f"2026, {author}"
version = release = sklearn_hilander.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    # Pictures are drawn when the documentation is built.
    "matplotlib.sphinxext.plot_directive",
    "numpydoc",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
default_role = "literal"

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {release}"
html_show_sourcelink = False
html_theme_options = {"show_nav_level": 2, "show_prev_next": False}

plot_formats = ["png"]
plot_include_source = True
plot_html_show_formats = plot_html_show_source_link = False

autosummary_generate = True
autosummary_ignore_module_all = False
# Types stand in the numpydoc sections, shapes included.
autodoc_typehints = "none"
# The class template lists the methods; a second list would be nested in the docstring.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

nitpicky = True
# Without inventories, names in other packages cannot resolve; ours all have to.
nitpick_ignore_regex = [
    (r"py:.*", r"(joblib|matplotlib|np|numpy|scipy|sklearn|torch)\..*"),
]
