"""Light curves on the device of `autoencoder_gpu.py`: endless copies of them, and what networks read of them.

Needs torch and numpy only. `Curves` are padded light curves, `Sky` holds the training set and makes copies of
it, `Reader` turns curves into a summary, Gaussian-process values and rows of observations. Copies borrow the
visits, errors and redshift errors of objects of their own fold, so that nothing crosses folds.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BAND_WAVELENGTHS = (3709.0, 4767.0, 6194.0, 7539.0, 8668.0, 9739.0)  # ugrizy [Angstrom]
PHASES = (0.0, 2.0, 8.0, 32.0, math.inf)  # days since the trigger at which skill is measured
SCALE = 250.0  # nJy, softening of asinh
TRIGGER_EDGES = (0.0, 5.0, 12.0, 22.0, 35.0, 55.0, 90.0, 150.0)
PEAK_EDGES = (0.0, 6.0, 14.0, 26.0, 42.0, 70.0, 120.0)
REST_EDGES = (-100.0, -50.0, -25.0, -14.0, -7.0, -2.5, 2.5, 7.0, 14.0, 25.0, 40.0, 60.0, 100.0, 200.0)
REST_WAVELENGTHS = (1200.0, 2000.0, 2700.0, 3300.0, 4000.0, 4800.0, 5800.0, 7000.0, 8300.0, 10000.0)
GP_SCALES = (10.0, 30.0, 90.0)  # days
GP_DAYS = (-15.0, -6.0, 0.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 80.0, 110.0, 150.0)
GP_REST_DAYS = (-15.0, -8.0, 0.0, 6.0, 12.0, 20.0, 30.0, 45.0, 70.0)
GP_REST_WAVELENGTHS = (3000.0, 3700.0, 4500.0, 5600.0, 7000.0)
GP_AMPLITUDE, GP_LENGTH, GP_POINTS = 0.6, 6000.0, 112
PERIODS = (8.0, 30.0, 120.0, 480.0)  # days
TOKENS, QUERIES = 128, 32
BIG = 1e9


@dataclass
class Curves:
    """Padded light curves on the device, each (n_objects, longest) but the redshifts."""

    days: Tensor  # since the trigger; ascending, padding last
    band: Tensor  # int64
    flux: Tensor  # nJy
    err: Tensor  # nJy
    detected: Tensor  # bool
    mask: Tensor  # bool
    z: Tensor  # (n_objects,); 0 in the Milky Way, NaN where unknown
    z_err: Tensor

    def upto(self, limit: Tensor) -> "Curves":
        """Observations up to a day since the trigger, (n_objects,)."""
        mask = self.mask & (self.days <= limit[:, None])
        return Curves(
            self.days, self.band, self.flux, self.err, self.detected & mask, mask, self.z, self.z_err
        )

    def take(self, index: Tensor | slice) -> "Curves":
        """Some of the objects."""
        return Curves(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def sorted(self) -> "Curves":
        """Padding moved behind the observations."""
        order = torch.where(self.mask, self.days, BIG).argsort(dim=1)
        ragged = {
            n: getattr(self, n).gather(1, order) for n in ("days", "band", "flux", "err", "detected", "mask")
        }
        return Curves(**ragged, z=self.z, z_err=self.z_err)

    @staticmethod
    def choose(take: Tensor, a: "Curves", b: "Curves") -> "Curves":
        """Objects of `a` where `take` is true, of `b` elsewhere."""
        values = {}
        for name in a.__dataclass_fields__:
            x, y = getattr(a, name), getattr(b, name)
            values[name] = torch.where(take[:, None] if x.dim() == 2 else take, x, y)
        return Curves(**values)


class Sky:
    """The training set on the device, and endless copies of it."""

    def __init__(self, path: Path, device: torch.device, most: int) -> None:
        with np.load(path) as file:
            data = {name: file[name] for name in file.files}
        n = min(most, len(data["label"]))
        counts = np.diff(data["offsets"])[:n]
        longest = int(counts.max())
        place = np.arange(longest) < counts[:, None]
        rows = data["offsets"][n]

        def padded(values: Any, fill: float, kind: Any) -> Tensor:
            out = np.full((n, longest), fill, dtype=kind)
            out[place] = values[:rows]
            return torch.from_numpy(out).to(device)

        self.device, self.n = device, n
        self.half = torch.bfloat16 if device.type == "cuda" else torch.float32
        self.curves = Curves(
            padded(data["days"], 0.0, np.float32),
            padded(data["band"] & 7, 0, np.int64),
            padded(data["flux"], 0.0, np.float32),
            padded(np.exp(data["log_err"].astype(np.float32)), 1.0, np.float32),
            padded(data["band"] >= 8, False, bool),
            torch.from_numpy(place).to(device),
            torch.from_numpy(data["z"][:n].astype(np.float32)).to(device),
            torch.from_numpy(data["z_err"][:n].astype(np.float32)).to(device),
        )
        self.label = torch.from_numpy(data["label"][:n].astype(np.int64)).to(device)
        self.fold = torch.from_numpy(data["fold"][:n].astype(np.int64)).to(device)
        self.n_classes = len(data["classes"])
        self.z_spec = torch.from_numpy(data["z_spec"][:n].astype(np.float32)).to(device)
        self.modulus_z = torch.from_numpy(data["modulus_z"].astype(np.float32)).to(device)
        self.modulus = torch.from_numpy(data["modulus"].astype(np.float32)).to(device)
        kept = data["surface_of"] < n
        self.surface = torch.from_numpy(data["surface"][kept].astype(np.float32)).to(device)
        self.surface_peak = torch.from_numpy(data["surface_peak"][kept]).to(device)
        self.surface_row = torch.full((n,), -1, dtype=torch.int64, device=device)
        self.surface_row[torch.from_numpy(data["surface_of"][kept].astype(np.int64)).to(device)] = (
            torch.arange(int(kept.sum()), device=device)
        )
        self.grid_days = torch.from_numpy(data["grid_days"].astype(np.float32)).to(device)
        self.grid_wavelengths = torch.from_numpy(data["grid_wavelengths"].astype(np.float32)).to(device)
        self.wavelength = torch.tensor(BAND_WAVELENGTHS, device=device)
        self.sky_err = self._sky_errors()
        # Copies borrow visits, errors and redshift errors within a fold, so that nothing crosses folds.
        self.fold_order = self.fold.argsort()
        self.fold_sorted = self.fold[self.fold_order].contiguous()

    def _sky_errors(self) -> Tensor:
        """Median error of each object and band, (n_objects, 6) [nJy]."""
        c, out = self.curves, []
        for b in range(6):
            out.append(torch.where(c.mask & (c.band == b), c.err, torch.nan).nanmedian(dim=1).values)
        found = torch.stack(out, dim=1)
        return torch.where(found.isnan(), found.nanmedian(dim=1, keepdim=True).values, found)

    def _mate(self) -> Tensor:
        """For every object a random one of its fold, (n_objects,)."""
        start = torch.searchsorted(self.fold_sorted, self.fold)
        stop = torch.searchsorted(self.fold_sorted, self.fold, right=True)
        place = start + (torch.rand(self.n, device=self.device) * (stop - start)).long()
        return self.fold_order[torch.minimum(place, stop - 1)]

    def distance(self, z: Tensor) -> Tensor:
        """Distance modulus [mag], by linear interpolation in a table."""
        z = z.clamp(float(self.modulus_z[0]), float(self.modulus_z[-1]))
        right = torch.searchsorted(self.modulus_z, z.contiguous()).clamp(1, len(self.modulus_z) - 1)
        low, high = self.modulus_z[right - 1], self.modulus_z[right]
        part = (z - low) / (high - low)
        return self.modulus[right - 1] * (1 - part) + self.modulus[right] * part

    def flux_at(self, row: Tensor, days: Tensor, wavelength: Tensor) -> Tensor:
        """Bilinear interpolation of surfaces, NaN where unknown; `days` and `wavelength` are (n, longest)."""

        def cell(grid: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
            right = torch.searchsorted(grid, x.contiguous()).clamp(1, len(grid) - 1)
            part = (x - grid[right - 1]) / (grid[right] - grid[right - 1])
            return right, torch.where((part < 0) | (part > 1), torch.nan, part)

        i, p = cell(self.grid_days, days)
        j, q = cell(self.grid_wavelengths, wavelength)
        r = row[:, None].expand_as(i)
        s = self.surface
        outside = (days < self.grid_days[0]) | (
            days > self.grid_days[-1]
        )  # what has a surface is quiet there
        value = (s[r, i - 1, j - 1] * (1 - p) + s[r, i, j - 1] * p) * (1 - q)
        value = value + (s[r, i - 1, j] * (1 - p) + s[r, i, j] * p) * q
        return torch.where(outside & ~q.isnan(), 0.0, value)

    def augment(self, reobserved: float, cut: float) -> tuple[Curves, Tensor]:
        """A changed copy of every object, and the day up to which the encoder sees it."""
        own = self._own()
        if reobserved > 0.0:
            again, good = self._again()
            good &= torch.rand(self.n, device=self.device) < reobserved
            own = Curves.choose(good, again, own)
        own = own.sorted()
        u = torch.rand(self.n, device=self.device)
        days = torch.exp(math.log(0.3) + u * math.log(400.0 / 0.3))
        whole = torch.rand(self.n, device=self.device) >= cut
        return own, torch.where(whole, math.inf, days)

    def _own(self) -> Curves:
        """Own observations: thinned, noisier, some without redshift; four in ten as they are."""
        c, n = self.curves, self.n
        changed = torch.rand(n, device=self.device) >= 0.4
        drop = torch.where(changed, 0.4 * torch.rand(n, device=self.device), 0.0)
        mask = c.mask & ((torch.rand_like(c.days) >= drop[:, None]) | (c.days == 0.0))
        extra = torch.where(changed, 0.7 * torch.rand(n, device=self.device), 0.0)[:, None]
        flux = c.flux + extra * c.err * torch.randn_like(c.flux)
        hidden = changed & (torch.rand(n, device=self.device) < 0.1)
        z = torch.where(hidden, torch.nan, c.z)
        return Curves(
            c.days, c.band, flux, c.err * (1 + extra**2).sqrt(), c.detected & mask, mask, z, c.z_err
        )

    def _again(self) -> tuple[Curves, Tensor]:
        """Every object with a surface at another redshift, with the visits of another; and which are good."""
        n, device = self.n, self.device
        has = self.surface_row >= 0
        row = self.surface_row.clamp(min=0)
        mate = self._mate()
        donor, sky = self.curves.take(mate), self.sky_err[mate]
        z = self.z_spec.clamp(min=0.002)
        stretch = torch.exp(torch.empty(n, device=device).uniform_(math.log(0.92), math.log(1.15)))
        z_new = ((1 + z) * stretch - 1).clamp(min=0.008)
        stretch = (1 + z_new) / (1 + z)
        gain = 10.0 ** (0.4 * (self.distance(z) - self.distance(z_new))) * stretch
        gain = gain * 10.0 ** (0.06 * torch.randn(n, device=device))
        days = donor.days + 30.0 * (torch.rand(n, 1, device=device) - 0.5)
        wavelength = self.wavelength[donor.band] / stretch[:, None]
        true = self.flux_at(row, days / stretch[:, None], wavelength)
        true = true * (self.surface_peak[row] * gain)[:, None]
        mask = donor.mask & ~true.isnan()
        true = torch.nan_to_num(true)
        quiet = torch.minimum(donor.err, sky.gather(1, donor.band))
        err = (quiet**2 + (0.005 * true) ** 2 + 0.04 * quiet * true.abs()).sqrt()
        flux = true + err * torch.randn_like(err)
        snr = flux / err
        detected = mask & (snr > 3.0) & (torch.rand_like(err) < torch.sigmoid(snr - 5.5))
        trigger = torch.where(detected, days, BIG).amin(dim=1)
        good = has & (detected.sum(dim=1) >= 2) & (mask.sum(dim=1) >= 8)
        days = days - torch.where(good, trigger, 0.0)[:, None]
        z_photo, z_err = self._photometric(z_new)
        return Curves(days, donor.band, flux, err, detected, mask, z_photo, z_err), good

    def _photometric(self, z_new: Tensor) -> tuple[Tensor, Tensor]:
        """Photometric redshifts as those of hosts at about the same redshift."""
        hosts = torch.nonzero((self.curves.z > 0) & (self.z_spec > 0))[:, 0]
        key = self.z_spec + 100.0 * self.fold  # folds one after another
        hosts = hosts[key[hosts].argsort()]
        fold = self.fold[hosts].contiguous()
        start = torch.searchsorted(fold, self.fold)
        stop = torch.searchsorted(fold, self.fold, right=True)
        place = torch.searchsorted(key[hosts], (z_new + 100.0 * self.fold).contiguous())
        place = place + torch.randint(-5, 6, place.shape, device=self.device)
        host = hosts[torch.minimum(torch.maximum(place, start), stop - 1)]
        ratio = (1 + self.curves.z[host]) / (1 + self.z_spec[host])
        return ((1 + z_new) * ratio - 1).clamp(min=0.003), self.curves.z_err[host]


def asinh_days(days: Tensor) -> Tensor:
    return torch.asinh(days / 10.0) / 2.0


class Reader:
    """Curves to the inputs and targets of a network: summary, shape, Gaussian process, tokens."""

    def __init__(self, sky: Sky) -> None:
        self.sky = sky

    def summarise(self, c: Curves) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Numbers that describe the curve, their weights as targets, peak and its time."""
        m = c.mask
        one = functional.one_hot(c.band, 6).float() * m[..., None]
        low = torch.where(m, c.flux - 2 * c.err, -BIG)
        at = low.argmax(dim=1, keepdim=True)
        peak = torch.maximum(c.flux.gather(1, at), 2 * c.err.gather(1, at))[:, 0].clamp(min=1.0)
        when = c.days.gather(1, at)[:, 0]
        parts = [self._scalars(c, one, at, peak, when), self._bands(c, one, when), self._lags(c)]
        weights = [torch.full_like(parts[0], 0.3), torch.ones_like(parts[1]), torch.full_like(parts[2], 0.3)]
        windows, known = self._windows(c, peak, when)
        parts += [windows, self._contrasts(windows, known), known]
        weights += [4.0 * known, torch.full_like(parts[4], 0.3), torch.zeros_like(known)]
        shape, known = self._shape(c, peak, when)
        parts += [shape, known]
        weights += [8.0 * known, torch.zeros_like(known)]
        redshift, known = self._redshift(c, one, peak)
        parts.append(redshift)
        weights.append(3.0 * known)
        return torch.cat(parts, dim=1), torch.cat(weights, dim=1), peak, when

    def _scalars(self, c: Curves, one: Tensor, at: Tensor, peak: Tensor, when: Tensor) -> Tensor:
        n = c.mask.sum(dim=1).clamp(min=1)
        first = torch.where(c.mask, c.days, BIG).amin(dim=1)
        last = torch.where(c.mask, c.days, -BIG).amax(dim=1)
        last_det = torch.where(c.detected, c.days, -BIG).amax(dim=1).clamp(min=0.0)
        dip = torch.where(c.mask, c.flux + 2 * c.err, BIG).amin(dim=1)
        n_det = c.detected.sum(dim=1)
        after = (c.mask & (c.days >= 0)).sum(dim=1).clamp(min=1)
        gaps = (c.days[:, 1:] - c.days[:, :-1] > 60.0) & c.mask[:, 1:]
        later = (torch.where(c.detected, c.days, 0.0) > 150.0).sum(dim=1)
        columns = [
            n.float().log(), n_det.float().log1p(), n_det / after, gaps.sum(dim=1).float(),
            later.float().log1p(), asinh_days(first), asinh_days(last), asinh_days(last_det),
            asinh_days(when), asinh_days(last - when), asinh_days(last - last_det),
            torch.asinh(peak / SCALE), torch.asinh(dip / SCALE), (dip / peak).clamp(-3, 3),
        ]  # fmt: skip
        return torch.cat(
            [torch.stack(columns, dim=1), functional.one_hot(c.band.gather(1, at)[:, 0], 6).float()], dim=1
        )

    def _bands(self, c: Curves, one: Tensor, when: Tensor) -> Tensor:
        n = one.sum(dim=1)
        safe = n.clamp(min=1)
        snr, y = c.flux / c.err, torch.asinh(c.flux / SCALE)

        def mean(v: Tensor) -> Tensor:
            return torch.einsum("nlb,nl->nb", one, v) / safe

        def largest(v: Tensor) -> Tensor:
            return torch.where(one > 0, v[..., None], -BIG).amax(dim=1)

        some = (n > 0).float()
        mu = mean(y)
        centred = y - mu.gather(1, c.band)
        var = mean(centred**2)
        sd = (var + 1e-4).sqrt()
        w = 1 / c.err**2
        level = torch.einsum("nlb,nl->nb", one, w * c.flux) / torch.einsum("nlb,nl->nb", one, w).clamp(
            min=1e-20
        )
        excess = mean(((c.flux - level.gather(1, c.band)) / c.err) ** 2)
        light = torch.where(snr > 2, c.flux.clamp(min=0), 0.0)
        total = mean(light)
        middle = mean(light * (c.days - when[:, None])) / total.clamp(min=1e-3)
        spread = mean(light * (c.days - when[:, None] - middle.gather(1, c.band)) ** 2) / total.clamp(
            min=1e-3
        )
        high = c.flux - 2 * c.err
        top = torch.where(one > 0, high[..., None], -BIG).argmax(dim=1)
        columns = [
            n / n.sum(dim=1, keepdim=True).clamp(min=1), mu, sd, mean(centred**3) / sd**3 / 3,
            mean(centred**4) / sd**4 / 10, excess.log1p(), torch.asinh(largest(snr)) / 2,
            torch.asinh(-largest(-snr)) / 2, torch.asinh(largest(high) / SCALE),
            torch.asinh(-largest(-(c.flux + 2 * c.err)) / SCALE), mean(c.detected.float()),
            mean((snr > 3).float()), mean((snr < -3).float()),
            asinh_days(c.days.gather(1, top) - when[:, None]), asinh_days(middle),
            spread.clamp(min=0).sqrt().log1p(),
        ]  # fmt: skip
        return (torch.stack(columns, dim=2) * some[..., None]).flatten(1)

    def _lags(self, c: Curves) -> Tensor:
        """Squared differences of successive fluxes of a band over their error, by the time between."""
        order = torch.where(c.mask, c.band * 1e4 + c.days, 1e6).argsort(dim=1)
        band, days, flux, err, mask = (x.gather(1, order) for x in (c.band, c.days, c.flux, c.err, c.mask))
        same = (band[:, 1:] == band[:, :-1]) & mask[:, 1:] & mask[:, :-1]
        lag = days[:, 1:] - days[:, :-1]
        square = (flux[:, 1:] - flux[:, :-1]) ** 2 / (err[:, 1:] ** 2 + err[:, :-1] ** 2)
        kind = (lag > 1.5).long() + (lag > 12.0).long()
        cell = band[:, 1:] * 3 + kind
        total = torch.zeros(len(lag), 18, device=lag.device).scatter_add_(1, cell, square * same)
        count = torch.zeros_like(total).scatter_add_(1, cell, same.float())
        return (total / count.clamp(min=1)).log1p()

    def _shrunk(self, cell: Tensor, use: Tensor, c: Curves, peak: Tensor, n: int) -> tuple[Tensor, Tensor]:
        w = use / (c.err**2 + (0.02 * peak[:, None]) ** 2)
        weight = torch.zeros(len(peak), n, device=peak.device).scatter_add_(1, cell, w)
        total = torch.zeros_like(weight).scatter_add_(1, cell, w * c.flux)
        prior = 1 / (0.3 * peak[:, None]) ** 2
        return (total / (weight + prior) / peak[:, None]).clamp(-2, 2) / 0.3, weight / (weight + prior)

    def _windows(self, c: Curves, peak: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        edges = torch.tensor(TRIGGER_EDGES, device=peak.device)
        first = torch.bucketize(c.days, edges, right=True) * 6 + c.band
        a = self._shrunk(first, c.mask.float(), c, peak, 54)
        edges = torch.tensor(PEAK_EDGES, device=peak.device)
        after = torch.bucketize(c.days - when[:, None], edges, right=True) - 1
        b = self._shrunk(after.clamp(min=0) * 6 + c.band, (c.mask & (after >= 0)).float(), c, peak, 42)
        return torch.cat([a[0], b[0]], dim=1), torch.cat([a[1], b[1]], dim=1)

    def _contrasts(self, windows: Tensor, known: Tensor) -> Tensor:
        value = windows.reshape(-1, 16, 6)
        error = 0.3 * (1 - known.reshape(-1, 16, 6)).clamp(min=0).sqrt() + 0.02
        a, b = value[:, :, :-1], value[:, :, 1:]
        return ((a - b) / (a.abs() + b.abs() + error[:, :, :-1] + error[:, :, 1:])).flatten(1)

    def _shape(self, c: Curves, peak: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        stretch = 1 + torch.nan_to_num(c.z).clamp(min=0)[:, None]
        t_edges = torch.tensor(REST_EDGES, device=peak.device)
        w_edges = torch.tensor(REST_WAVELENGTHS, device=peak.device)
        row = torch.bucketize((c.days - when[:, None]) / stretch, t_edges, right=True) - 1
        column = torch.bucketize(self.sky.wavelength[c.band] / stretch, w_edges, right=True) - 1
        inside = (row >= 0) & (row < 13) & (column >= 0) & (column < 9) & c.mask
        cell = row.clamp(0, 12) * 9 + column.clamp(0, 8)
        return self._shrunk(cell, inside.float(), c, peak, 117)

    def _redshift(self, c: Curves, one: Tensor, peak: Tensor) -> tuple[Tensor, Tensor]:
        known = (~c.z.isnan()).float()
        z = torch.nan_to_num(c.z)
        outside = known * (z > 0)
        high = torch.where(one > 0, (c.flux - 2 * c.err)[..., None], -BIG).amax(dim=1).clamp(min=0.1 * SCALE)
        bright = torch.cat([peak[:, None].clamp(min=0.1 * SCALE), high], dim=1)
        magnitude = 31.4 - 2.5 * bright.log10() - self.sky.distance(z)[:, None]
        absolute = (-(magnitude + 19.0)).clamp(-12, 8) * outside[:, None] / 3.0
        log_z = ((z.clamp(min=0.0) + 0.02).log() - math.log(0.02)) * known
        log_err = ((c.z_err.clamp(0, 10) + 0.01).log() - math.log(0.01)) * outside
        own = torch.stack([known, known * (z == 0), log_z, log_err], dim=1)
        weight = torch.stack([0 * known, known, known, 0 * known], dim=1)
        return torch.cat([own, absolute], dim=1), torch.cat([weight, outside[:, None].expand(-1, 7)], dim=1)

    def process(self, c: Curves, peak: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and precision of a Gaussian process on two grids, in pieces of 1024 objects."""
        found = [
            self._process(c.take(slice(i, i + 1024)), peak[i : i + 1024], when[i : i + 1024])
            for i in range(0, len(peak), 1024)
        ]
        return torch.cat([f[0] for f in found]), torch.cat([f[1] for f in found])

    def _process(self, c: Curves, peak: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        n = len(peak)
        use = c.mask & (c.days > -100) & (c.days < 200)
        rank = torch.rand_like(c.days) + c.detected + 4.0 * use
        index = rank.topk(min(GP_POINTS, c.days.shape[1]), dim=1).indices
        t, b, f, e, m = (x.gather(1, index) for x in (c.days, c.band, c.flux, c.err, use))
        y = torch.where(m, (f / peak[:, None]).clamp(-5, 5), 0.0)
        noise = torch.where(m, (e / peak[:, None]).clamp(max=5.0) ** 2 + (0.01 * y) ** 2 + 1e-4, 1.0)
        w = self.sky.wavelength[b]
        both = m[:, :, None] & m[:, None, :]
        colour = torch.where(both, GP_AMPLITUDE * matern(w[:, :, None] - w[:, None, :], GP_LENGTH), 0.0)
        apart = t[:, :, None] - t[:, None, :]
        best = torch.full((n,), -BIG, device=t.device)
        scale = torch.full((n,), GP_SCALES[0], device=t.device)
        for length in GP_SCALES:
            lower, _ = torch.linalg.cholesky_ex(colour * matern(apart, length) + torch.diag_embed(noise))
            z = torch.linalg.solve_triangular(lower, y[:, :, None], upper=False)[..., 0]
            fit = -0.5 * (z**2).sum(dim=1) - lower.diagonal(dim1=1, dim2=2).clamp(min=1e-6).log().sum(dim=1)
            fit = torch.nan_to_num(fit, nan=-BIG)
            scale = torch.where(fit > best, length, scale)
            best = torch.maximum(best, fit)
        lower, _ = torch.linalg.cholesky_ex(
            colour * matern(apart, scale[:, None, None]) + torch.diag_embed(noise)
        )
        at_t, at_w = self._grid(c.z, when)
        cross = GP_AMPLITUDE * matern(t[:, :, None] - at_t[:, None, :], scale[:, None, None])
        cross = cross * matern(w[:, :, None] - at_w[:, None, :], GP_LENGTH) * m[:, :, None]
        solved = torch.linalg.solve_triangular(lower, torch.cat([cross, y[:, :, None]], dim=2), upper=False)
        mean = torch.einsum("npg,np->ng", solved[:, :, :-1], solved[:, :, -1])
        var = GP_AMPLITUDE - (solved[:, :, :-1] ** 2).sum(dim=1)
        known = (1 - var.clamp(min=0) / GP_AMPLITUDE).clamp(0, 1)
        return torch.nan_to_num(mean).clamp(-3, 3) / 0.3, torch.nan_to_num(known)

    def _grid(self, z: Tensor, when: Tensor) -> tuple[Tensor, Tensor]:
        device, n = z.device, len(z)
        days = torch.tensor(GP_DAYS, device=device).repeat_interleave(6).expand(n, -1)
        wavelength = self.sky.wavelength.repeat(len(GP_DAYS)).expand(n, -1)
        stretch = 1 + torch.nan_to_num(z).clamp(min=0)[:, None]
        rest = torch.tensor(GP_REST_DAYS, device=device).repeat_interleave(len(GP_REST_WAVELENGTHS))
        colour = torch.tensor(GP_REST_WAVELENGTHS, device=device).repeat(len(GP_REST_DAYS))
        return (
            torch.cat([days, when[:, None] + rest * stretch], dim=1),
            torch.cat([wavelength, colour * stretch], dim=1),
        )

    def tokens(self, c: Curves) -> tuple[Tensor, Tensor]:
        """Observations as rows, (n, TOKENS, channels), and how many; detections and the year come first."""
        rank = torch.rand_like(c.days) + c.detected + 1.0 * ((c.days > -60) & (c.days < 200)) + 8.0 * c.mask
        index = rank.topk(min(TOKENS, c.days.shape[1]), dim=1).indices.sort(dim=1).values
        days, band, flux, err, det, m = (
            x.gather(1, index) for x in (c.days, c.band, c.flux, c.err, c.detected, c.mask)
        )
        top = torch.where(m, flux - 2 * err, -BIG).cummax(dim=1).values.clamp(min=50.0)
        gap = torch.cat([torch.zeros_like(days[:, :1]), days[:, 1:] - days[:, :-1]], dim=1)
        first = torch.stack(
            [
                torch.asinh(flux / SCALE) / 3, (flux / top).clamp(-3, 3), torch.asinh(flux / err) / 3,
                (err / SCALE).log() / 2, torch.asinh(gap.clamp(min=0)) / 2, det.float(),
            ],
            dim=2,
        )  # fmt: skip
        values = torch.cat([first, self.where(days, band, c.z)], dim=2) * m[..., None]
        return values, m.sum(dim=1).clamp(min=1)

    def where(self, days: Tensor, band: Tensor, z: Tensor) -> Tensor:
        """Times and bands of observations in the observer's frame and at rest."""
        stretch = 1 + torch.nan_to_num(z).clamp(min=0)[:, None]
        rest = days / stretch
        angle = rest[..., None] * (2 * math.pi / torch.tensor(PERIODS, device=days.device))
        columns = [asinh_days(days), asinh_days(rest), (self.sky.wavelength[band] / stretch / 5000).log()]
        return torch.cat(
            [torch.stack(columns, dim=2), functional.one_hot(band, 6).float(), angle.sin(), angle.cos()],
            dim=2,
        )

    def pool(self, c: Curves, limit: Tensor, targets: bool = True) -> dict[str, Tensor]:
        """Everything that a training step or a measurement reads, for all objects."""
        shown = c.upto(limit)
        summary, _, peak, when = self.summarise(shown)
        mean, known = self.process(shown, peak, when)
        tokens, length = self.tokens(shown)
        out = {"tokens": tokens.to(self.sky.half), "length": length, "summary": summary}
        out["gp"] = torch.cat([mean, known], dim=1)
        if not targets:
            return out
        summary, weight, peak, when = self.summarise(c)
        mean, known = self.process(c, peak, when)
        out["target"] = torch.cat([summary, mean], dim=1)
        out["target_weight"] = torch.cat([weight, 4.0 * known], dim=1)
        index = (torch.rand_like(c.days) + c.detected + 8.0 * c.mask).topk(QUERIES, dim=1).indices
        days, band, flux, err, m = (x.gather(1, index) for x in (c.days, c.band, c.flux, c.err, c.mask))
        out["query"] = self.where(days, band, c.z).to(self.sky.half)
        out["query_flux"] = (flux / peak[:, None]).clamp(-5, 5) * m
        out["query_weight"] = m / ((err / peak[:, None]).clamp(max=1e3) ** 2 + 0.01)
        return out


def matern(distance: Tensor, length: float | Tensor) -> Tensor:
    x = math.sqrt(3.0) * distance.abs() / length
    return (1 + x) * torch.exp(-x)
