"""Settings of the documentation; ``make docs`` builds it without the network."""

from rtbids import __version__

project = "rtbids"
author = "the rtbids developers"
project_copyright = author
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {"description": "Real-time fMRI over BIDS", "fixed_sidebar": True, "page_width": "1080px"}
html_static_path: list[str] = []
html_show_sourcelink = False
napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 88
