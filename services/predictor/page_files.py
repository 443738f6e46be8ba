"""The page's files: its own, which lie beside this module, and plotly.js, which the package plotly
brings along.

Invariant: what is at an address never changes, so a browser may keep it for good; only the document
itself, which names the addresses, is asked for each time. Nothing is loaded from another host.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cached_property
from importlib.metadata import distribution
from pathlib import Path

FOLDER = Path(__file__).parent / "page"
DOCUMENT = "index.html"
PLOTLY = "plotly.min.js"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# plotly.js sets the style of what it draws, and writes a style sheet of its own.
SOURCES = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
SECURITY = {
    "Content-Security-Policy": "; ".join(f"{of} {sources}" for of, sources in SOURCES.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
}
FOR_GOOD = {"Cache-Control": "public, max-age=31536000, immutable", **SECURITY}


class PageFile:
    """Args:
    path: read when it is first asked for.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.media_type = MEDIA_TYPES[path.suffix]

    @cached_property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.content, mtime=0)


class PageFiles:
    """Attributes:
    document: with the addresses in it.
    """

    def __init__(self) -> None:
        own = sorted(path for path in FOLDER.iterdir() if path.suffix in MEDIA_TYPES)
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in own)).hexdigest()[:16]
        plotly = distribution("plotly")
        files = {f"{digest}/{path.name}": PageFile(path) for path in own}
        drawing = f"plotly-{plotly.version}/{PLOTLY}"
        files[drawing] = PageFile(Path(str(plotly.locate_file(f"plotly/package_data/{PLOTLY}"))))
        self._files = files
        text = (FOLDER / DOCUMENT).read_text("utf-8")
        text = text.replace("{own}", f"page/{digest}").replace("{plotly}", f"page/{drawing}")
        self.document = text.encode()

    def find(self, version: str, name: str) -> PageFile | None:
        return self._files.get(f"{version}/{name}")
