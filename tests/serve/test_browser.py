"""The page in a real browser, as an observer uses it in a night."""

import csv
import io
import json
import shutil
import urllib.request
from pathlib import Path

import pytest
from tests.serve._night import lines, make_desk, make_record, night_of_records, wait_until

from firstlight.serve.run import listen, serving

CHROMIUM = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
if CHROMIUM is None:
    pytest.skip("no chromium on this machine: install Debian's package `chromium`", allow_module_level=True)
playwright_api = pytest.importorskip("playwright.sync_api", reason="the tests of the page need playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="they need axe-playwright-python")

PATIENCE_MS = 90_000  # a busy machine starts a browser slowly
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as play:
        own = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS)
        yield own
        own.close()


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A night that goes on: its folder, its desk and its address."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "classes.jsonl").write_bytes(lines(*night_of_records(150)))
    desk = make_desk(folder / "classes.jsonl", feedback=folder / "verdicts.jsonl")
    with desk, serving(desk, listen("127.0.0.1", 0), name="classes.jsonl") as address:
        wait_until(lambda: desk.board.n_records == 450)
        wait_until(lambda: desk.snapshot().ranking is not None and not desk.tonight.is_behind)
        yield folder, desk, address


@pytest.fixture
def page(browser):
    """A new page; anything that the content policy blocks, and any error of a script, fails the test."""
    context = browser.new_context(viewport={"width": 1300, "height": 800}, color_scheme="light")
    context.set_default_timeout(PATIENCE_MS)
    own = context.new_page()
    faults: list[str] = []
    own.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    own.on("pageerror", lambda error: faults.append(str(error)))
    yield own
    context.close()
    assert [text for text in faults if not any(code in text for code in ("404", "422", "ERR_"))] == []


def test_a_night_filter_open_go_back_export_and_give_verdicts(page, night):
    folder, desk, address = night
    page.goto(address)
    assert page.locator("#n").inner_text() == "150"
    # filter: the address says so
    page.select_option("select[name=class]", "KN")
    playwright_api.expect(page.locator("#n")).to_have_text("8", timeout=PATIENCE_MS)
    assert page.url.endswith("?class=KN")
    # sort by anomaly from the keyboard
    page.get_by_role("link", name="anomaly").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=anomaly*")
    values = [float(text) for text in page.locator("tbody tr td:nth-child(12)").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    # open the first object, look, and go back to the same table
    page.keyboard.press("j")
    name = page.evaluate("document.activeElement.textContent")
    page.keyboard.press("Enter")
    page.wait_for_selector("#plot-curve canvas")
    assert page.locator("h1").inner_text() == name
    assert page.locator("#plot-chances canvas").count() == 1
    assert "KN" in page.locator(".reasons").inner_text()
    page.keyboard.press("i")
    playwright_api.expect(page.locator("#verdict b")).to_have_text("interesting", timeout=PATIENCE_MS)
    page.keyboard.press("u")
    page.wait_for_url("**class=KN*")
    assert "sort=anomaly" in page.url
    page.wait_for_function("name => document.activeElement.textContent === name", arg=name)
    # export the shown rows
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [row["class"] for row in rows] == ["KN"] * 8
    assert {row["object"]: row["verdict"] for row in rows}[name] == "interesting"
    # the verdict is in the file that `anomalies` reads
    given = json.loads((folder / "verdicts.jsonl").read_text())
    assert (given["object"], given["verdict"], given["label"]) == (name, "interesting", "KN")
    assert desk.verdicts()[name].bundle == "fast-1"


def test_a_filter_that_is_wrong_is_named_and_the_table_stays(page, night):
    _, _, address = night
    page.goto(f"{address}?q=obj01")
    before = page.locator("#n").inner_text()
    wrong = playwright_api.expect(page.locator("#wrong"))
    page.fill("#q", "999 999")
    page.keyboard.press("Enter")
    wrong.to_contain_text("right ascension is within 0 and 360", timeout=PATIENCE_MS)
    assert page.locator("#n").inner_text() == before
    page.fill("#q", "obj01")
    page.keyboard.press("Enter")
    wrong.to_be_empty(timeout=PATIENCE_MS)
    page.fill("input[name=min_probability]", "7")
    page.keyboard.press("Enter")
    wrong.to_contain_text("from 0 to 1", timeout=PATIENCE_MS)
    page.fill("input[name=min_probability]", "0.83")  # between two steps of the box
    page.keyboard.press("Enter")
    page.wait_for_url("**min_probability=0.83*")
    wrong.to_be_empty(timeout=PATIENCE_MS)


def test_new_records_appear_by_themselves_and_the_keyboard_keeps_its_place(page, night):
    folder, _, address = night
    page.goto(f"{address}?q=obj00")
    page.locator("a.object").nth(3).focus()
    held = page.evaluate("document.activeElement.textContent")
    with (folder / "classes.jsonl").open("ab") as file:
        file.write(lines(make_record("obj00-new", 9, "TDE", 0.9)))
    page.get_by_role("link", name="obj00-new").wait_for()
    assert page.evaluate("document.activeElement.textContent") == held


def test_foreign_text_is_shown_and_never_obeyed(page, night):
    folder, desk, address = night
    evil = "<img src=x onerror=alert(1)>'\";{{7*7}}"
    with (folder / "classes.jsonl").open("ab") as file:
        file.write(lines(make_record(evil, 1, "KN", 0.9, alert="<script>alert(2)</script>")))
    wait_until(lambda: desk.board.bundles_of(evil) != [])
    page.on("dialog", lambda dialog: pytest.fail("a script ran"))
    page.goto(f"{address}?q=onerror")
    assert page.locator("a.object").inner_text() == evil
    page.locator("a.object").click()
    assert page.locator("h1").inner_text() == evil
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(
    ("width", "scheme"), [(1300, "light"), (390, "dark")], ids=["wide and light", "phone and dark"]
)
def test_axe_has_no_serious_finding_and_nothing_sticks_out(browser, night, width, scheme):
    folder, desk, address = night
    with (folder / "classes.jsonl").open("ab") as file:
        file.write(b'{"a":' * 5000 + b"\n")  # no record, for a long reason
    wait_until(lambda: desk.parser.refusals.n > 0)
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    try:
        pages = ("", "object?id=obj003", "sky", "stream", "api", "?nothing=1")
        for path in pages if scheme == "light" else (*pages[:2], "stream"):
            page.goto(address + path)
            found = axe.Axe().run(page)
            serious = [
                (one["id"], one["nodes"][0]["html"])
                for one in found.response["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert serious == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
    finally:
        context.close()


def test_the_whole_page_comes_from_this_machine(browser, night):
    _, _, address = night
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("", "object?id=obj003", "sky"):
        page.goto(address + path)
    context.close()
    assert asked
    assert all(url.startswith(address) for url in asked)


def test_the_five_lines_of_the_api_page_run(page, night, capsys):
    _, _, address = night
    page.goto(address + "api")
    code = page.locator("pre").inner_text()
    assert len([line for line in code.splitlines() if line.strip()]) <= 6
    exec(compile(code, "api page", "exec"), {})  # noqa: S102  (our own page)
    assert capsys.readouterr().out.startswith("obj")
    with urllib.request.urlopen(address + "api/openapi.json") as answer:
        assert json.load(answer)["openapi"].startswith("3")
