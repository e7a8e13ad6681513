"""Tables of speed and memory from the committed results of the benchmarks."""

from typing import Any

from tables import RESULTS, ROOT, machine, read, table

SPEED = ROOT / "benchmarks" / "results"
PRESETS, SIZES = ("fast", "default"), ("30 kB", "80 kB")


def speed_table() -> str:
    """Objects per second, and those of the peers in the same run."""
    result = read(SPEED / "classify.json")
    rows = [[row["name"], f"{row['objects_per_second']:,.0f}"] for row in result["rows"]]
    return table(["`firstlight classify`, 7,848 whole curves", "objects/s"], rows, machine(result["machine"]))


def stages_table() -> str:
    """Processor time per object by stage, now and at an earlier commit."""
    result = read(SPEED / "stages.json")
    now, before = result["times"]["now"], result["times"][result["against"]]
    rows = [
        [
            stage,
            *(
                f"{times[name][stage]:.3f}" if stage in times[name] else ""
                for name in PRESETS
                for times in (before, now)
            ),
        ]
        for stage in dict.fromkeys(stage for name in PRESETS for stage in now[name])
    ]
    head = [f"`{name}`, {when}" for name in PRESETS for when in (f"commit {result['against'][:7]}", "now")]
    return table(
        ["processor ms per object, one thread", *head],
        rows,
        "The whole holds what lies between the stages, and the anomaly score.",
        f"{machine(result['machine'])}; commit {result['commit'][:7]}.",
    )


def first_use_line() -> str:
    """Seconds of the first `classify` after installing, beside those of later ones."""
    result = read(SPEED / "first_use.json")
    first, later = (
        {name: result["times"][f"this version, {name}, {use} use"]["wall_s"] for name in PRESETS}
        for use in ("first", "second")
    )
    return (
        "The first `classify` after the installation compiles the numerical kernels: it took "
        f"{first['default']:.0f} s with `default` and {first['fast']:.0f} s with `fast`, later ones "
        f"{later['default']:.1f} and {later['fast']:.1f} s "
        f"({machine(result['machine'])}). `firstlight warm` compiles them beforehand."
    )


def stream_table() -> str:
    """Throughput, latency and bursts over a real broker, with the aims and LSST's rates."""
    result = read(SPEED / "stream.json")
    throughput, latency, burst = (result[part] for part in ("throughput", "latency", "burst"))
    aim, rows = latency["aim_ms"], []
    for size in SIZES:
        runs = [throughput.get(f"{name}, {size}") for name in PRESETS]
        best = [f"{max(r['alerts_per_s'] for r in by_workers(run)):,}" if run else "" for run in runs]
        aims = " and ".join(f"{run['aim_alerts_per_s']:,}" for run in runs if run)
        rows.append([f"alerts/s, {size} packets", *best, aims])
    for size in SIZES:
        alone = result["broker alone"][size]["all"]
        title = f"ms from alert to result at {latency['alerts_per_s']}/s, {size}, median / 99 %"
        title += f" (the broker alone: {alone['p50']:.0f} / {alone['p99']:.0f})"
        runs = [latency.get(f"{name}, {size}") for name in PRESETS]
        cells = [f"{run['p50']:.0f} / {run['p99']:.0f}" if run else "" for run in runs]
        rows.append([title, *cells, f"{aim['p50']} / {aim['p99']}"])
    for size in SIZES:
        runs = [burst.get(f"{name}, {size}") for name in PRESETS]
        cells = [f"{min(r['seconds'] for r in by_workers(run)):.1f}" if run else "" for run in runs]
        rows.append(
            [f"s to clear {burst['alerts']:,} alerts of a visit, {size}", *cells, f"{burst['aim_s']:.0f}"]
        )
    lsst, packets = result["lsst"], throughput["fast, 30 kB"]["packets"]
    loads = [
        f"{part}: commit {result[part].get('commit', 'unknown')}, load before {result[part]['load_before']}"
        for part in ("throughput", "latency", "burst")
    ]
    return table(
        ["over a real broker, two cores shared with it", "`fast`", "`default`", "target"],
        rows,
        f"LSST sends {lsst['alerts_a_night']:,} alerts per night, {lsst['alerts_per_s_mean']} per second on "
        "average.",
        f"Packets hold {packets['observations']:.0f} observations in {packets['bytes_without_cutouts']:,} "
        "bytes of our LSST-like schema, the rest is cutouts; LSST's own rows are wider. The better of one "
        "and several workers.",
        *_shares(latency),
        f"{machine(result['machine'])}; {'; '.join(loads)}.",
    )


def _shares(latency: dict[str, Any]) -> list[str]:
    """Shares of broker and worker in the time from alert to result, where it was measured."""
    run = latency.get("fast, 30 kB", {})
    if "broker_cores" not in run:
        return []
    return [
        f"At {latency['alerts_per_s']}/s with `fast` and 30 kB the trial broker uses "
        f"{run['broker_cores']:.1f} of the two cores and the worker {run['worker_cores']:.1f}; a "
        f"micro-batch of {run['alerts_per_batch']:.0f} alerts takes the worker "
        f"{run['worker_ms_per_batch']:.0f} ms from reading to commit."
    ]


def loaded_table() -> str:
    """Alerts per second of a worker by the number of objects in its state."""
    stream = read(SPEED / "stream.json")
    found = stream.get("loaded")
    if found is None:
        return "Not measured yet: `python benchmarks/stream.py --part loaded`."
    presets = [preset for preset in PRESETS if preset in found]
    rows = [
        [
            f"{int(size):,}",
            *(f"{own['alerts_per_s']:,} ({own['speed_of_empty']:.2f})" for own in runs),
            f"{runs[0].get('state_gb', 0.0):.2f}",
        ]
        for size in found[presets[0]]["objects"]
        if (runs := [found[preset]["objects"][size] for preset in presets])
    ]
    note = (
        f"Histories of {found['observations_per_object']} observations, without a broker, one core, all in "
        f"one run; in brackets the speed over that of an empty state. {machine(stream['machine'])}; load "
        f"before {found['load_before']:.2f}."
    )
    heads = [f"`{preset}`, alerts/s" for preset in presets]
    return table(["objects in the state", *heads, "state [GB]"], rows, note)


def archive_table() -> str:
    """Speed, cost and memory of `firstlight batch` on an archive, by bundle."""
    path = RESULTS / "archive.json"
    if not path.exists():
        return "Not measured yet: `python benchmarks/archive.py --work FOLDER`."
    found = {preset: run for preset, run in read(path).items() if preset in PRESETS}
    runs = list(found.values())
    whole = [run["whole"] for run in runs]
    n = runs[0]["archive"]["objects"]
    goals = {"default": 15, "fast": 5}
    rows = [
        [
            f"minutes for {n:,} light curves, two workers",
            *(f"{run['wall_s'] * 1e6 / run['objects'] / 60:.1f}" for run in whole),
        ],
        ["goal, minutes per million", *(str(goals[preset]) for preset in found)],
        ["objects per second, one worker", *(f"{run['workers 1']['objects_per_s']:,.0f}" for run in runs)],
        ["objects per second, two workers", *(f"{run['resumed']['objects_per_s']:,.0f}" for run in whole)],
        [
            "objects per second, Dask scheduler and two worker processes",
            *(f"{run['cluster']['objects_per_s']:,.0f}" for run in runs),
        ],
        [
            "largest process [MB]",
            *(f"{run['resumed']['memory']['largest_process_mb']:,}" for run in whole),
        ],
        ["processor time per object [ms]", *(f"{run['marginal_cpu_ms_per_object']:.2f}" for run in runs)],
        *(
            [f"core hours for {name}", *(f"{run['extrapolated_core_hours'][name]:,.2f}" for run in runs)]
            for name in runs[0]["extrapolated_core_hours"]
        ),
    ]
    doubled = sum(run["partitions_done_twice"] for run in whole)
    equal = sum(run["equal"]["rows"] for run in runs)
    note = (
        f"PLAsTiCC's training curves with jitter in time and flux, {runs[0]['archive']['gb']} GB in "
        f"{runs[0]['archive']['partitions']} HATS partitions. Each run was killed about half-way and started "
        f"again, which is in its minutes; {doubled} partitions were done twice. {equal:,} rows were compared "
        "with `Pipeline.predict` and are equal to the last bit. One worker, the Dask run and the start of "
        "processes are measured on 16 partitions; small runs start slowly. "
        f"{machine(runs[0]['machine'])}; commit {runs[0]['commit']}; load before the whole run "
        + ", ".join(f"{run['resumed']['load_before']}" for run in whole)
        + "."
    )
    return table(["archive", *(f"`{preset}`" for preset in found)], rows, note)


def by_workers(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Results with one worker and with several."""
    return [found for name, found in run.items() if name.endswith(("worker", "workers"))]


def peers_table() -> str:
    """Time of one classification, and that of the peers in the same run."""
    result = read(SPEED / "peers.json")
    rows = [
        [name, f"{run['single_ms']['median']:,.2f}", f"{run['batch_ms_an_object']['median']:,.3f}"]
        for name, run in result["contestants"].items()
    ]
    rows += [[name, f"not run: {why}", ""] for name, why in result["not_installed"].items()]
    head = ["new observation to probabilities, one thread", "single, ms", "in batches, ms per object"]
    return table(head, rows, f"{machine(result['machine'])}.")


def alert_table() -> str:
    """Time of each stage of a worker."""
    runs = {name: run for name, run in read(SPEED / "stream.json")["alert"].items() if isinstance(run, dict)}
    stages = next(iter(runs.values()))["us_an_alert"]
    rows = [[name, *(f"{value:,.0f}" for value in run["us_an_alert"].values())] for name, run in runs.items()]
    return table(["µs per alert", *stages], rows)


def page_table() -> str:
    """The live page with many objects."""
    result = read(SPEED / "serve.json")
    pages = result["pages_ms"]
    rows = [
        ["reading the records", f"{result['reading_s']:.1f} s"],
        ["ranking all objects, in its own thread", f"{result['ranking_s']:.2f} s"],
        *([name, f"{spent:.0f} ms"] for name, spent in pages.items()),
        ["memory per object", f"{result['kb_per_object']:.1f} kB"],
    ]
    if found := result["browser"]:
        rows += [
            ["first paint in a browser", f"{found['first_paint_ms']:.0f} ms"],
            ["from 200 new records to the new table", f"{found['update_s']:.1f} s"],
            [
                "time per frame while scrolling, median / 95 %",
                f"{found['frame_ms_median']:.0f} / {found['frame_ms_95']:.0f} ms",
            ],
            ["memory of the page's scripts", f"{found['heap_mb']:.0f} MB"],
        ]
    note = f"{result['machine']}, load before {result['load']:.1f}."
    return table([f"{result['objects']:,} objects, {result['records']:,} records", "measured"], rows, note)


def export_table() -> str:
    """The classifier as an ONNX graph beside firstlight's own."""
    found = read(SPEED / "export.json")
    programs, ways = ("onnxruntime", "firstlight"), ("together", "one by one")
    rows = [
        [
            f"`{name}`",
            f"{max(own['largest_difference'].values()):.0e}",
            *(f"{own['us_per_object'][f'{program}, {how}']:,.0f}" for program in programs for how in ways),
        ]
        for name, own in found["bundles"].items()
    ]
    heads = [f"processor µs per object, {program}, {how}" for program in programs for how in ways]
    note = (
        f"{found['objects']:,} light curves of PLAsTiCC, once with their columns and once with a third of "
        "them missing; from the columns to calibrated probabilities, one thread. "
        f"{machine(found['machine'])}; commit {found['commit']}."
    )
    return table(["bundle", "largest difference of a probability", *heads], rows, note)


def engines_table() -> str:
    """Alerts per second by engine."""
    found = read(SPEED / "engines.json")
    rows = [[name, f"{own['alerts_per_s']:,}"] for name, own in found["engines"].items()]
    note = (
        f"One process each, one run, `{found['bundle']}`, packets of 30 kB, the trial broker on the same "
        f"machine: {machine(found['machine'])}."
    )
    return table(["engine", "alerts per second"], rows, note)


SPEED_BLOCKS = {
    "engines": engines_table,
    "export": export_table,
    "page-speed": page_table,
    "speed": speed_table,
    "stages": stages_table,
    "first-use": first_use_line,
    "stream": stream_table,
    "loaded": loaded_table,
    "archive": archive_table,
    "peers": peers_table,
    "alert": alert_table,
}
