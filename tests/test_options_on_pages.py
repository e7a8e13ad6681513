"""Every option on a page, in a tutorial or in a command's example exists in the command beside it."""

import re
from pathlib import Path

import pytest
import typer

from firstlight.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile")),
    *sorted(page for suffix in ("*.md", "*.py") for page in (ROOT / "docs").rglob(suffix)),
    *sorted((ROOT / "src" / "firstlight" / "cli").glob("*.py")),
]
#: A call ends with its line, a comment, another command or the end of its code.
CALL = re.compile(r"\bfirstlight((?: +(?!firstlight\b|#)[^\s`|&;]+)+)")
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def commands() -> dict[str, set[str]]:
    """Options of each command by its name, and of the program by the empty name."""
    group = typer.main.get_command(app)
    found = {"": group} | dict(group.commands)
    for name, command in group.commands.items():
        found |= {f"{name} {part}": one for part, one in getattr(command, "commands", {}).items()}
    return {name: options(command) for name, command in found.items()}


def options(command) -> set[str]:
    return {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}


COMMANDS = commands()


def command_of(words: list[str]) -> str | None:
    """The command that a call names; None if its first words are no command."""
    first, second = (*words, "", "")[:2]
    if f"{first} {second}" in COMMANDS:
        return f"{first} {second}"
    if first.startswith("--"):
        return ""
    return first if first in COMMANDS else None


def named_options(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Commands with the options that stand in their calls, and options that stand alone as code."""
    text = re.sub(r"\\\n[ #>]*", " ", text)  # a line that goes on
    text = re.sub(r'"\n *f?"', "", text)  # a string of Python that goes on
    calls = [words.split() for words in CALL.findall(text)]
    alone = []
    for code in CODE.findall(FENCE.sub("", text)):
        words = code.split()
        if words and words[0] in COMMANDS:
            calls.append(words)
        elif code.startswith("--"):
            alone += OPTION.findall(code)
    pairs = []
    for words in calls:
        name = command_of(words)
        if name is not None:
            pairs += [(name, "")] + [(name, option) for option in OPTION.findall(" ".join(words))]
    return pairs, alone


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_options_of_a_page_exist(page):
    calls, alone = named_options(page.read_text(encoding="utf-8"))
    wrong = sorted({f"firstlight {name} {one}" for name, one in calls if one and one not in COMMANDS[name]})
    wrong += sorted(set(alone) - set().union(*COMMANDS.values()))  # such as `--jobs`, of many commands
    assert wrong == []


def test_options_are_found_where_pages_have_them():
    page = (
        "```console\n$ firstlight classify a.csv \\\n    --out b.csv | head --lines 3\n```\n"
        "`evaluate --truth FILE`, `--prior`, `pip install --no-compile`, `firstlight bundle sign --key K`"
    )
    calls, alone = named_options(page)
    assert [call for call in calls if call[1]] == [
        ("classify", "--out"),
        ("bundle sign", "--key"),
        ("evaluate", "--truth"),
    ]
    assert alone == ["--prior"]
