"""Write the generated pages of ``docs/reference``: commands, settings, record, errors.

``make figures`` runs it; a test compares the pages with `pages`.
"""

import ast
import dataclasses
import html
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer
from typer.cli import get_docs_for_click

import firstlight.cli
from firstlight import errors
from firstlight.pipeline import PipelineConfig
from firstlight.pipeline.config import preset_names
from firstlight.stream.config import StreamConfig
from firstlight.stream.results.schema import record_schema

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
RECORD = ROOT / "tests" / "golden" / "stream_fast.jsonl"
WRITTEN = "<!-- Written by docs/write_reference.py; do not edit. -->\n\n"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


# --- commands -------------------------------------------------------------------


def commands() -> str:
    """Every command with its arguments and options."""
    group: Any = typer.main.get_command(firstlight.cli.app)
    context = group.make_context("firstlight", [], resilient_parsing=True)
    parts = [
        f"# Commands\n\n{WRITTEN}"
        "`firstlight COMMAND --help` prints the same. Results go to files or stdout, messages to stderr; the "
        "[exit codes](errors.md) are the same for all commands.\n",
        table(
            ("command", "task"),
            [
                (f"[`{name}`](#firstlight-{name})", html.unescape(command.help.splitlines()[0]))
                for name, command in sorted(group.commands.items())
            ],
        ),
        "\n",
    ]
    for name, command in sorted(group.commands.items()):
        text = get_docs_for_click(obj=command, ctx=context, indent=1, name=name, call_prefix="firstlight")
        parts.append(_tidy(text))
    return "\n".join(parts).rstrip() + "\n"


def _tidy(text: str) -> str:
    """Text by typer, without HTML's entities in code and without the option that every command has."""
    lines = [line for line in text.splitlines() if not line.startswith("* `--help`")]
    lines = [re.sub(r"`[^`]*`", lambda code: html.unescape(code.group()), line) for line in lines]
    text = "\n".join(lines).replace("$ firstlight", "firstlight").replace("```console", "```text")
    text = re.sub(r"^Example: (.*)", r"Example:\n\n```text\n\1\n```", text, flags=re.MULTILINE)
    return text.replace("**Options**:\n\n\n", "").rstrip() + "\n"


# --- settings -------------------------------------------------------------------


def settings() -> str:
    """Keys of presets and of the stream's configuration."""
    parts = [
        f"# Settings\n\n{WRITTEN}"
        "Settings are TOML files. A key that a file omits keeps its default; an unknown key is an error.\n\n",
        "## Presets\n\n",
        "`firstlight train --preset FILE` takes a file of these keys, or the name of a preset that ships. "
        "The defaults are not those of the preset `default`, which sets keys of its own (below).\n\n",
        *_tables(PipelineConfig, ""),
        "## Presets that ship\n\n",
    ]
    for name in preset_names():
        text = (resources.files("firstlight") / "presets" / f"{name}.toml").read_text(encoding="utf-8")
        parts.append(f"### {name}\n\n```toml\n{text.rstrip()}\n```\n\n")
    parts += [
        "## The stream\n\n",
        "`firstlight stream --config FILE` takes a file of these keys.\n\n",
        *_tables(StreamConfig, ""),
    ]
    return "".join(parts).rstrip() + "\n"


def _tables(kind: type[Any], place: str) -> Iterator[str]:
    """One table per TOML table, nested ones after their parent."""
    hints, meaning = get_type_hints(kind), field_notes(kind)
    fields = dataclasses.fields(kind)
    keys = [field for field in fields if not dataclasses.is_dataclass(hints[field.name])]
    if place or keys:
        yield f"### {f'Table [{place}]' if place else 'Top level'}\n\n{_first_line(kind)}\n\n"
    if keys:
        first = {note: name for name, note in reversed(meaning.items())}
        rows = [
            (
                f"`{field.name}`",
                _type_name(hints[field.name]),
                f"`{_default(field)}`",
                note if first[note := meaning[field.name]] == field.name else f"See `{first[note]}`.",
            )
            for field in keys
        ]
        yield table(("key", "type", "default", "meaning"), rows) + "\n\n"
    for field in fields:
        if dataclasses.is_dataclass(hints[field.name]):
            yield from _tables(hints[field.name], f"{place}.{field.name}" if place else field.name)


def field_notes(kind: type[Any]) -> dict[str, str]:
    """Description of each field: from the docstring's attributes, or the comment beside or above it.

    A comment above a field describes the fields that follow it without one of their own.
    """
    notes = _attributes(kind)
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    above = ""
    for node in ast.parse(source).body[0].body:  # type: ignore[attr-defined]
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            k = node.lineno - 2
            block: list[str] = []
            while lines[k].strip().startswith("#"):
                block.insert(0, lines[k].strip().lstrip("# "))
                k -= 1
            above = " ".join(block) or above
            beside = lines[node.end_lineno - 1].partition("  # ")[2]  # type: ignore[operator]
            if beside:
                above = ""
            notes.setdefault(node.target.id, _sentence(beside or above))
    return notes


def _attributes(kind: type[Any]) -> dict[str, str]:
    """Descriptions in the section Attributes of a docstring."""
    text = inspect.getdoc(kind) or ""
    section = text.partition("Attributes\n----------\n")[2].partition("\n\n")[0]
    notes: dict[str, str] = {}
    for entry in re.split(r"\n(?=\S)", section):
        head, _, body = entry.partition("\n")
        for name in head.partition(" : ")[0].split(","):
            if name.strip():
                notes[name.strip()] = _code(" ".join(body.split()))
    return notes


def _sentence(text: str) -> str:
    text = _code(text.strip())
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")


def _code(text: str) -> str:
    return text.replace("``", "`")


def _first_line(kind: type[Any]) -> str:
    return _code((inspect.getdoc(kind) or "").partition("\n")[0])


def _type_name(hint: Any) -> str:
    origin, inner = get_origin(hint), [kind for kind in get_args(hint) if kind is not Ellipsis]
    if origin is tuple:
        return f"list of {_type_name(inner[0])}"
    if str(origin) == "typing.Literal":
        return " or ".join(f'`"{value}"`' for value in inner)
    if inner and type(None) in inner:
        return f"{_type_name(next(kind for kind in inner if kind is not type(None)))}, may be left out"
    if inner:
        return f"table of {_type_name(inner[-1])}"
    return {"str": "text", "int": "integer", "float": "number", "bool": "boolean"}.get(
        hint.__name__, hint.__name__
    )


def _default(field: "dataclasses.Field[Any]") -> str:
    value = field.default
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    if value is None:
        return "none"
    return json.dumps(dict(value) if hasattr(value, "keys") else value)


# --- record ---------------------------------------------------------------------


def schema() -> str:
    """The JSON Schema of a record."""
    return json.dumps(record_schema(), indent=2) + "\n"


def record() -> str:
    """Fields of a record, with an example."""
    rows = [
        (f"`{name}`", _json_type(field), field["description"])
        for name, field in record_schema()["properties"].items()
    ]
    lines = RECORD.read_text(encoding="utf-8").splitlines()
    example = next(
        found for found in map(json.loads, lines) if found["status"] == "classified" and found["change"]
    )
    return (
        f"# Record of the stream\n\n{WRITTEN}"
        "`firstlight stream` writes one record per alert: a line of JSON in a file, a message in Kafka with "
        "the object as its key. Every field is always there, in this order. "
        "[record.schema.json](record.schema.json) is the JSON Schema; `--output-format elasticc` writes "
        "ELAsTiCC's `brokerClassification` (Avro) instead, with the other fields as JSON in "
        f"`classifierParams`.\n\n{table(('field', 'type', 'meaning'), rows)}\n\n"
        f"An example, spread over several lines:\n\n```json\n{json.dumps(example, indent=2)}\n```\n"
    )


def _json_type(field: dict[str, Any]) -> str:
    if "enum" in field:
        values = [value for value in field["enum"] if value]
        if len(values) > 8:
            return "text"
        return " or ".join(f"`{value}`" for value in values) + (" or null" if None in field["enum"] else "")
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    names = {"string": "text", "object": "table"}
    return " or ".join(names.get(kind, kind) for kind in kinds)


# --- errors ---------------------------------------------------------------------


def errors_page() -> str:
    """Exit codes, and every exception with its own."""
    kinds = [getattr(errors, name) for name in errors.__all__]
    rows = [
        (
            f"`{kind.__name__}`",
            ", ".join(f"`{base.__name__}`" for base in kind.__bases__ if base is not Exception),
            str(kind.exit_code),
            _first_line(kind),
        )
        for kind in kinds
    ]
    codes = [
        ("0", "success"),
        ("1", "an error in data, bundle or state, or a part that failed"),
        ("2", "wrong usage, or a setting or schema that is missing or wrong"),
        ("3", "a broker that is away, refuses the login or lacks the topic"),
        (str(errors.INTERRUPTED), "interrupted (Ctrl-C)"),
    ]
    return (
        f"# Errors and exit codes\n\n{WRITTEN}"
        "## Exit codes of the commands\n\n"
        f"{table(('code', 'meaning'), codes)}\n\n"
        "Rows and objects that cannot be used do not end a command: they are set aside with their "
        "reasons, and the number is reported.\n\n"
        "## Exceptions of the library\n\n"
        "All are in `firstlight.errors`; `firstlight.FirstlightError` catches every one. The message names "
        f"the fault, its place and the remedy.\n\n"
        f"{table(('exception', 'kind of', 'exit code', 'meaning'), rows)}\n"
    )


def pages() -> dict[Path, str]:
    """Text of each generated page."""
    return {
        REFERENCE / "commands.md": commands(),
        REFERENCE / "settings.md": settings(),
        REFERENCE / "record.md": record(),
        REFERENCE / "record.schema.json": schema(),
        REFERENCE / "errors.md": errors_page(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
