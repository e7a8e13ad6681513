"""ParSNIP: its shipped encoder for PLAsTiCC with photometric redshifts, and its LightGBM classifier.

The encoder is the authors'. They ship no classifier, so it is fitted here by their recipe on
the predictions for all transients of the file. A call is `ParsnipModel.predict` on one astropy
table in memory, and `Classifier.classify` of its output. By default `load_model` uses eight
processes, which every call starts again; so it is timed with one thread, as all peers, and
with the default.
"""

from typing import Any

import contest  # first: it sets the number of threads
import numpy as np
import sncosmo
import speclite.filters
from astropy.table import Table


def register_bands() -> None:
    """LSST's throughputs, which sncosmo would otherwise download."""
    for band in contest.BANDS:
        response = speclite.filters.load_filter(f"lsst2023-{band}")
        sncosmo.register(
            sncosmo.Bandpass(response.wavelength, response.response, name=f"lsst{band}"), force=True
        )


def table(curve: contest.Curve) -> Any:
    """A light curve as ParSNIP takes it: its encoder was trained with zero point 27.5."""
    scale = 10 ** (-0.4 * (31.4 - 27.5))
    columns = {
        "time": curve.mjd,
        "band": np.array([f"lsst{band}" for band in contest.BANDS])[curve.band],
        "flux": curve.flux * scale,
        "fluxerr": curve.flux_err * scale,
    }
    meta = {
        "object_id": curve.object_id,
        "ra": curve.ra,
        "dec": curve.dec,
        "type": curve.label,
        "redshift": curve.redshift,
        "hostgal_specz": curve.redshift,  # required, but used in training alone
        "hostgal_photoz": curve.redshift,
        "hostgal_photoz_err": curve.redshift_err,
    }
    return Table(columns, meta=meta)


def main() -> None:
    args = contest.arguments()
    register_bands()
    import parsnip

    curves = contest.read_curves(args.curves)
    tables = [table(curve) for curve in curves]
    model = parsnip.load_model("plasticc_photoz", threads=1)
    predictions = model.predict(tables)
    predictions["original_object_id"] = predictions["object_id"]
    classifier = parsnip.Classifier()
    classifier.train(predictions, num_folds=10, labels=np.array([curve.label for curve in curves]))
    for one in classifier.classifiers:
        one.set_params(n_jobs=1)

    def single(i: int) -> None:
        classifier.classify(Table([model.predict(tables[i])]))

    def batch() -> Any:
        some = [table(curve) for curve in curves[: contest.N_BATCH]]
        return lambda: classifier.classify(model.predict(some))

    what = {"what": "one call to predict and classify on the whole light curve"}
    times = {"ParSNIP": contest.compete(single, batch) | what}
    model.threads = 8
    times["ParSNIP, processes as by default"] = contest.compete(single, batch) | what
    contest.write(args.out, ("astro-parsnip", "torch", "lightgbm", "numpy"), times)


if __name__ == "__main__":
    main()
