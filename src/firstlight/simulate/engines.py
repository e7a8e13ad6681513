"""Energy sources of transients, and how their light escapes.

Rows are objects and columns are times on one grid, so every function works on whole
populations: arrays have shape (n_objects,), or (n_objects, n_times) where they vary in time, and
`t` is (n_times,). Times are days since explosion, masses solar, velocities km/s,
luminosities erg/s and lengths cm.
"""

import numpy as np

from firstlight._types import FloatArray
from firstlight.simulate.spectrum import LIGHT_SPEED, SIGMA_SB

DAY = 86_400.0  # s
SOLAR_MASS = 1.98847e33  # g
KMS = 1e5  # cm/s
AU = 1.495978707e13  # cm
ARNETT_BETA = 13.7  # of a nearly constant density; Arnett 1982


def time_grid(last: float, n: int = 256) -> FloatArray:
    """Times from 0 to `last`, denser early, shape (n,) [day]."""
    return last * np.linspace(0.0, 1.0, n) ** 2


def nickel_heating(t: FloatArray, nickel_mass: FloatArray) -> FloatArray:
    """Heat from the decay of 56Ni and 56Co (Nadyozhin 1994, ApJS 92, 527, doi:10.1086/192008)."""
    return nickel_mass[:, None] * (6.45e43 * np.exp(-t / 8.8) + 1.45e43 * np.exp(-t / 111.3))


def magnetar_heating(
    t: FloatArray, period: FloatArray, field: FloatArray, star_mass: FloatArray
) -> FloatArray:
    """Heat from the spin-down of a magnetar of initial `period` [ms] and dipole `field` [1e14 G].

    Kasen & Bildsten 2010, doi:10.1088/0004-637X/717/1/245; Nicholl et al. 2017,
    doi:10.3847/1538-4357/aa9334.
    """
    heavy = (star_mass / 1.4) ** 1.5
    energy = 2.6e52 * heavy * period**-2
    spin_down = 1.3e5 * heavy * period**2 * field**-2 / DAY
    return (energy / (spin_down * DAY))[:, None] / (1.0 + t / spin_down[:, None]) ** 2


def diffusion_time(ejecta_mass: FloatArray, velocity: FloatArray, opacity: FloatArray) -> FloatArray:
    """Effective diffusion time sqrt(2 kappa M / (beta c v)) of Arnett (1982) [day]."""
    squared = 2.0 * opacity * ejecta_mass * SOLAR_MASS / (ARNETT_BETA * LIGHT_SPEED * velocity * KMS)
    return np.sqrt(squared) / DAY


def diffuse(t: FloatArray, heating: FloatArray, tau: FloatArray) -> FloatArray:
    """Luminosity of homologously expanding ejecta heated from within, with diffusion time `tau`.

    Arnett's integral for a small progenitor obeys ``dL/dx = Q - L`` with ``x = (t / tau)^2``. Each
    step is solved exactly for heating linear in x, which is stable for any step, and shows
    Arnett's rule: L = Q where L peaks (Arnett 1982, ApJ 253, 785, doi:10.1086/159681; Chatzopoulos,
    Wheeler & Vinko 2012, doi:10.1088/0004-637X/746/2/121).
    """
    return _relax((t / tau[:, None]) ** 2, heating)


def _relax(x: FloatArray, source: FloatArray) -> FloatArray:
    """Solve dL/dx = S - L from L = 0, for S piecewise linear in x; both (n_objects, n_times)."""
    dx = np.diff(x, axis=1)
    fade = np.exp(-dx)
    # Weights of S at both ends of a step; their limit for a small step is the trapezium's.
    small = dx < 1e-4
    mean = np.where(small, 1.0 - 0.5 * dx, -np.expm1(-dx) / np.where(small, 1.0, dx))
    gain = (mean - fade) * source[:, :-1] + (1.0 - mean) * source[:, 1:]
    out = np.zeros_like(source)
    for k in range(dx.shape[1]):
        out[:, k + 1] = fade[:, k] * out[:, k] + gain[:, k]
    return out


def escape_gamma_rays(
    t: FloatArray,
    luminosity: FloatArray,
    ejecta_mass: FloatArray,
    velocity: FloatArray,
    gamma_opacity: FloatArray,
) -> FloatArray:
    """Luminosity left when gamma rays leak out of thinning ejecta; opacity in [cm^2/g].

    The factor is ``1 - exp(-A / t^2)`` with ``A = 3 kappa_gamma M / (4 pi v^2)`` (Wang et al. 2015,
    doi:10.1088/0004-637X/799/1/107; Nicholl et al. 2017).
    """
    depth = 3.0 * gamma_opacity * ejecta_mass * SOLAR_MASS / (4.0 * np.pi * (velocity * KMS * DAY) ** 2)
    return luminosity * -np.expm1(-depth[:, None] / np.maximum(t, 1e-6) ** 2)


def photosphere_temperature(
    t: FloatArray,
    luminosity: FloatArray,
    velocity: FloatArray,
    floor: FloatArray,
    radius: FloatArray | float = 0.0,
) -> FloatArray:
    """Temperature [K] of a photosphere that expands until it has cooled to `floor`, then recedes.

    `radius` is that at time 0 (Nicholl et al. 2017, doi:10.3847/1538-4357/aa9334).
    """
    start = np.broadcast_to(np.asarray(radius, np.float64), velocity.shape)
    size = start[:, None] + (velocity * KMS)[:, None] * np.maximum(t, 1e-3) * DAY
    free = (luminosity / (4.0 * np.pi * SIGMA_SB * size**2)) ** 0.25
    return np.maximum(free, floor[:, None])


def interact(
    t: FloatArray,
    ejecta_mass: FloatArray,
    velocity: FloatArray,
    shell_mass: FloatArray,
    inner_radius: FloatArray,
    density: FloatArray,
    opacity: FloatArray,
    efficiency: FloatArray,
    slope: int,
) -> tuple[FloatArray, FloatArray]:
    """Luminosity of ejecta that run into circumstellar matter, and radius of its photosphere.

    Ejecta with density ~ r^-12 drive a forward shock into matter with density ~ r^-slope (0 for a
    shell of constant density, 2 for a steady wind) and a reverse shock into themselves, on the
    self-similar path of Chevalier (1982, doi:10.1086/160126), each until it has swept its mass, and
    both until they have spent the energy that an inelastic collision of shell and ejecta sets free.
    `efficiency` is the share of their power that is radiated. It leaks through the optically thick part
    of the matter, whose photosphere stays where it is (Chatzopoulos, Wheeler & Vinko 2012,
    doi:10.1088/0004-637X/746/2/121; Villar et al. 2017, doi:10.3847/1538-4357/aa8fcb).

    `velocity` is the characteristic sqrt(10 E / 3 M) of the ejecta, `inner_radius` [au] and `density`
    [g/cm^3] are those of the matter's inner edge, `opacity` [cm^2/g] is the matter's.
    """
    inner, shell = inner_radius * AU, shell_mass * SOLAR_MASS
    photosphere, thick = _shell_photosphere(shell, inner, density, opacity, slope)
    heating = _shock_heating(
        t,
        mass=ejecta_mass * SOLAR_MASS,
        energy=0.3 * ejecta_mass * SOLAR_MASS * (velocity * KMS) ** 2,
        shell=shell,
        thick=thick,
        q=density * inner**slope,
        slope=slope,
    )
    leak = opacity * thick / (ARNETT_BETA * LIGHT_SPEED * photosphere)
    return _relax(t * DAY / leak[:, None], efficiency[:, None] * heating), photosphere


def _shock_heating(
    t: FloatArray,
    *,
    mass: FloatArray,
    energy: FloatArray,
    shell: FloatArray,
    thick: FloatArray,
    q: FloatArray,
    slope: int,
) -> FloatArray:
    """Power of both shocks in cgs units; `q` is density times radius^slope, (n_objects, n_times)."""
    n, s = 12.0, float(slope)
    # Forward and reverse shock radius over that of the contact, and the constant A, for n = 12.
    forward, reverse, scale = (1.121, 0.974, 0.19) if slope == 0 else (1.226, 0.987, 0.038)
    g_n = (10.0 * (n - 5.0) * energy) ** ((n - 3.0) / 2.0) / (
        4.0 * np.pi * n * (3.0 * (n - 3.0) * mass) ** ((n - 5.0) / 2.0)
    )
    path = (scale * g_n / q) ** (1.0 / (n - s))  # contact radius is path * t^grow
    grow = (n - 3.0) / (n - s)
    # Forward shock sweeps 4 pi q R^(3 - s) / (3 - s), the reverse the ejecta above it.
    swept_forward = ((3.0 - s) * thick / (4.0 * np.pi * q)) ** (1.0 / (3.0 - s)) / forward
    end_forward = (swept_forward / path) ** (1.0 / grow)
    per_time = 4.0 * np.pi * g_n * (reverse * path) ** (3.0 - n) / (n - 3.0)
    end_reverse = (mass / per_time) ** (1.0 / ((n - 3.0) * (1.0 - grow)))
    power = (2.0 * n + 6.0 * s - n * s - 15.0) / (n - s)
    fall = 2.0 * np.pi * (n - 3.0) ** 2 * (n - 5.0) / (n - s) ** 3
    shock_forward = fall * q * (forward * path) ** (5.0 - s)
    shock_reverse = 2.0 * np.pi * g_n * (reverse * path) ** (5.0 - n) * ((3.0 - s) / (n - s)) ** 3
    seconds = np.maximum(t, 0.01) * DAY  # the wind's power diverges at 0
    heating = seconds**power * (
        shock_forward[:, None] * (seconds < end_forward[:, None])
        + shock_reverse[:, None] * (seconds < end_reverse[:, None])
    )
    # The self-similar path does not know that ejecta run out; momentum does.
    budget = energy * shell / (shell + mass)
    heating[:, 1:] *= np.cumsum(heating[:, 1:] * np.diff(t * DAY), axis=1) <= budget[:, None]
    heating *= np.minimum(1.0, budget / np.trapezoid(heating, t * DAY, axis=1))[:, None]
    return heating


def _shell_photosphere(
    shell: FloatArray, inner: FloatArray, density: FloatArray, opacity: FloatArray, slope: int
) -> tuple[FloatArray, FloatArray]:
    """Radius of optical depth 2/3 and the mass below it, both (n_objects,)."""
    depth = 2.0 / 3.0
    if slope == 0:
        outer = (inner**3 + 3.0 * shell / (4.0 * np.pi * density)) ** (1.0 / 3.0)
        radius = np.maximum(outer - depth / (opacity * density), 1.001 * inner)
        return radius, 4.0 * np.pi / 3.0 * density * (radius**3 - inner**3)
    q = density * inner**2
    outer = inner + shell / (4.0 * np.pi * q)
    radius = np.maximum(1.0 / (1.0 / outer + depth / (opacity * q)), 1.001 * inner)
    return radius, 4.0 * np.pi * q * (radius - inner)
