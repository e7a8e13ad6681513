from pathlib import Path

from firstlight.report import html


def test_the_template_fetches_nothing() -> None:
    text = (Path(html.__file__).parent / "report.html.j2").read_text()
    assert text.count("<section") == text.count("</section>")
    assert "http" not in text
