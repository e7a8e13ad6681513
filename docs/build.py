"""Build the documentation into ``site/``: ``make docs``.

A broken link, an unknown name in the reference or anything that a page would load from another host is
an error. The result opens from a folder, without a server and without a network.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
#: Lets the search work from a folder; the theme would load it from the network.
SHIM, VENDORED = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker/shim.js"
#: What makes a browser load something: of links, only style sheets, icons and the like.
LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc(?:set)?=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*?\shref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|url\(["']?(?:https?:)?//[^)]+\)|@import\s+["'](?:https?:)?//[^"']+""",
    re.IGNORECASE,
)
#: Fences and classes for which the theme loads a library from the network when a page holds them.
FETCHED = re.compile(r"""class=["']?(?:mermaid|glightbox|arithmatex|pyodide)\b""")


def vendor(site: Path) -> None:
    """Let each page load the shim of the search from the site itself."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = os.path.relpath(site / VENDORED, page.parent).replace(os.sep, "/")
        page.write_text(text.replace(SHIM, up), encoding="utf-8")


def loads_from_elsewhere(site: Path) -> list[str]:
    """What the pages and style sheets of a site would load from another host, with the file."""
    found = []
    for path in sorted(site.rglob("*")):
        if path.suffix in {".html", ".css", ".svg"}:
            text = path.read_text(encoding="utf-8")
            found += [
                f"{path.relative_to(site)}: {match.group(0)}"
                for pattern in (LOADS, FETCHED)
                for match in pattern.finditer(text)
            ]
    return found


def main() -> None:
    """Build the site and check it."""
    subprocess.run([sys.executable, ROOT / "docs" / "write_tutorials.py"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit("the documentation has errors")
    vendor(SITE)
    if found := loads_from_elsewhere(SITE):
        sys.exit("the site would load from other hosts:\n" + "\n".join(found))
    sys.stdout.write(f"{SITE / 'index.html'}\n")


if __name__ == "__main__":
    main()
