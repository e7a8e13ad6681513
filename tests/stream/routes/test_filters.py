"""Filters: passing and unknown records, and the mark under a fault."""

import contextlib
import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstlight.stream.results.schema import record_schema
from firstlight.stream.routes.filters import FilterError, fields_of, parse_filter
from firstlight.taxonomy import CLASSES, COARSE_GROUPS, Taxonomy

FIELDS = fields_of(Taxonomy())
RECORD = {
    "status": "classified",
    "label": "KN",
    "proba": dict.fromkeys(CLASSES, 0.0) | {"KN": 0.7, "SLSN-I": 0.1},
    "coarse": dict.fromkeys(COARSE_GROUPS, 0.0) | {"SN-like": 0.2},
    "anomaly": 0.25,
    "phase": 2.0,
    "mag": None,
    "slope": -0.3,
    "n_obs": 7,
    "late": True,
    "band": "g",
}


def passes(text, **changes):
    return parse_filter(text, FIELDS)(RECORD | changes)


@pytest.mark.parametrize(
    "text",
    [
        "KN > 0.5 and phase <= 3",
        "SLSN-I>0.05 or phase > 100",
        "proba.KN == 0.7",
        'proba["SLSN-I"] == .1',
        "coarse['SN-like'] >= 2e-1",
        "SN-like < +0.3",
        "not (KN > 0.9)",
        "not KN > 0.9",
        "0 < KN < 1 and 0.5 < KN",
        "label in ['SNIa', \"KN\"]",
        "label not in ['SNIa']",
        "n_obs in [1, 7]",
        "mag == null and anomaly != null",
        "late and late == true",
        "(((late)))",
        "slope < -0.1",
        "anomaly > 1 or KN > 0.5 or mag < 20",
        "label == 'KN' and status == 'classified'",
        "KN > anomaly",
    ],
)
def test_a_record_passes(text):
    assert passes(text)


@pytest.mark.parametrize(
    "text",
    [
        "KN > 0.7",
        "phase > 2",
        "late == false",
        "label != 'KN'",
        "not late",
        "0.8 < KN < 1",
        "anomaly == null",
    ],
)
def test_a_record_does_not_pass(text):
    assert not passes(text)


@pytest.mark.parametrize(
    "text", ["mag < 20", "not mag < 20", "mag >= 20", "not (mag < 20 and late)", "15 < mag", "mag in [1]"]
)
def test_an_expression_of_a_missing_value_does_not_pass(text):
    assert not passes(text)
    assert passes(f"{text} or late")
    assert not passes(f"late and ({text})")


def test_the_frequencies_of_an_object_that_is_not_classified_are_no_probabilities():
    assert not passes("KN > 0.5", status="not_classified")
    assert not passes("KN < 0.9", status="not_classified")
    assert passes("KN == null", status="not_classified")


def expressions():
    names = st.sampled_from(["KN", "phase", "mag", "n_obs", "anomaly"])
    numbers = st.sampled_from([0.0, 0.25, 0.7, 2.0, 7.0])
    signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
    leaves = st.tuples(st.just("compare"), names, signs, numbers)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.just("not"), inner),
            st.tuples(st.sampled_from(["and", "or"]), inner, inner),
        ),
        max_leaves=8,
    )


def text_of(tree) -> str:
    kind, *rest = tree
    if kind == "compare":
        return " ".join(map(str, rest))
    if kind == "not":
        return f"not ({text_of(rest[0])})"
    return f"({text_of(rest[0])}) {kind} ({text_of(rest[1])})"


def truth_of(tree) -> bool | None:
    """Kleene's logic, written another way."""
    kind, *rest = tree
    if kind == "compare":
        name, sign, number = rest
        value = RECORD["proba"]["KN"] if name == "KN" else RECORD[name]
        compare = {"<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}[sign]
        return None if value is None else getattr(operator, compare)(value, number)
    parts = [{None: 0.5}.get(truth_of(part), truth_of(part)) for part in rest]
    found = 1 - parts[0] if kind == "not" else min(parts) if kind == "and" else max(parts)
    return {0: False, 1: True}.get(found)


@given(expressions())
def test_any_filter_is_as_three_valued_logic_says(tree):
    assert passes(text_of(tree)) is (truth_of(tree) is True)


@pytest.mark.parametrize(
    ("text", "marked", "message"),
    [
        ("KM > 0.5", "KM", "did you mean KN"),
        ("KN > 0.5 and phse < 3", "phse", "did you mean phase"),
        ("KN > 0.5 adn late", "adn", "expected and, or"),
        ("KN = 0.5", "=", "write == to compare"),
        ("KN > 0.5 && late", "&", "write and"),
        ("KN", "KN", "this is a number: compare it"),
        ("late and KN", "KN", "this is a number"),
        ("label > 'KN'", ">", "compared by == and != only"),
        ("label == 'KNe'", "'KNe'", "none of its values"),
        ("'g2' == band", "'g2'", "none of its values"),
        ("label in ['KN', 'KX']", "'KX'", "none of its values"),
        ("KN > 'high'", "'high'", "a text is compared with a number"),
        ("mag < null", "<", "by == and != only"),
        ("(KN > 0.5", " ", "expected )"),
        ("KN >", " ", "expected a name"),
        ("", " ", "expected a name"),
        ("KN > 0.5 and", " ", "expected a name"),
        ("label in 'KN'", "'KN'", "a list in brackets"),
        ("n_dropped > 1", "n_dropped", "no value of a record"),
        ("__import__('os')", "__import__", "no value of a record"),
        ("KN > 0.5; late", ";", "has no meaning"),
        ("KN > 5x", "5", "has no meaning"),
    ],
)
def test_a_fault_is_marked(text, marked, message):
    with pytest.raises(FilterError, match=message.replace("(", r"\(").replace(")", r"\)")) as caught:
        parse_filter(text, FIELDS)
    shown, mark = caught.value.excerpt
    assert shown == text
    start = mark.index("^")
    assert shown[start : len(mark)].strip() == marked.strip()
    assert caught.value.exit_code == 2


@given(st.text(alphabet="KN>=<! ()[],'\"andortruel0.5phase", max_size=30))
def test_any_text_is_a_filter_or_a_fault_in_it(text):
    with contextlib.suppress(FilterError):  # any other error is a fault
        assert parse_filter(text, FIELDS)(RECORD) in (True, False)


def test_deep_filters_are_refused():
    with pytest.raises(FilterError, match="levels"):
        parse_filter("(" * 5000 + "late" + ")" * 5000, FIELDS)
    with pytest.raises(FilterError, match="levels"):
        parse_filter("not " * 5000 + "late", FIELDS)


def test_every_scalar_field_of_a_record_can_be_used():
    tables = {"proba", "coarse", "n_dropped", "set", "features", "context", "others"}
    assert set(record_schema()["properties"]) - set(FIELDS) == tables


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("context.redshift < 0.2 and context.kind == 'photo'", True),  # of the heavier one
        ("context.redshift_err > 0.1 or context.weight < 0.5", False),
        ("context.source == 'context' and context.host_offset < 3 and context.error == null", True),
        ("others.1.label != label and others.1.KN > 0.5", True),
        ("others.1.proba.KN > others.1.anomaly and others.1.status == 'classified'", True),
        ("others.1.SN-like > 0.5", False),
        ("others.2.error != null and others.2.label == null", True),
        ("others.2.KN < 2 or not others.2.KN < 2", False),  # it has no answer
    ],
)
def test_values_of_a_context_and_of_other_bundles_can_be_used(text, passes):
    fields = fields_of(Taxonomy(), with_context=True, others=[Taxonomy(), Taxonomy()])
    shares = {name: 0.0 for name in Taxonomy().classes} | {"KN": 0.9, "Ia": 0.1}
    groups = dict.fromkeys(Taxonomy().coarse_groups, 0.0)
    answer = {"status": "classified", "label": "KN", "proba": shares, "coarse": groups, "anomaly": 0.2}
    rows = [("photo", 0.5, 0.2, 0.3), ("photo", 0.1, 0.05, 0.7)]
    names = ("kind", "redshift", "redshift_err", "weight")
    record = {
        "label": "SNIa",
        "context": {
            "version": "0",
            "source": "context",
            "redshifts": [dict(zip(names, row, strict=True)) for row in rows],
            "host_offset": 2.0,
            "error": None,
        },
        "others": [answer, {"bundle": "b", "error": "KeyError: 3"}],
    }
    assert parse_filter(text, fields)(record) is passes
    record["context"] = record["context"] | {"redshifts": [], "source": None}
    assert not parse_filter("context.redshift < 9", fields)(record)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("context.redshift > 1", "--context"),
        ("others.1.KN > 1", "--bundle"),
        ("features.rise > 1", "--features"),
    ],
)
def test_values_that_records_lack_without_an_option_name_it(text, hint):
    with pytest.raises(FilterError, match=f"it needs .*{hint}"):
        parse_filter(text, FIELDS)


def test_classes_of_a_bundle_have_names_of_their_own():
    own = Taxonomy.of({"SN Ia": {"group": "SN"}, "phase": {}})
    accepts = parse_filter('proba["SN Ia"] > 0.5 and proba.phase < 0.2 and phase > 1', fields_of(own))
    assert accepts(RECORD | {"proba": {"SN Ia": 0.9, "phase": 0.1}})
    with pytest.raises(FilterError, match="KN is no value"):
        parse_filter("KN > 0.5", fields_of(own))
