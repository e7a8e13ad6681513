"""Classes, groups and the codes of PLAsTiCC."""

import pytest

from firstlight.errors import SettingsError, UnknownClassError
from firstlight.taxonomy import (
    CLASSES,
    COARSE,
    ELASTICC,
    ELASTICC_NOT_CLASSIFIED,
    GALACTIC,
    MEANING,
    PLASTICC,
    PLASTICC_WEIGHT,
    Taxonomy,
    class_index,
    from_plasticc,
)

SEED = "AGN CaRT EB ILOT M-dwarf Mira PISN RRL SLSN-I SNIa SNII SNIa-91bg SNIax SNIbc TDE muLens-Single"


def test_the_seeds_sixteen_classes_come_first_and_the_kilonova_last():
    assert " ".join(CLASSES) == SEED + " KN"


def test_every_class_has_a_group_and_a_weight():
    assert set(COARSE) == set(PLASTICC_WEIGHT) == set(CLASSES)


def test_elasticcs_numbers_are_one_a_class_and_agree_with_the_groups():
    assert set(ELASTICC) == set(CLASSES)
    assert len(set(ELASTICC.values()) | {ELASTICC_NOT_CLASSIFIED}) == len(CLASSES) + 1
    groups = {222: "SN-like", 223: "Fast", 224: "Long", 232: "Periodic", 233: "AGN"}
    assert {name: groups[number // 10] for name, number in ELASTICC.items()} == dict(COARSE)


def test_only_tde_and_kilonova_weigh_double():
    assert {name for name, weight in PLASTICC_WEIGHT.items() if weight != 1.0} == {"TDE", "KN"}
    assert PLASTICC_WEIGHT["KN"] == 2.0


def test_galactic_classes_are_stars_and_lenses():
    assert frozenset(CLASSES) >= GALACTIC
    assert len(GALACTIC) == 5


def test_the_codes_cover_all_classes_and_two_more():
    assert set(PLASTICC.values()) - set(CLASSES) == {"muLens-Binary", "muLens-String"}
    assert set(CLASSES) <= set(PLASTICC.values())


def test_class_index_follows_the_order_of_classes():
    assert class_index(CLASSES).tolist() == list(range(17))
    assert class_index([]).tolist() == []


def test_an_unknown_class_is_named_with_the_known_ones():
    with pytest.raises(UnknownClassError, match=r"\['SN IIn'\].*SNIa"):
        class_index(["AGN", "SN IIn"])


def test_plasticc_codes_become_names():
    assert from_plasticc([6, 991, 88]) == ["muLens-Single", "muLens-Binary", "AGN"]


def test_an_unknown_code_is_named_with_the_known_ones():
    with pytest.raises(UnknownClassError, match=r"\[7\].*90"):
        from_plasticc([90, 7])


def test_the_tables_cannot_be_changed():
    with pytest.raises(TypeError):
        PLASTICC[7] = "new"


def test_every_class_has_a_meaning_in_words():
    assert set(MEANING) == set(CLASSES)
    assert len(set(MEANING.values())) == len(CLASSES)


# --- taxonomies of users ------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("SN Ia", "SNIa"),
        ("SN Ia-91T-like", "SNIa"),
        ("SN Iax[02cx-like]", "SNIax"),
        ("SNIIn-MOSFIT", "SNII"),
        ("SN Ib/c", "SNIbc"),
        ("slsn", "SLSN-I"),
        ("QSO", "AGN"),
        ("tde-h-he", "TDE"),
        ("SN IIb", None),
        ("CV", None),
    ],
)
def test_labels_of_surveys_are_translated_unless_they_have_two_readings(label, expected):
    assert Taxonomy().match([label]) == {label: expected}


def test_every_class_is_its_own_label_in_any_spelling():
    for name in CLASSES:
        assert set(Taxonomy().match([name, name.lower(), name.replace("-", " ")]).values()) == {name}


OWN = """
[classes.Ia]
group = "thermonuclear"
aliases = ["type one"]
[classes.CV]
galactic = true
[classes.TDE]
"""


def test_a_taxonomy_of_a_user_is_completed_from_ours(tmp_path):
    path = tmp_path / "classes.toml"
    path.write_text(OWN)
    own = Taxonomy.read(path)
    assert own.classes == ("TDE", "CV", "Ia")
    assert own.galactic == {"CV"}
    assert own.groups == {"TDE": "Long", "CV": "CV", "Ia": "thermonuclear"}
    assert own.match(["SNIa", "SN Ia", "type one", "cv", "SNII"]) == {
        "SNIa": "Ia",
        "SN Ia": "Ia",
        "type one": "Ia",
        "cv": "CV",
        "SNII": None,
    }
    assert Taxonomy.of(own.table()) == own
    assert not own.is_ours
    assert Taxonomy().is_ours


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[classes.one]\n",
        "[classes.a]\n[classes.b]\ncolour = 1\n",
        "[classes.a]\ngalactic = 'yes'\n[classes.b]\n",
        "[classes.a]\naliases = ['x']\n[classes.b]\naliases = ['x']\n",
        "[classes.a]\naliases = ['n-x']\n[classes.b]\naliases = ['NX']\n",
        "[classes.a]\naliases = ['B']\n[classes.b]\n",
        "[classes.a]\nelasticc = 1.5\n[classes.b]\n",
        "[classes]\na = 1\nb = 2\n",
        "[other]\n",
        "[classes",
    ],
)
def test_a_broken_taxonomy_is_refused(tmp_path, text):
    path = tmp_path / "classes.toml"
    path.write_text(text)
    with pytest.raises(SettingsError):
        Taxonomy.read(path)
