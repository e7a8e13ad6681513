"""Take the pictures of the live page: ``python docs/write_page_pictures.py [--every FOLDER]``.

Replays the sample of the tests as alerts, classifies them, shows the results and drives chromium. With
``--every`` each page goes to a folder, wide, on a phone, and in the dark, to be looked at.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "data"
IMAGES = ROOT / "docs" / "images"
OBJECT = "145675"  # of the sample
WIDE, PHONE = {"width": 1300, "height": 900}, {"width": 390, "height": 844}
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_MS = 180_000


def main() -> None:
    """Make the records, start the page, take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="fast")
    parser.add_argument("--object", default=OBJECT)
    parser.add_argument("--night", type=Path, help="folder of an earlier run, which is used again")
    parser.add_argument("--every", type=Path, help="folder for all pages in all modes")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as own:
        night = words.night or Path(own)
        if not (night / "classes.jsonl").is_file():
            make_records(night, words.bundle)
        page = subprocess.Popen(
            command("serve", "--results", night / "classes.jsonl", "--data", night / "alerts.avro",
                    "--bundle", words.bundle, "--port", 0, "--max-age", 4000,
                    "--feedback", night / "verdicts.jsonl"),
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert page.stdout is not None
            address = page.stdout.readline().strip()
            threading.Thread(target=page.stdout.read, daemon=True).start()
            with sync_playwright() as play:
                browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
                wait_for_all(browser, address, night / "classes.jsonl")
                take(browser, address, words.object, words.every)
        finally:
            page.terminate()
            page.wait()


def wait_for_all(browser: Browser, address: str, results: Path) -> None:
    """Wait until all objects of the results are ranked."""
    objects = {json.loads(line)["object"] for line in results.read_text(encoding="utf-8").splitlines()}
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    page.wait_for_timeout(2000)
    while f"{len(objects):,} ranked objects" not in page.content():
        page.wait_for_timeout(1000)
        page.reload()
    page.close()


def command(*words: object) -> list[str]:
    """A command of firstlight in this Python."""
    return [sys.executable, "-m", "firstlight", *map(str, words)]


def make_records(night: Path, bundle: str) -> None:
    """Alerts of the sample and their results."""
    night.mkdir(parents=True, exist_ok=True)
    curves = SAMPLE / "plasticc_sample_lightcurves.csv.gz"
    metadata = SAMPLE / "plasticc_sample_metadata.csv.gz"
    ends = ("--source", "alerts.avro", "--sink", "classes.jsonl", "--state", "state", "--until-end")
    for words in (
        ("replay", "--data", curves, "--metadata", metadata, "--sink", "alerts.avro", "--detections-only"),
        ("stream", *ends, "--bundle", bundle),
    ):
        subprocess.run(command(*words), check=True, cwd=night, env=os.environ)


def take(browser: Browser, address: str, name: str, every: Path | None) -> None:
    """Pictures of each page: those of the docs, or all of them in all modes."""
    pages = {
        "tonight": "/?sort=anomaly",
        "object": f"/object?id={name}",
        "sky": "/sky",
        "stream": "/stream",
        "api": "/api",
        "error": "/object?id=nothing",
    }
    modes = {"wide": (WIDE, "light")}
    if every is not None:
        every.mkdir(parents=True, exist_ok=True)
        modes |= {"phone": (PHONE, "light"), "dark": (WIDE, "dark"), "phone-dark": (PHONE, "dark")}
    for mode, (size, scheme) in modes.items():
        context = browser.new_context(viewport=size, color_scheme=scheme)
        context.set_default_timeout(PATIENCE_MS)
        for title, place in pages.items():
            page = context.new_page()
            page.goto(address.rstrip("/") + place)
            page.wait_for_timeout(1500)
            while "ranking is being computed" in page.content():
                page.wait_for_timeout(1000)
                page.reload()
            if title == "object":
                page.wait_for_selector("#explained ul, #explained p:not(:text('Computing'))")
                page.wait_for_timeout(1500)
            if every is not None:
                page.screenshot(path=every / f"{title}-{mode}.png", full_page=True)
                wider = page.evaluate("document.documentElement.scrollWidth > innerWidth")
                sys.stdout.write(f"{title}, {mode}{': wider than the window' if wider else ''}\n")
            elif title in ("tonight", "object"):
                page.screenshot(path=IMAGES / f"page-{title}.png")
                if title == "object":
                    page.locator("section:has(> #explained)").screenshot(path=IMAGES / "page-explained.png")
            elif title == "sky":
                page.locator("main").screenshot(path=IMAGES / "page-sky.png")
            page.close()
        context.close()


if __name__ == "__main__":
    main()
