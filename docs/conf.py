"""How Sphinx builds the site: ``sphinx-build -W docs docs/_build``; no network is needed."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import generate

import probe

project = "probe"
author = "The probe developers"
release = version = probe.__version__
copyright = author

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build", "_templates", "jupyter_execute"]
default_role = "py:obj"  # of `names` in docstrings
templates_path = ["_templates"]

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # numpydoc's sections give types, with shapes and units
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

smartquotes = False  # of --flags
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = (
    "cache"  # a notebook runs again when it changes; -D nb_execution_mode=off: never
)
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_merge_streams = True
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "probe"
html_theme_options = {
    "show_nav_level": 1,
    "navigation_with_keys": False,
    "navbar_persistent": ["search-button"],  # a field makes the header wrap at 1,000 pixels
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": []}
html_show_sourcelink = False


def setup(app):
    """Write what is generated before Sphinx reads its sources."""
    generate.write(Path(app.srcdir))
