"""Build the documentation into ``site/``: ``make docs``.

A broken link, an unknown name in the reference or anything that a page would load from another host is
an error. The result opens from a folder, without a server and without a network.
"""

import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
#: Lets the search work from a folder; the theme would load it from the network.
SHIM, VENDORED = "https://unpkg.com/iframe-worker/shim", "assets/iframe-worker/shim.js"
#: Lists of pages; the navigation is made of them, and they are no pages themselves.
LISTS = "SUMMARY.html"
#: Tags that make a browser load something: of links, only style sheets, icons and the like.
LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc(?:set)?=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|<link\b[^>]*?\shref=["']?(?:https?:)?//[^"'\s>]+"""
    r"""|url\(["']?(?:https?:)?//[^)]+\)|@import\s+["'](?:https?:)?//[^"']+""",
    re.IGNORECASE,
)
LINKS = re.compile(r"""<(?:a|img|link|script)\b[^>]*?\s(?:href|src)=["']?([^"'\s>]+)""")
IDS = re.compile(r"""\s(?:id|name)=["']?([^"'\s>]+)""")
#: Fences and classes for which the theme loads a library from the network when a page holds them.
FETCHED = re.compile(r"""class=["']?(?:mermaid|glightbox|arithmatex|pyodide)\b""")
#: A server shows this page for any address, so it needs no other file; its script finds the first page.
MISSING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Not found - firstlight</title>
<style>
body { font: 1rem/1.6 system-ui, sans-serif; margin: 4rem auto; max-width: 36rem; padding: 0 1.5rem; }
</style>
</head>
<body>
<h1>There is no such page</h1>
<p>It may have been moved or renamed. <a id="home" href="index.html">The first page of the documentation</a>
lists all of them, and has a search.</p>
<script>
(async () => {
  for (let up = "./", k = location.pathname.split("/").length; k > 1; k--, up += "../") {
    const found = await fetch(up + "search.json", {method: "HEAD"}).catch(() => null);
    if (found && found.ok) { document.getElementById("home").href = up + "index.html"; return; }
  }
})();
</script>
</body>
</html>
"""


def vendor(site: Path) -> None:
    """Let each page load the shim of the search from the site itself."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        up = os.path.relpath(site / VENDORED, page.parent).replace(os.sep, "/")
        page.write_text(text.replace(SHIM, up), encoding="utf-8")


def without_lists(site: Path) -> None:
    """Remove the lists of pages from the site and from the index of its search."""
    for page in site.rglob(LISTS):
        page.unlink()
    path = site / "search.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    index["items"] = [
        item for item in index["items"] if not item["location"].partition("#")[0].endswith(LISTS)
    ]
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".js").write_text(f"var __index = {text};", encoding="utf-8")


def loads_from_elsewhere(site: Path) -> list[str]:
    """Addresses on other hosts that the pages and style sheets of a site would load, with the file."""
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


def broken_links(site: Path) -> list[str]:
    """Links between pages whose file or heading does not exist; the builder misses those over two lines."""
    texts = {page.resolve(): page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    ids = {page: {unescape(found) for found in IDS.findall(text)} for page, text in texts.items()}
    broken = []
    for page, text in texts.items():
        for link in {unescape(found) for found in LINKS.findall(text)}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file():
                broken.append(f"{page.relative_to(site.resolve())}: {link} does not exist")
            elif parts.fragment and target in ids and unquote(parts.fragment) not in ids[target]:
                broken.append(f"{page.relative_to(site.resolve())}: no heading {link}")
    return sorted(broken)


def main() -> None:
    """Build the site and check it."""
    subprocess.run([sys.executable, ROOT / "docs" / "write_tutorials.py"], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        sys.exit("the documentation has errors")
    vendor(SITE)
    (SITE / "404.html").write_text(MISSING, encoding="utf-8")
    without_lists(SITE)
    if found := loads_from_elsewhere(SITE):
        sys.exit("the site would load from other hosts:\n" + "\n".join(found))
    if found := broken_links(SITE):
        sys.exit("\n".join(found))
    sys.stdout.write(f"{SITE / 'index.html'}\n")


if __name__ == "__main__":
    main()
