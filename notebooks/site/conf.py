"""Sphinx's settings for the course's site. `build.py` prepares the pages and what is said of each notebook."""

project = "kdtutor"
language = "en"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.githubpages", "sphinx.ext.napoleon"]
exclude_patterns = ["README.md", "course-table.md"]  # pages include them
smartquotes_action = "D"  # dashes alone: quotes stay what can be typed

nb_execution_mode = "off"
nb_code_prompt_show = "Show code"
nb_code_prompt_hide = "Hide code"
suppress_warnings = ["mystnb.unknown_mime_type"]  # what a verdict stores for the ledger, beside its text
myst_enable_extensions = ["amsmath", "attrs_block", "colon_fence", "deflist", "dollarmath", "substitution"]
myst_heading_anchors = 2

default_role = "py:obj"  # `fit` is a link where there is such a thing, else it is code
add_module_names = False
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_param = False  # "temperature, alpha: …" stays one entry
napoleon_use_rtype = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "kdtutor"
html_favicon = "static/favicon.svg"
templates_path = ["templates"]
html_css_files = ["site.css"]
html_js_files = ["fold.js"]
mathjax_path = "tex-svg.js"
html_copy_source = False
html_show_sphinx = False
html_use_index = False
html_domain_indices = False
html_sidebars = {"index": []}
html_theme_options = {
    "article_header_end": ["launch"],
    "back_to_top_button": False,
    "footer_start": ["license"],
    "footer_end": [],
    "navbar_align": "left",
    "navbar_persistent": ["search-box"],
    "secondary_sidebar_items": ["page-toc"],
}


def setup(app):
    """Two things that Sphinx has no setting for."""
    app.connect("autodoc-process-signature", signature)
    app.connect("missing-reference", below_the_package)


def signature(app, what, name, thing, options, arguments, returns):
    """A dataclass's defaults that are made anew each time show as `...`."""
    return (arguments.replace("<factory>", "..."), returns) if arguments else None


def below_the_package(app, env, node, content):
    """`training.fit` is kdtutor.training.fit, wherever it is said."""
    if node.get("reftype") == "obj" and "." in node["reftarget"]:
        name = f"kdtutor.{node['reftarget']}"
        return env.domains.python_domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, content)
    return None
