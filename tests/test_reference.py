"""The reference: generated pages are current, every public name is there, and records follow their schema."""

import importlib.util
import inspect
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import firstlight
from firstlight.stream.results.schema import record_schema
from firstlight.taxonomy import Taxonomy

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / "docs" / "reference"
GOLDEN = sorted((ROOT / "tests" / "golden").glob("stream_*.jsonl"))


@pytest.fixture(scope="module")
def write_reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "docs" / "write_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_generated_pages_are_those_of_today(write_reference):
    for path, text in write_reference.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name}: run `make figures`"


def test_every_setting_has_a_meaning(write_reference):
    rows = [line.split(" | ") for line in write_reference.settings().splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row[0] for row in rows if len(row[3].strip(" |.")) < 5] == []


def test_every_public_name_is_in_the_reference():
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("api-*.md"))
    listed = re.findall(r"^::: firstlight\.(\w+)$", text, flags=re.MULTILINE)
    assert sorted(listed) == sorted(firstlight.__all__)


def test_every_public_member_of_a_public_class_has_a_docstring():
    kinds = [kind for name in firstlight.__all__ if inspect.isclass(kind := getattr(firstlight, name))]
    assert len(kinds) > 5
    bare = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        for name, member in vars(kind).items()
        if not name.startswith("_")
        and (callable(member) or isinstance(member, property | classmethod | staticmethod))
        and not inspect.getdoc(getattr(kind, name))
    ]
    assert bare == []


def test_golden_records_follow_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = record_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    assert len(GOLDEN) >= 4
    statuses = set()
    for path in GOLDEN:
        for line in path.read_text(encoding="utf-8").splitlines()[::7]:
            record = json.loads(line)
            assert list(record) == schema["required"], path.name
            assert [error.message for error in check.iter_errors(record)] == []
            statuses.add(record["status"])
    assert statuses == {"classified", "not_classified"}


def test_the_schema_refuses_a_record_with_a_wrong_class():
    jsonschema = pytest.importorskip("jsonschema")
    record = json.loads(GOLDEN[0].read_text(encoding="utf-8").splitlines()[0]) | {"label": "SNIb"}
    assert not jsonschema.Draft202012Validator(record_schema()).is_valid(record)


def test_the_schema_of_a_bundle_has_its_own_classes_and_groups():
    taxonomy = Taxonomy.of({"nova": {"group": "Fast", "galactic": True}, "SNIa": {}})
    properties = record_schema(taxonomy)["properties"]
    assert properties["label"]["enum"] == ["", "SNIa", "nova"]
    assert list(properties["proba"]["properties"]) == ["SNIa", "nova"]
    assert list(properties["coarse"]["properties"]) == ["SN-like", "Fast"]
    assert properties["set"]["items"]["enum"] == ["SNIa", "nova"]
