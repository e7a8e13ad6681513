"""The same light curves in the published format of each survey, broker, archive and package."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from astropy.table import Table

from firstlight.bands import BANDS
from firstlight.lightcurves import LightCurves

TAI_MINUS_UTC = 37.0 / 86_400.0
IDS = (170028485706776685, 170028485706776686)  # beyond the exact integers of a float


def truth(bands: str = "gri", n: int = 24, ids: tuple[object, ...] = IDS) -> LightCurves:
    """Two objects in some bands, with fluxes of both signs."""
    rng = np.random.default_rng(3)
    total = n * len(ids)
    mjd = np.tile(60_000.0 + np.arange(n) * 1.5, len(ids)) + rng.uniform(0, 0.3, total).round(5)
    flux_err = rng.uniform(300.0, 900.0, total)
    flux = rng.normal(0.0, 4000.0, total)
    flux = np.sign(flux) * np.maximum(np.abs(flux), flux_err)
    return LightCurves(
        object_id=np.array([str(one) for one in ids]),
        offsets=np.arange(len(ids) + 1) * n,
        mjd=mjd,
        band=np.array([BANDS.index(bands[i % len(bands)]) for i in range(total)], np.int8),
        flux=flux.astype(np.float32),
        flux_err=flux_err.astype(np.float32),
        detected=np.abs(flux) > 5 * flux_err,
    )


def long_columns(curves: LightCurves) -> dict[str, np.ndarray]:
    return {
        "id": np.repeat(curves.object_id, curves.n_obs),
        "mjd": curves.mjd,
        "band": np.array(BANDS)[curves.band],
        "flux": curves.flux.astype(np.float64),
        "flux_err": curves.flux_err.astype(np.float64),
        "detected": curves.detected,
    }


def magnitudes(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """AB magnitude of |flux|, its error, and the sign of the flux."""
    size = np.abs(columns["flux"])
    mag_err = columns["flux_err"] / size * 2.5 / np.log(10)
    return 31.4 - 2.5 * np.log10(size), mag_err, columns["flux"] > 0


def write_csv(path: Path, columns: dict[str, object], head: str = "") -> Path:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(head + text.getvalue())
    return path


def write_parquet(path: Path, columns: dict[str, object]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def own_columns(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    names = {
        "object_id": c["id"],
        "mjd": c["mjd"],
        "band": c["band"],
        "flux": c["flux"],
        "flux_err": c["flux_err"],
    }
    return write_csv(folder / "mine.csv", names)


def rubin_sources(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    return write_parquet(
        folder / "dia.parquet",
        {
            "diaObjectId": c["id"].astype(np.int64),
            "diaForcedSourceId": np.arange(len(c["mjd"])),
            "midpointMjdTai": c["mjd"],
            "band": c["band"],
            "psfFlux": c["flux"] + 5e4,  # of the science image
            "psfFluxErr": c["flux_err"] + 1.0,
            "psfDiffFlux": c["flux"],
            "psfDiffFluxErr": c["flux_err"],
            "ra": np.full(len(c["mjd"]), 150.0),
            "dec": np.full(len(c["mjd"]), 2.0),
        },
    )


def rubin_nested(curves: LightCurves, folder: Path) -> Path:
    """A part of a HATS catalog in a folder: objects with nested sources, as lists in a struct."""
    part = folder / "object_lc" / "dataset" / "Norder=5" / "Dir=0" / "Npix=1.parquet"
    part.parent.mkdir(parents=True)
    lists = {
        name: [values[a:b].tolist() for a, b in zip(curves.offsets[:-1], curves.offsets[1:], strict=True)]
        for name, values in {
            "midpointMjdTai": curves.mjd,
            "band": np.array(BANDS)[curves.band],
            "psfDiffFlux": curves.flux.astype(float),
            "psfDiffFluxErr": curves.flux_err.astype(float),
            "psfFlux": curves.flux.astype(float) + 5e4,
            "psfFluxErr": curves.flux_err.astype(float),
        }.items()
    }
    struct = pa.StructArray.from_arrays([pa.array(v) for v in lists.values()], names=list(lists))
    table = {
        "_healpix_29": pa.array([1, 2]),
        "diaObjectId": pa.array(curves.object_id.astype(np.int64)),
        "ra": pa.array([150.0, 151.0]),
        "dec": pa.array([2.0, 3.0]),
        "diaObjectForcedSource": struct,
    }
    write_parquet(part, table)
    write_parquet(folder / "object_lc" / "dataset" / "_metadata", {"x": [1]})
    (folder / "object_lc" / "hats.properties").write_text("obs_collection=x\n")
    return folder / "object_lc"


def _ztf_rows(curves: LightCurves) -> dict[str, object]:
    c = long_columns(curves)
    mag, mag_err, positive = magnitudes(c)
    fid = np.array([{"g": 1, "r": 2, "i": 3}[band] for band in c["band"]])
    return {"fid": fid, "mag": mag, "mag_err": mag_err, "positive": positive, **c}


def alerce_csv(curves: LightCurves, folder: Path) -> Path:
    c = _ztf_rows(curves)
    return write_csv(
        folder / "detections.csv",
        {
            "oid": c["id"],
            "candid": np.arange(len(c["mjd"])) + 10**15,
            "mjd": c["mjd"] - TAI_MINUS_UTC,
            "fid": c["fid"],
            "diffmaglim": np.full(len(c["mjd"]), 20.5),
            "isdiffpos": np.where(c["positive"], 1, -1),
            "ra": 150.0 + np.arange(len(c["mjd"])) * 1e-6,
            "dec": np.full(len(c["mjd"]), 2.0),
            "magpsf": c["mag"],
            "sigmapsf": c["mag_err"],
        },
    )


def alerce_json(curves: LightCurves, folder: Path) -> Path:
    c = _ztf_rows(curves)
    objects = []
    for name in curves.object_id:
        rows = np.flatnonzero(c["id"] == name)
        detections = [
            {
                "oid": name,
                "mjd": c["mjd"][i] - TAI_MINUS_UTC,
                "fid": int(c["fid"][i]),
                "magpsf": c["mag"][i],
                "sigmapsf": c["mag_err"][i],
                "isdiffpos": 1 if c["positive"][i] else -1,
                "ra": 150.0,
                "dec": 2.0,
            }
            for i in rows
        ]
        objects.append({"oid": name, "detections": detections, "non_detections": []})
    path = folder / "alerce.json"
    path.write_text(json.dumps(objects))
    return path


def fink_json(curves: LightCurves, folder: Path) -> Path:
    c = _ztf_rows(curves)
    rows = [
        {
            "i:objectId": c["id"][i],
            "i:jd": c["mjd"][i] - TAI_MINUS_UTC + 2_400_000.5,
            "i:fid": int(c["fid"][i]),
            "i:magpsf": c["mag"][i],
            "i:sigmapsf": c["mag_err"][i],
            "i:diffmaglim": 20.0,
            "i:isdiffpos": "t" if c["positive"][i] else "f",
            "i:ra": 150.0,
            "i:dec": 2.0,
            "d:tag": "valid",
        }
        for i in range(len(c["mjd"]))
    ]
    path = folder / "fink.json"
    path.write_text(json.dumps(rows))
    return path


def lasair_json(curves: LightCurves, folder: Path) -> Path:
    c = _ztf_rows(curves)
    objects = [
        {
            "objectId": str(name),
            "candidates": [
                {
                    "candid": int(i) + 10**15,
                    "jd": c["mjd"][i] - TAI_MINUS_UTC + 2_400_000.5,
                    "fid": int(c["fid"][i]),
                    "magpsf": c["mag"][i],
                    "sigmapsf": c["mag_err"][i],
                    "isdiffpos": "t" if c["positive"][i] else "f",
                }
                for i in np.flatnonzero(c["id"] == name)
            ],
        }
        for name in curves.object_id
    ]
    path = folder / "lasair.json"
    path.write_text(json.dumps(objects))
    return path


def ztf_forced(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    scale = 10 ** (0.4 * (26.2 - 31.4))
    head = (
        "# Requested input R.A. = 35.200000 degrees\n# Requested input Dec. = 12.400000 degrees\n"
        "# Computation note: all fluxes are in DN\n#\n#Column names follow\n"
        "# index, field, filter, zpdiff, jd, forcediffimflux, forcediffimfluxunc, diffmaglim, procstatus\n"
    )
    lines = [
        f" {i} 600 ZTF_{c['band'][i]} 26.2 {c['mjd'][i] - TAI_MINUS_UTC + 2_400_000.5:.9f} "
        f"{c['flux'][i] * scale:.9e} {c['flux_err'][i] * scale:.9e} 20.5 0"
        for i in range(len(c["mjd"]))
    ]
    path = folder / f"{curves.object_id[0]}.txt"
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def atlas_forced(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    head = "###MJD m dm uJy duJy F err chi/N RA Dec x y maj min phi apfit mag5sig Sky Obs\n"
    letter = {"g": "c", "r": "o"}
    lines = [
        f"{c['mjd'][i] - TAI_MINUS_UTC:.9f} 19.0 0.1 {c['flux'][i] / 1000:.9e} {c['flux_err'][i] / 1000:.9e} "
        f"{letter[c['band'][i]]} 0 1.2 150.0 2.0 1 1 2 2 0 -0.5 19.5 20 01a60950o0123c"
        for i in range(len(c["mjd"]))
    ]
    path = folder / f"{curves.object_id[0]}.txt"
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def snana_fits(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    sizes = curves.n_obs + 1  # SNANA ends each object with a separator
    last = np.cumsum(sizes)
    rows = np.concatenate(
        [[*range(a, b), -1] for a, b in zip(curves.offsets[:-1], curves.offsets[1:], strict=True)]
    )
    head = fits.BinTableHDU.from_columns(
        [
            fits.Column("SNID", "20A", array=curves.object_id),
            fits.Column("RA", "D", array=[10.0, 20.0]),
            fits.Column("DEC", "D", array=[-3.0, -4.0]),
            fits.Column("MWEBV", "E", array=[0.02, -9.0]),
            fits.Column("HOSTGAL_PHOTOZ", "E", array=[0.3, -9.0]),
            fits.Column("HOSTGAL_PHOTOZ_ERR", "E", array=[0.05, -9.0]),
            fits.Column("HOSTGAL_SPECZ", "E", array=[-9.0, 0.5]),
            fits.Column("SIM_REDSHIFT_HELIO", "E", array=[0.31, 0.51]),
            fits.Column("PTROBS_MIN", "J", array=last - sizes + 1),
            fits.Column("PTROBS_MAX", "J", array=last - 1),
        ],
        name="Header",
    )
    scale = 10 ** (0.4 * (27.5 - 31.4))
    end = rows < 0
    phot = fits.BinTableHDU.from_columns(
        [
            fits.Column("MJD", "D", array=np.where(end, -777.0, c["mjd"][rows])),
            fits.Column("BAND", "2A", array=np.where(end, "-", c["band"][rows])),
            fits.Column("PHOTFLAG", "J", array=np.where(c["detected"][rows], 4096, 0)),
            fits.Column("FLUXCAL", "D", array=c["flux"][rows] * scale),
            fits.Column("FLUXCALERR", "D", array=c["flux_err"][rows] * scale),
        ],
        name="Photometry",
    )
    first = fits.PrimaryHDU()
    first.header["SURVEY"] = "LSST"
    first.header["PHOTFILE"] = "X_PHOT.FITS"
    fits.HDUList([first, head]).writeto(folder / "X_HEAD.FITS.gz")
    fits.HDUList([fits.PrimaryHDU(), phot]).writeto(folder / "X_PHOT.FITS.gz")
    return folder / "X_HEAD.FITS.gz"


def snana_text(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    scale = 10 ** (0.4 * (27.5 - 31.4))
    for k, name in enumerate(curves.object_id):
        rows = np.flatnonzero(c["id"] == name)
        lines = [
            "SURVEY: DES",
            f"SNID: {name}",
            f"RA: {10.0 + k} deg",
            "DECL: -3.0 deg",
            "MWEBV: 0.0100 +- 0.0005",
            "HOSTGAL_PHOTOZ: 0.2500 +- 0.0300",
            f"NOBS: {len(rows)}",
            "NVAR: 5",
            "VARLIST: MJD FLT FIELD FLUXCAL FLUXCALERR",
        ]
        lines += [
            f"OBS: {c['mjd'][i]:.6f} {c['band'][i]} X {c['flux'][i] * scale:.9e} "
            f"{c['flux_err'][i] * scale:.9e}"
            for i in rows
        ]
        (folder / f"DES_{k}.DAT").write_text("\n".join([*lines, "END:"]) + "\n")
    return folder


def sncosmo_ecsv(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    scale = 10 ** (0.4 * (25.0 - 31.4))
    table = Table(
        {
            "time": c["mjd"],
            "band": np.char.add("sdss", c["band"]),
            "flux": c["flux"] * scale,
            "fluxerr": c["flux_err"] * scale,
            "zp": np.full(len(c["mjd"]), 25.0),
            "zpsys": np.full(len(c["mjd"]), "ab"),
        },
        meta={"object_id": str(curves.object_id[0]), "z": 0.5},
    )
    table.write(folder / "sn.ecsv", format="ascii.ecsv")
    return folder / "sn.ecsv"


def sncosmo_text(curves: LightCurves, folder: Path) -> Path:
    """The default output of sncosmo's `write_lc`."""
    c = long_columns(curves)
    scale = 10 ** (0.4 * (25.0 - 31.4))
    head = f"@name {curves.object_id[0]}\n@z 0.5\n#time band flux fluxerr zp zpsys\n"
    lines = [
        f"{c['mjd'][i]:.8f} sdss{c['band'][i]} {c['flux'][i] * scale:.9e} "
        f"{c['flux_err'][i] * scale:.9e} 25.0 ab"
        for i in range(len(c["mjd"]))
    ]
    path = folder / "sn.txt"
    path.write_text(head + "\n".join(lines) + "\n")
    return path


def fits_table(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    table = Table(
        {
            "SNID": c["id"],
            "MJD": c["mjd"],
            "FLT": c["band"],
            "FLUX": c["flux"],
            "FLUXERR": c["flux_err"],
            "ZP": np.full(len(c["mjd"]), 31.4),
            "ZPSYS": np.full(len(c["mjd"]), "AB"),
        }
    )
    table.write(folder / "table.fits")
    return folder / "table.fits"


def catalog_json(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    mag, mag_err, _ = magnitudes(c)
    event = {
        "schema": "x",
        "name": str(curves.object_id[0]),
        "ra": [{"value": "10:00:00.0"}],
        "dec": [{"value": "-30:00:00.0"}],
        "redshift": [{"value": "0.05"}],
        "photometry": [
            {
                "time": f"{c['mjd'][i]:.6f}",
                "u_time": "MJD",
                "band": c["band"][i],
                "system": "AB",
                "magnitude": f"{mag[i]:.9f}",
                "e_magnitude": f"{mag_err[i]:.9f}",
                "source": "1",
                "telescope": "P48",
            }
            for i in range(len(c["mjd"]))
        ]
        + [{"time": "60001", "band": "0.3-10", "countrate": "0.1", "u_countrate": "s^-1"}],
    }
    path = folder / "SN.json"
    path.write_text(json.dumps({str(curves.object_id[0]): event}))
    return path


def folder_of_parts(curves: LightCurves, folder: Path) -> Path:
    c = long_columns(curves)
    for k in range(2):
        rows = slice(k, None, 2)
        write_parquet(
            folder / f"part-{k}.parquet",
            {
                "objectId": c["id"][rows],
                "time": c["mjd"][rows],
                "filter": np.char.add("LSST_", c["band"][rows]),
                "flux": c["flux"][rows],
                "fluxerr": c["flux_err"][rows],
            },
        )
    return folder


#: Format, writer, and differences from the truth: bands, one object only, no negative fluxes.
SAMPLES: dict[str, tuple[str, Callable[[LightCurves, Path], Path], str, int, bool]] = {
    "own columns as CSV": ("table", own_columns, "ugrizy", 2, False),
    "Rubin forced sources": ("rubin-forced", rubin_sources, "ugrizy", 2, False),
    "Rubin HATS": ("rubin-forced", rubin_nested, "ugrizy", 2, False),
    "ALeRCE CSV": ("ztf-alerts", alerce_csv, "gri", 2, False),
    "ALeRCE JSON": ("ztf-alerts", alerce_json, "gri", 2, False),
    "Fink JSON": ("ztf-alerts", fink_json, "gri", 2, False),
    "Lasair JSON": ("ztf-alerts", lasair_json, "gri", 2, False),
    "ZTF forced photometry": ("ztf-forced", ztf_forced, "gri", 1, False),
    "ATLAS forced photometry": ("atlas-forced", atlas_forced, "gr", 1, False),
    "SNANA FITS": ("snana", snana_fits, "ugrizy", 2, False),
    "SNANA text": ("snana", snana_text, "griz", 2, False),
    "sncosmo ECSV": ("sncosmo", sncosmo_ecsv, "ugriz", 1, False),
    "sncosmo text": ("sncosmo", sncosmo_text, "ugriz", 1, False),
    "FITS table": ("sncosmo", fits_table, "ugrizy", 2, False),
    "Open Supernova Catalog": ("osc", catalog_json, "gri", 1, True),
    "folder of Parquet parts": ("table", folder_of_parts, "ugrizy", 2, False),
}
