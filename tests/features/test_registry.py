"""The list of features: unique, described, and the same as in the documentation."""

import importlib.util
from pathlib import Path

from firstlight.features import TemplateConfig, features
from firstlight.features.registry import document, template_features

DOCS = Path(__file__).parents[2] / "docs"
ALL = features() + template_features(TemplateConfig().classes)


def test_every_feature_is_named_once_and_described() -> None:
    names = [feature.name for feature in ALL]
    assert len(set(names)) == len(names)
    assert all(feature.description and feature.unit for feature in ALL)
    assert all(len(feature.description) < 120 for feature in ALL)


def test_redshift_features_say_so() -> None:
    needs = {feature.name for feature in ALL if feature.needs_redshift}
    assert {"redshift", "absolute_r", "rest_colour_4400_5500_+0", "template_evidence_SNIa"} <= needs
    assert not {"n_obs", "gp_peak_flux_r", "match_evidence_SNIa", "ebv"} & needs


def test_no_feature_is_a_position_name_or_date() -> None:
    names = {feature.name for feature in ALL}
    assert not names & {"ra", "dec", "object_id", "mjd", "latitude", "longitude"}


def test_the_table_has_one_row_per_feature() -> None:
    table = document(ALL)
    assert sum(line.startswith("| `") for line in table.splitlines()) == len(ALL)
    assert "## Statistics" in table


def test_documentation_is_up_to_date() -> None:
    """Else run ``python docs/write_features.py``."""
    spec = importlib.util.spec_from_file_location("write_features", DOCS / "write_features.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (DOCS / "reference" / "features.md").read_text() == module.text()
