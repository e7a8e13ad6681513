"""The runner: a part declares variants, each is computed once per fold, and rows of scores are kept.

Each trial (a variant on a fold) runs in a process with one thread. Rows of the table are not
computed again, so that a killed run resumes.
"""

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from firstlight import __version__
from firstlight._types import Progress, no_progress
from firstlight.errors import FirstlightError, PartsFailedError, SettingsError
from firstlight.experiments.fold import code_digest
from firstlight.parallel import side_by_side
from firstlight_paper.context import Context
from firstlight_paper.objects import PAPER_CLASSES, SIMULATED_CLASSES
from firstlight_paper.results import Results, plain
from firstlight_paper.scores import Row, Values
from firstlight_paper.view import View

Work = Callable[[Context, int, Progress], "Outcome"]

#: Marks a trial as done; also the time that it took [s].
SECONDS = "seconds"


@dataclass
class Outcome:
    """Result of a trial."""

    values: Values = field(default_factory=dict)
    rows: list[tuple[str, str | None, str, int, str, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def put(
        self, variant: str, values: Mapping[tuple[str, int, str], float], fold: str | None = None
    ) -> None:
        """Add scores of another variant or fold."""
        self.rows += [(variant, fold, *key, value) for key, value in values.items()]


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One thing that is fitted or changed, computed once per fold."""

    name: str
    work: Work  # a function of a module or a partial of one; folds count from 0 here, from 1 in the table
    folds: Sequence[int] = ()  # none for a single trial without a fold
    step: int = 0  # a later step starts when all earlier ones are in the table
    alone: bool = False  # runs in this process, because it starts its own


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the reproduction that stands alone; tables and figures are drawn from a `View`."""

    name: str  # also the name of its text file
    variants: Callable[[Context, Any], Sequence[Variant]]
    full: Any = None  # amounts at either scale, dataclasses
    quick: Any = None  # as `full` where None
    needs: tuple[str, ...] = ()  # parts that must be computed first
    column: str = "ours"  # of its numbers where no other is named
    group: str = ""  # name under which ``--only`` takes several parts
    printed: Mapping[str, Mapping[tuple[int, str], float]] = field(default_factory=dict)
    figures: Mapping[str, Callable[[View], Figure]] = field(default_factory=dict)
    tables: Mapping[str, Callable[[View], str]] = field(default_factory=dict)
    facts: Callable[[View], Mapping[str, Any]] | None = None
    shown: bool = True  # stages that parts share have no section

    def amount(self, context: Context) -> Any:
        """Amounts at the scale of a run."""
        return self.full if context.scale.is_full or self.quick is None else self.quick


class Trial(NamedTuple):
    """A variant on a fold; `fold` is None without one."""

    variant: Variant
    fold: int | None

    @property
    def row_fold(self) -> str:
        """Value of the table's column."""
        return "" if self.fold is None else str(self.fold + 1)

    @property
    def name(self) -> str:
        """Its name in this part."""
        return f"{self.variant.name}/{self.row_fold}"


def more(values: Mapping[str, float], column: str = "", subset: int = 0) -> Values:
    """Numbers of one column and subset as `Outcome.values`."""
    return {(column, subset, name): float(value) for name, value in values.items()}


def choose_parts(parts: Sequence[Part], only: Sequence[str]) -> tuple[Part, ...]:
    """The shown parts of the given names or groups, in order of the page; all where none is named."""
    shown = [part for part in parts if part.shown]
    chosen: set[str] = set()
    for name in only:
        found = {part.name for part in shown if name in (part.name, part.group)}
        if not found:
            known = ", ".join([*(part.name for part in shown), *sorted({p.group for p in shown if p.group})])
            raise SettingsError(f"no part is named {name!r}; parts: {known}")
        chosen |= found
    return tuple(part for part in shown if not only or part.name in chosen)


def compute(
    context: Context, parts: Sequence[Part], *, only: Sequence[str] = (), progress: Progress = no_progress
) -> Results:
    """Compute missing trials of the named parts (default all) and of their needs; failures raise last."""
    chosen = choose_parts(parts, only)
    named = {part.name: part for part in parts}
    results = _open(context)
    failed: dict[str, FirstlightError] = {}
    for part in chosen:
        try:
            for name in _order(part, named):
                _compute(context, named[name], results, progress)
        except FirstlightError as error:
            failed[part.name] = error
    if failed:
        reasons = "; ".join(f"{name}: {error}" for name, error in failed.items())
        raise PartsFailedError(f"{len(failed)} of {len(chosen)} parts failed, the others are done: {reasons}")
    return results


def _order(part: Part, named: Mapping[str, Part]) -> list[str]:
    """The part after all that it needs, each once."""
    found: list[str] = []
    for name in part.needs:
        found += [one for one in _order(named[name], named) if one not in found]
    return [*found, part.name]


def _open(context: Context) -> Results:
    """Results of the same objects, scale, seed and version; others are replaced by an empty table."""
    results = Results(context.results)
    words = (__version__, repr(context.scale), str(context.seed), context.objects.fingerprint)
    identity = hashlib.sha256("\n".join(words).encode()).hexdigest()
    if results.about.get("identity") != identity:
        for part in results.scores.parts():
            results.drop(part)
        results.about = _about(context) | {"identity": identity, "parts": {}, "amounts": {}}
        results.write_scores()
        results.write_about()
    return results


def _about(context: Context) -> dict[str, Any]:
    objects = context.objects
    fold = objects.folds[0]
    return {
        "version": __version__,
        "scale": context.scale.name,
        "preset": context.scale.preset,
        "seed": context.seed,
        "machine": f"{platform.machine()}, Python {platform.python_version()}",
        "n_objects": len(objects),
        "n_real": int((~objects.simulated).sum()),
        "n_simulated": int(objects.simulated.sum()),
        "simulated_classes": list(SIMULATED_CLASSES),
        "n_folds": len(objects.folds),
        "encoder_epochs": context.scale.encoder_epochs,
        "n_train": len(fold.train),
        "n_validation": len(fold.validation),
        "n_test": len(fold.test),
        "objects_per_class": {name: int((objects.labels == name).sum()) for name in PAPER_CLASSES},
    }


def _compute(context: Context, part: Part, results: Results, progress: Progress) -> None:
    amount = part.amount(context)
    amounts = plain(asdict(amount)) if is_dataclass(amount) and not isinstance(amount, type) else {}
    if part.name in results.about["amounts"] and results.about["amounts"][part.name] != amounts:
        results.drop(part.name)
    results.about["amounts"][part.name] = amounts
    results.scores.add(
        Row(part.name, variant, "", "printed", subset, metric, value)
        for variant, values in part.printed.items()
        for (subset, metric), value in values.items()
    )
    variants = part.variants(context, amount)
    trials = [Trial(variant, fold) for variant in variants for fold in (variant.folds or (None,))]
    fractions = {trial.name: 0.0 for trial in trials}

    def report(name: str, fraction: float) -> None:
        fractions[name] = fraction
        progress(part.name, sum(fractions.values()) / max(len(fractions), 1))

    for step in sorted({variant.step for variant in variants}):
        missing = {}
        for trial in (t for t in trials if t.variant.step == step):
            if trial.row_fold in results.scores.folds(part.name, trial.variant.name, "", 0, SECONDS):
                report(trial.name, 1.0)
            else:
                missing[trial.name] = trial
        for name, seconds, outcome in _outcomes(context, missing, report):
            _keep(results, part.name, missing[name], seconds, outcome)
            report(name, 1.0)
    seconds = sum(row.value for row in results.scores if row.part == part.name and row.metric == SECONDS)
    results.about["parts"][part.name] = {SECONDS: round(float(seconds), 1), "code": code_digest()[:12]}
    results.write_about()


def _outcomes(
    context: Context, trials: Mapping[str, Trial], report: Progress
) -> Iterable[tuple[str, float, Outcome]]:
    apart = {name: trial for name, trial in trials.items() if not trial.variant.alone}
    here = [name for name in trials if name not in apart]
    if context.jobs == 1 or len(apart) < 2:
        here, apart = list(trials), {}
    for name in here:
        yield name, *_run((trials[name], context), lambda _, done, name=name: report(name, done))  # type: ignore[misc]
    if apart:
        todo = {name: (trial, context) for name, trial in apart.items()}
        done = side_by_side(_run, todo, context.jobs, progress=lambda name, _, share: report(name, share))
        for name, (seconds, outcome) in done:
            yield name, seconds, outcome


def _run(todo: tuple[Trial, Context], progress: Progress) -> tuple[float, Outcome]:
    trial, context = todo
    started = time.perf_counter()
    outcome = trial.variant.work(context, trial.fold or 0, progress)
    return time.perf_counter() - started, outcome


def _keep(results: Results, part: str, trial: Trial, seconds: float, outcome: Outcome) -> None:
    name, fold = trial.variant.name, trial.row_fold
    rows = [Row(part, name, fold, *key, value) for key, value in outcome.values.items()]
    rows += [
        Row(part, variant, fold if other is None else other, column, subset, metric, value)
        for variant, other, column, subset, metric, value in outcome.rows
    ]
    rows.append(Row(part, name, fold, "", 0, SECONDS, seconds))
    results.add(part, name, fold, rows, outcome.extra)
