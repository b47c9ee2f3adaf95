"""How Sphinx builds the documentation: `sphinx-build -W -b html docs docs/_build`."""

import gc
import pathlib
import sys

# Parsed pages are millions of objects that stay. Examining them again and again takes 40 % of a
# build.
gc.disable()

sys.path[:0] = [str(pathlib.Path(__file__).parent), str(pathlib.Path(__file__).parents[1])]

import api_pages

import examine_jax  # noqa: F401  # an error here is clearer than one warning a page

project = "examine_jax"
author = "the examine_jax authors"
html_title = "examine_jax"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["_build"]
# One short name in two rooms (a class's `dtype`) is no error.
suppress_warnings = ["ref.python"]
html_theme = "furo"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Docstrings are Google's form with one more section.
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_custom_sections = ["Source"]

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True


def setup(app):  # type: ignore[no-untyped-def]
    """Writes the API pages before the build.

    It makes docstrings valid reStructuredText before napoleon reads them.
    """
    app.connect("builder-inited", lambda app: api_pages.write(pathlib.Path(app.srcdir) / "api"))
    app.connect("autodoc-skip-member", api_pages.skip_member)
    app.connect("autodoc-process-docstring", api_pages.process_docstring, priority=100)
