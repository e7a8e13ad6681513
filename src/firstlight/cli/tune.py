"""The command ``tune``: an Optuna study of a preset's classifier, kept on disk."""

from pathlib import Path
from typing import Annotated, Any

import typer

from firstlight.cli.app import (
    PLASTICC,
    AsJson,
    Classes,
    Data,
    Objects,
    Redshift,
    Seed,
    TruthFile,
    app,
    console,
    make_folder,
    print_json,
    progress,
)
from firstlight.cli.reading import Reading, reads_curves, taxonomy_of

TunedPreset = Annotated[
    str,
    typer.Option(
        help="Preset whose classifier is tuned: default, fast, quick, seed (also called paper), "
        "seed-printed (also called paper-printed), or a TOML file."
    ),
]


@app.command(epilog="Example: firstlight tune --data plasticc --preset seed --jobs 2 --out runs/tuned")
@reads_curves
def tune(
    out: Annotated[
        Path, typer.Option(help="Folder for study.sqlite, tuning.json, tuned.toml, figures and kept rows.")
    ],
    data: Data = PLASTICC,
    truth: TruthFile = None,
    objects: Objects = None,
    classes: Classes = None,
    preset: TunedPreset = "seed",
    trials: Annotated[
        int,
        typer.Option(
            min=1, help="Total number of trials, including those stopped early and those of earlier runs."
        ),
    ] = 105,
    inner_folds: Annotated[int, typer.Option(min=2, help="Inner folds within the learning objects.")] = 3,
    redshift: Redshift = "photo",
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Parallel trials, one process each.")] = 1,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Tune a preset's classifier on inner folds; score it once on held-out objects.

    The settings to search are those of the preset's kind of classifier. They are chosen by log-loss on
    inner folds of 80 % of the objects (by a fixed hash). The other 20 % are scored once, with the tuned
    and the untuned settings; nothing is chosen on them. Encoder and features are made once per inner
    fold. A killed run resumes; more --trials continue a finished study. OUT/tuned.toml is a preset for
    firstlight train; it has the untuned settings if no trial is better.
    """
    from firstlight.experiments.study import TuneConfig, need_optuna
    from firstlight.experiments.tuning import check_tunable, run_tuning
    from firstlight.pipeline import load_preset

    need_optuna()  # fail before minutes of work, not after
    config = load_preset(preset)
    check_tunable(config)
    make_folder(out)
    taxonomy = taxonomy_of(classes)
    curves, labels = reading.labelled(data, truth, objects, out, taxonomy)
    with progress() as bars:
        result = run_tuning(
            curves,
            labels,
            config,
            out,
            settings=TuneConfig(n_trials=trials, inner_folds=inner_folds),
            redshift=redshift,
            seed=seed,
            taxonomy=taxonomy,
            jobs=jobs,
            progress=bars,
        )
    if as_json:
        print_json(result)
    else:
        _print(result, out)


def _print(result: dict[str, Any], out: Path) -> None:
    from rich.table import Table

    table = Table(
        box=None, title=f"{result['n_trials']} trials, study {result['study']}", title_justify="left"
    )
    for name in ("", "untuned", "tuned", "difference"):
        table.add_column(name, justify="left" if not name else "right")
    before, after = result["settings"]["untuned"], result["settings"]["tuned"]
    for name, words in result["words"].items():
        table.add_row(words, f"{before[name]:.3g}", f"{after[name]:.3g}", "")
    inner = result["inner"]
    gain = inner["tuned"] - inner["untuned"]
    table.add_row("log-loss, inner folds", f"{inner['untuned']:.3f}", f"{inner['tuned']:.3f}", f"{gain:+.3f}")
    for name, row in result["test"].items():
        difference = f"{row['difference']:+.3f} ± {row['std']:.3f}"
        words = f"{name.replace('_', ' ')}, test"
        table.add_row(words, f"{row['before']:.3f}", f"{row['after']:.3f}", difference)
    console.print(table)
    console.print(f"[dim]{result['protocol']}[/dim]", highlight=False)
    what = "tuned preset"
    if not result["better"]:
        console.print(
            f"Nothing better was found: the best of {result['n_trials']} trials has a log-loss of "
            f"{result['trials'][-1]['best']:.3f} on the inner folds, the untuned settings have "
            f"{inner['untuned']:.3f}. tuned.toml is the preset as it was; raise --trials to search on."
        )
        what = "unchanged preset"
    console.print(f"Results and the {what}: {out / 'tuning.json'}, {out / 'tuned.toml'}")
