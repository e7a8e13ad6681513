"""Write ``docs/tutorials/sample/files``: one supernova as five sources would give it.

The object is a type Ia supernova of the PLAsTiCC sample, seen through the dust of the Milky Way again. The
bundle beside the files is made by the command in ``docs/tutorials/sample/README.md``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from astropy.table import Table

from firstlight import LightCurve, read
from firstlight.bands import BANDS, EXTINCTION_PER_EBV

ROOT = Path(__file__).resolve().parent.parent
DATA, OUT = ROOT / "tests" / "data", ROOT / "docs" / "tutorials" / "sample" / "files"
OBJECT = "90429960"
NJY = 31.4  # zero point


def scale(zero_point: float) -> float:
    """Units of a zero point per nJy."""
    return float(10.0 ** (0.4 * (zero_point - NJY)))


def observed(curve: LightCurve) -> pd.DataFrame:
    """One row per observation [nJy], not corrected for dust."""
    dust = 10.0 ** (-0.4 * curve.ebv * np.asarray(EXTINCTION_PER_EBV)[curve.band])
    return pd.DataFrame(
        {
            "mjd": curve.mjd.round(4),
            "band": np.array(BANDS)[curve.band],
            "flux": curve.flux * dust,
            "flux_err": curve.flux_err * dust,
            "detected": curve.detected,
        }
    )


def own_table(curve: LightCurve, rows: pd.DataFrame) -> None:
    """A table with names of one's own, in microjansky."""
    table = pd.DataFrame(
        {
            "source": f"SN-{curve.object_id}",
            "obsmjd": rows["mjd"],
            "passband": "LSST_" + rows["band"],
            "f_uJy": (rows["flux"] * scale(23.9)).round(4),
            "df_uJy": (rows["flux_err"] * scale(23.9)).round(4),
        }
    )
    table.to_csv(OUT / "mine.csv", index=False)


def magnitudes(curve: LightCurve, rows: pd.DataFrame) -> None:
    """Magnitudes of the detections, and 5-sigma limits of the rest; redshift and dust in columns."""
    bright = rows["detected"] & (rows["flux"] > 0)
    size = rows["flux"].where(bright)
    table = pd.DataFrame(
        {
            "name": f"SN-{curve.object_id}",
            "mjd": rows["mjd"],
            "filter": "LSST-" + rows["band"],
            "mag": (NJY - 2.5 * np.log10(size)).round(3),
            "magerr": (2.5 / np.log(10) * rows["flux_err"] / size).round(3),
            "limit": (NJY - 2.5 * np.log10(5.0 * rows["flux_err"])).round(3).where(~bright),
            "ebv": round(curve.ebv, 3),
            "redshift": round(curve.redshift, 3),
            "redshift_err": round(curve.redshift_err, 3),
        }
    )
    table.to_csv(OUT / "magnitudes.csv", index=False)


def rubin(curve: LightCurve, rows: pd.DataFrame) -> None:
    """Rubin's table of DiaSources: detections alone."""
    seen = rows[rows["detected"]].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "diaObjectId": np.int64(curve.object_id),
            "diaSourceId": np.arange(len(seen), dtype=np.int64) + 10**17,
            "midpointMjdTai": seen["mjd"],
            "band": seen["band"],
            "psfFlux": seen["flux"],
            "psfFluxErr": seen["flux_err"],
            "ra": curve.ra,
            "dec": curve.dec,
        }
    )
    table.to_parquet(OUT / "DiaSource.parquet", index=False)


def snana(curve: LightCurve, rows: pd.DataFrame) -> None:
    """SNANA's text."""
    head = f"""\
SURVEY: LSST
SNID: {curve.object_id}
RA: {curve.ra} deg
DECL: {curve.dec} deg
MWEBV: {curve.ebv:.4f} +- {curve.ebv / 10:.4f}
HOSTGAL_PHOTOZ: {curve.redshift:.4f} +- {curve.redshift_err:.4f}
NOBS: {len(rows)}
NVAR: 6
VARLIST: MJD BAND FIELD PHOTFLAG FLUXCAL FLUXCALERR
"""
    lines = [
        f"OBS: {row.mjd:.4f} {row.band} WFD {4096 * row.detected} {row.flux * scale(27.5):.3f} "
        f"{row.flux_err * scale(27.5):.3f}\n"
        for row in rows.itertuples()
    ]
    (OUT / f"LSST_{curve.object_id}.DAT").write_text(head + "".join(lines) + "END:\n")


def sncosmo(curve: LightCurve, rows: pd.DataFrame) -> None:
    """A table of sncosmo, as astropy writes it."""
    table = Table(
        {
            "time": rows["mjd"].to_numpy(),
            "band": np.char.add("lsst", rows["band"].to_numpy(np.str_)),
            "flux": (rows["flux"] * scale(25.0)).to_numpy().round(4),
            "fluxerr": (rows["flux_err"] * scale(25.0)).to_numpy().round(4),
            "zp": np.full(len(rows), 25.0),
            "zpsys": np.full(len(rows), "ab"),
        },
        meta={"object_id": curve.object_id, "z": round(curve.redshift, 3), "mwebv": round(curve.ebv, 3)},
    )
    table.write(OUT / "supernova.ecsv", format="ascii.ecsv", overwrite=True)


def main() -> None:
    """Write the files."""
    OUT.mkdir(parents=True, exist_ok=True)
    curves = read(DATA / "plasticc_sample_lightcurves.csv.gz", DATA / "plasticc_sample_metadata.csv.gz")
    curve = curves.find(OBJECT)
    for write in (own_table, magnitudes, rubin, snana, sncosmo):
        write(curve, observed(curve))


if __name__ == "__main__":
    main()
