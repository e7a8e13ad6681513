import pytest
from matplotlib.figure import Figure


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Figures that commands have written."""
    written = []
    save = Figure.savefig

    def spy(figure, *words, **options):
        written.append(figure)
        return save(figure, *words, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    return written


def test_plot_draws_probabilities_against_time(firstlight, bundle, sample, sample_words, figures, tmp_path):
    out = tmp_path / "object.png"
    words = ("plot", sample.object_id[0], *sample_words, "--bundle", bundle, "--out", out)
    said = firstlight(*words, "--days=-20,60", "--magnitudes").stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    above, below = figures[0].axes
    assert above.get_xlim() == (-20.0, 60.0)
    assert above.get_ylabel() == "AB magnitude (asinh)"
    assert below.get_ylabel() == "probability"
    assert "the bundle was trained on an object named" in said  # every second object of the sample


def test_plot_draws_the_last_answer_beside_a_folded_curve_and_the_true_class(
    firstlight, bundle, sample, sample_labels, sample_paths, sample_words, figures, tmp_path
):
    words = ("plot", sample.object_id[1], *sample_words, "--bundle", bundle, "--out", tmp_path / "a.svg")
    done = firstlight(*words, "--fold", 0.6, "--truth", sample_paths.metadata)
    assert "trained on" not in done.stderr
    assert figures[0].axes[0].get_xlabel() == "cycle of 0.6 d"
    assert figures[0].axes[0].get_title(loc="left").split(", ")[1] == sample_labels[1]
    assert figures[0].axes[1].get_xlabel().startswith("probability")
    firstlight(*words, "--at-end", "--days", "all")
    assert len(figures[1].axes) == 2
    assert figures[1].axes[0].get_title(loc="right") == ""


@pytest.mark.parametrize("days", ["3", "5,5", "a,b", "nan,3", "1,2,3"])
def test_a_window_of_plot_is_two_days_in_order(firstlight, bundle, sample, sample_words, days, tmp_path):
    words = ("plot", sample.object_id[0], *sample_words, "--bundle", bundle, "--out", tmp_path / "a.png")
    done = firstlight(*words, f"--days={days}", ok=False)
    assert done.returncode == 2
    assert "FIRST,LAST" in done.stderr


def test_plot_draws_figure_1(firstlight, sample_paths, tmp_path):
    out = tmp_path / "figure-1.svg"
    firstlight(
        *("plot", "--figure-1", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata),
        *("--out", out),
    )
    assert "<svg" in out.read_text()


def test_a_picture_of_unknown_kind_is_refused_and_folders_are_made(firstlight, sample_paths, tmp_path):
    words = ("plot", "--figure-1", "--data", sample_paths.light_curves, "--metadata", sample_paths.metadata)
    assert "unknown picture format" in firstlight(*words, "--out", tmp_path / "a.xyz", ok=False).stderr
    firstlight(*words, "--out", tmp_path / "new" / "a.svg")
    assert (tmp_path / "new" / "a.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize("name", ["object.pdf", "OBJECT.PDF"])
def test_plot_writes_pages_of_vectors(firstlight, bundle, sample, sample_words, tmp_path, name):
    out = tmp_path / name
    firstlight("plot", sample.object_id[0], *sample_words, "--bundle", bundle, "--out", out)
    content = out.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert b"/Subtype /Image" not in content
