"""The site: lessons, guide and API reference as static pages, built without a network by `make site`.

Pages of the repository (README, docs, notebooks) are copied into the build's folder first: they stay where
readers of the repository look for them.
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

from gallery import write_gallery  # noqa: E402

project = "minirnn"
author = "the authors of minirnn"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "docstrings",
]
html_theme = "furo"
html_title = "minirnn"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build", "_ext", "lessons/*.md"]

# Notebooks bring their outputs; `make notebooks` is what compares them with what they give now.
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # the default is a script of another host
nb_mime_priority_overrides = [("html", "text/html", 0)]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
# Links from one page of the repository to a file that is no page (a module, a test) stay text.
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_default_options = {"exclude-members": "set"}  # matplotlib makes one for Picture
napoleon_use_ivar = True


def gathered() -> None:
    """Copy the repository's pages to where Sphinx reads."""
    for name, pattern in (("guide", "docs/*"), ("lessons", "notebooks/*.ipynb")):
        target = HERE / name
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file() and path.suffix != ".html":
                shutil.copy(path, target / path.name)
    extra = HERE / "extra"
    shutil.rmtree(extra, ignore_errors=True)
    extra.mkdir()
    shutil.copy(ROOT / "docs" / "misalignment.html", extra / "misalignment.html")
    shutil.rmtree(HERE / "pictures", ignore_errors=True)
    write_gallery(ROOT / "notebooks", HERE / "pictures")
    for path in (HERE / "lessons").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        link = "[`docs/misalignment.html`](../docs/misalignment.html)"
        own = "<a href='../misalignment.html'>The misalignment page</a>"
        path.write_text(text.replace(link, own), "utf-8")


gathered()
html_extra_path = ["extra"]


def _no_other_host(app: object, error: Exception | None) -> None:
    """The theme's own credit stays, as text: no page has an address of another host."""
    if error is None:
        for path in Path(app.outdir).rglob("*.html"):
            text = path.read_text(encoding="utf-8")
            # Links of the repository to its modules lead nowhere here; they stay as names.
            away = r'<a [^>]*href="(?:https?://|#\.\./)[^"]*"[^>]*>(.*?)</a>'
            plain = re.sub(away, r"\1", text, flags=re.S)
            if plain != text:
                path.write_text(plain, encoding="utf-8")


def setup(app: object) -> None:
    """Sphinx calls this."""
    app.connect("build-finished", _no_other_host)
