import ast
from pathlib import Path

import firstlight.evaluate as evaluate

FOLDER = Path(evaluate.__file__).parent


def test_public_names_are_there_once() -> None:
    assert len(set(evaluate.__all__)) == len(evaluate.__all__)
    for name in evaluate.__all__:
        assert hasattr(evaluate, name), name


def test_every_module_lists_what_it_offers() -> None:
    for path in FOLDER.glob("*.py"):
        tree = ast.parse(path.read_text())
        listed = [
            node
            for node in tree.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        ]
        assert len(listed) == 1, path.name


def test_the_template_travels_with_the_package() -> None:
    text = (FOLDER / "report.html.j2").read_text()
    assert text.count("<section") == text.count("</section>")
    assert "http" not in text  # nothing is fetched
