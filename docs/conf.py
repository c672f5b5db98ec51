"""Sphinx configuration of the documentation site; built with warnings as errors by ``make docs``."""

project = "CohortLens"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "CohortLens"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
