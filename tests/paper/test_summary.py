"""What comes first: three columns for the whole set, and nothing where there is nothing to say."""

from firstlight_paper.summary import headline, summary


def _table(value):
    said = {"mean": value, "std": 0.01, "folds": [value]}
    return dict.fromkeys(("accuracy", "macro_f1", "macro_auc"), said)


def _result():
    def both(value):
        return {"sixteen": _table(value), "real": _table(value + 0.01)}

    return {
        "printed": {"accuracy": 0.89, "macro_f1": 0.89, "macro_auc": 0.94},
        "leak": both(0.95),
        "honest": {"design": both(0.75), "ours": both(0.9)},
        "gap": {"accuracy": 0.2, "macro_f1": 0.2, "macro_auc": 0.1},
        "anatomy": [{"arm": "leak", "shared": {"mean": 0.9, "std": 0.0}}],
    }


def test_there_is_no_summary_without_results_by_class():
    assert summary({"about": {}}) is None


def test_every_number_has_its_three_columns_and_its_row_over_real_classes():
    table = headline(_result())
    assert table.rows[0][1:] == ("0.89", "0.950 ± 0.010", "0.750 ± 0.010", "0.900 ± 0.010")
    assert table.rows[1][0] == "accuracy, the 13 real ones"
    assert table.rows[1][1:3] == ("", "0.960 ± 0.010")
    assert len(table.rows) == 6


def test_the_gap_is_said_in_words_first():
    section = summary({"per_class": _result()})
    assert "0.20 of the accuracy" in section.blocks[0]
    assert section.blocks[1] == headline(_result())
