"""Laws of the encoder: parity of stream and batch, causality, and its formulas against slow ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.encoder._reference import encode_numpy, encode_onnx, gru_cell, latents, step, stream

from firstlight.encoder import Encoder, EncoderConfig, TrainConfig, VaeConfig, running
from firstlight.encoder.augment import augment
from firstlight.encoder.graph import build_graph
from firstlight.encoder.steps import CONTEXT_NAMES, N_CONTEXT, make_steps
from firstlight.encoder.train import _batch, _make_targets
from firstlight.encoder.vae import N_TARGETS, RnnVae
from firstlight.errors import DataError
from firstlight.lightcurves import LightCurves

ATOL = 1e-5
SMALL = VaeConfig(hidden=8, width=16, head_width=16)


def untrained(seed=0, **sizes):
    """An encoder with weights as torch draws them."""
    torch.manual_seed(seed)
    config = EncoderConfig(vae=replace(SMALL, **sizes))
    weights = {name: value.numpy() for name, value in RnnVae(config.vae).state_dict().items()}
    return Encoder(config, weights)


@pytest.fixture(scope="module")
def plain():
    return untrained()


def observation(flux=500.0, flux_err=20.0, n=1, gap=2.0, band=2, redshift=np.nan, detected=None):
    """One object observed n times."""
    columns = {} if detected is None else {"detected": np.broadcast_to(np.asarray(detected), n)}
    return LightCurves(
        object_id=np.array(["a"]),
        offsets=np.array([0, n]),
        mjd=60_000.0 + gap * np.arange(n),
        band=np.broadcast_to(band, n),
        flux=np.broadcast_to(np.asarray(flux, dtype=float), n),
        flux_err=np.broadcast_to(np.asarray(flux_err, dtype=float), n),
        redshift=np.array([redshift]),
        redshift_err=np.array([0.05 * redshift]),
        **columns,
    )


def assert_close(a, b, atol=ATOL):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=0.0, atol=atol)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_shuffled_nights_once_sorted_give_the_latents_of_the_stream(plain, sample, seed):
    rng = np.random.default_rng(seed)
    part = sample.take([int(rng.integers(len(sample)))])
    once = np.isin(
        part.mjd, [m for m, n in zip(*np.unique(part.mjd, return_counts=True), strict=True) if n == 1]
    )
    rows, objects = part.keep(once).to_pandas()
    arrived = rows.sample(frac=1.0, random_state=int(rng.integers(2**31)))
    history = LightCurves.from_pandas(arrived, objects, dereddened=True)
    one = part.keep(once)[0]
    assert_close(stream(plain, one, range(len(one))), plain.encode(history))


def test_a_late_night_is_refused_and_encoding_all_of_it_gives_the_same(plain, sample):
    """A night that arrives last: the state cannot step back, so the history is encoded again."""
    part = sample.take([44])
    one, late = part[0], 12
    others = [k for k in range(len(one)) if k != late and one.mjd[k] != one.mjd[late]]
    state = plain.initial_state()
    for k in others:
        state = step(plain, state, one.mjd[k], one.band[k], one.flux[k], one.flux_err[k], one.detected[k])
    with pytest.raises(DataError, match="sort the history and encode all of it"):
        step(plain, state, one.mjd[late], one.band[late], one.flux[late], one.flux_err[late], False)
    again = stream(plain, one, sorted([*others, late]))
    keep = np.zeros(len(one), dtype=bool)
    keep[[*others, late]] = True
    assert_close(again, plain.encode(part.keep(keep)))


def test_a_value_measured_again_moments_later_counts_alike_in_stream_and_batch(plain, sample):
    part = sample.take([10])
    twice = np.sort(np.concatenate([np.arange(len(part.mjd)), [4, 4, 9]]))
    again = np.arange(len(twice)) - np.searchsorted(twice, twice)  # 0 for the first of a value
    repeated = LightCurves(
        part.object_id,
        np.array([0, len(twice)]),
        part.mjd[twice] + 1e-4 * again,
        part.band[twice],
        part.flux[twice],
        part.flux_err[twice],
        part.detected[twice],
        redshift=part.redshift,
        redshift_err=part.redshift_err,
    )
    one = repeated[0]
    assert_close(stream(plain, one, range(len(one))), plain.encode(repeated))


def test_the_redshift_may_arrive_at_any_time(plain, sample):
    """The state holds light alone: a host found late needs no new start."""
    part = sample.take([120])
    state = plain.advance(plain.initial_state(), part)
    for redshift in (np.nan, 0.0, 0.3):
        known = part.with_columns(redshift=np.array([redshift]), redshift_err=np.array([0.01]))
        assert_close(latents(plain, state, redshift, 0.01), plain.encode(known))


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32), days=st.floats(0.0, 100.0))
def test_the_future_changes_no_latent_of_the_past(plain, sample, seed, days):
    part = sample.take(np.arange(4, len(sample), 25))
    rng = np.random.default_rng(seed)
    limit = part.trigger_mjd + days
    later = part.mjd > limit[part.object_index]
    other = part.with_columns(
        flux=np.where(later, rng.normal(0.0, 1e6, len(later)), part.flux),
        detected=part.detected ^ later,
    )
    assert_close(plain.encode(other.upto_mjd(limit)), plain.encode(part.upto_mjd(limit)), atol=0.0)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 130])
def test_latents_do_not_change_at_the_borders_of_a_batch(plain, sample, n):
    whole = plain.encode(sample.take(np.arange(130)))
    part = plain.encode(sample.take(np.arange(n)))
    assert_close(part, [value[:n] for value in whole])


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("latent", [1, 25])
def test_stream_batch_and_the_references_agree_for_any_size(sample, layers, latent):
    encoder = untrained(layers=layers, latent=latent, hidden=5)
    part = sample.take([2, 60])
    batch = encoder.encode(part)
    assert batch.mean.shape == (2, latent)
    assert_close(batch, encode_onnx(encoder, part))
    assert_close(batch, encode_numpy(encoder, part))
    for i in range(2):
        assert_close(stream(encoder, part[i], range(len(part[i]))), [value[i : i + 1] for value in batch])


def test_states_step_apart(plain):
    """One object's observation does not touch its neighbour's state."""
    state = plain.initial_state(2)
    state = step(plain, state, [1.0, 1.0], [0, 0], [100.0, 100.0], [5.0, 5.0], [True, True])
    other = step(plain, state, [9.0, 9.0], [1, 1], [100.0, -1e7], [5.0, 5.0], [True, False])
    same = step(plain, state, [9.0, 9.0], [1, 1], [100.0, 100.0], [5.0, 5.0], [True, True])
    np.testing.assert_array_equal(other.running[0], same.running[0])
    np.testing.assert_array_equal(other.hidden[0], same.hidden[0])
    assert not np.array_equal(other.running[1], same.running[1])


def test_picked_states_go_on_like_the_originals(plain, sample):
    states = step(
        plain, plain.initial_state(3), [1.0, 2.0, 3.0], [0, 1, 2], [9.0, 8.0, 7.0], [1.0] * 3, [True] * 3
    )
    picked = states.take([2])
    alone = step(plain, picked, 30.0, 4, 70.0, 2.0, True)
    every = step(plain, states, [30.0] * 3, [4] * 3, [70.0] * 3, [2.0] * 3, [True] * 3)
    np.testing.assert_array_equal(alone.running[0], every.running[2])
    np.testing.assert_allclose(alone.hidden[0], every.hidden[2], atol=1e-6)


def test_the_size_of_a_state_does_not_grow(plain, sample):
    sizes = {plain.advance(plain.initial_state(), sample.take([i])).running.nbytes for i in (0, 100)}
    assert sizes == {plain.initial_state().running.nbytes}


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"detected": False},
        {"flux": -1e8, "flux_err": 1.0, "n": 5},
        {"flux": 1e10, "flux_err": 1e-3, "n": 5},
        {"flux": 0.0, "flux_err": 1e9, "n": 3},
        {"n": 30, "gap": 1e-4},
        {"n": 6, "gap": 0.0, "band": np.arange(6)},
        {"n": 40, "gap": 90.0},
        {"redshift": 0.0},
        {"redshift": 5.0, "flux": 1e6},
    ],
)
def test_awkward_curves_have_finite_latents_that_the_stream_agrees_with(plain, columns):
    curves = observation(**columns)
    whole = plain.encode(curves)
    assert all(np.isfinite(value).all() for value in whole)
    assert (whole.log_var >= -12.0).all()
    assert (whole.log_var <= 4.0).all()
    assert (whole.recon_error >= 0.0).all()
    one = curves[0]
    # Errors are squared numbers of standard deviations, so they are compared by ratio.
    streamed = stream(plain, one, range(len(one)))
    assert_close(streamed[:2], whole[:2])
    np.testing.assert_allclose(streamed.recon_error, whole.recon_error, rtol=1e-4)


def test_strange_curves_are_drawn_worse_than_learnt_ones(encoder, sample):
    """Error of the head on curves whose bands were shuffled, against the same curves."""
    rng = np.random.default_rng(0)
    known = sample.take(np.arange(150))
    turned = known.with_columns(
        flux=np.where(rng.random(len(known.mjd)) < 0.5, -known.flux, known.flux),
    )
    assert np.median(encoder.encode(turned).recon_error) > 1.2 * np.median(encoder.encode(known).recon_error)


def slow_gru(x, layers):
    """Stacked GRU over time by the gate equations, one scalar state after the other."""
    for w_input, w_hidden, b_input, b_hidden in layers:
        n = w_hidden.shape[1]
        h, out = np.zeros(n), []
        for row in x:
            new = np.empty(n)
            for j in range(n):
                r, z, c = j, n + j, 2 * n + j
                reset = 1.0 / (1.0 + np.exp(-(w_input[r] @ row + b_input[r] + w_hidden[r] @ h + b_hidden[r])))
                update = 1.0 / (
                    1.0 + np.exp(-(w_input[z] @ row + b_input[z] + w_hidden[z] @ h + b_hidden[z]))
                )
                candidate = np.tanh(w_input[c] @ row + b_input[c] + reset * (w_hidden[c] @ h + b_hidden[c]))
                new[j] = (1.0 - update) * candidate + update * h[j]
            h = new
            out.append(h)
        x = np.array(out)
    return x[-1]


def random_layers(rng, n_inputs=4, n_hidden=3, n_layers=2):
    sizes = [n_inputs] + [n_hidden] * (n_layers - 1)
    return [
        tuple(
            rng.normal(size=shape).astype(np.float32)
            for shape in ((3 * n_hidden, size), (3 * n_hidden, n_hidden), (3 * n_hidden,), (3 * n_hidden,))
        )
        for size in sizes
    ]


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_graph_is_the_recurrence_written_out(n_layers):
    import onnxruntime

    rng = np.random.default_rng(n_layers)
    layers = random_layers(rng, n_layers=n_layers)
    session = onnxruntime.InferenceSession(build_graph(layers), providers=["CPUExecutionProvider"])
    x = rng.normal(size=(6, 3, 4)).astype(np.float32)  # time, batch, channels
    lengths = np.array([6, 1, 4], dtype=np.int32)
    (last,) = session.run(["last"], {"steps": x, "lengths": lengths})
    expected = [slow_gru(x[:length, i], layers) for i, length in enumerate(lengths)]
    np.testing.assert_allclose(last, expected, atol=1e-6)


def test_latents_are_two_layers_on_the_last_state_written_out(plain, sample):
    part = sample.take([8])
    steps = make_steps(part, plain.config.steps)
    w = {name: value.astype(np.float64) for name, value in plain.weights.items()}
    layers = [
        [w[f"encoder.{k}_l{layer}"] for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        for layer in (0, 1)
    ]
    scaled = np.clip((steps.context()[0] - w["context_mean"]) / w["context_std"], -5.0, 5.0)
    x = np.concatenate([slow_gru(steps.values.astype(np.float64), layers), scaled])
    for name in ("fc1", "fc2"):
        x = np.maximum(w[f"{name}.weight"] @ x + w[f"{name}.bias"], 0.0)
    both = plain.encode(part)
    np.testing.assert_allclose(both.mean[0], w["mean.weight"] @ x + w["mean.bias"], atol=ATOL)
    np.testing.assert_allclose(both.log_var[0], w["log_var.weight"] @ x + w["log_var.bias"], atol=ATOL)


def test_the_error_of_the_head_is_that_of_the_known_windows(plain, sample):
    part = sample.take([8])
    context = make_steps(part, plain.config.steps).context()[0].astype(np.float64)
    w = {name: value.astype(np.float64) for name, value in plain.weights.items()}
    x = plain.encode(part).mean[0].astype(np.float64)
    for name in ("head1", "head2"):
        x = np.maximum(w[f"{name}.weight"] @ x + w[f"{name}.bias"], 0.0)
    drawn = w["head3.weight"] @ x + w["head3.bias"]
    total = weights = 0.0
    for k, name in enumerate(CONTEXT_NAMES):
        if f"{name}_known" in CONTEXT_NAMES and name.startswith(("trigger", "peak")):
            known = context[CONTEXT_NAMES.index(f"{name}_known")]
            goal = np.clip((context[k] - w["context_mean"][k]) / w["context_std"][k], -5.0, 5.0)
            total += known * (drawn[k] - goal) ** 2
            weights += known
    assert plain.encode(part).recon_error[0] == pytest.approx(total / weights, rel=1e-4)


def test_a_shut_update_gate_keeps_the_state_and_an_open_one_forgets_it():
    rng = np.random.default_rng(5)
    w_input, w_hidden, b_input, b_hidden = random_layers(rng, n_layers=1)[0]
    x, h = rng.normal(size=(2, 4)).astype(np.float32), rng.uniform(-1, 1, (2, 3)).astype(np.float32)
    shut, wide = b_input.copy(), b_input.copy()
    shut[3:6], wide[3:6] = 1e4, -1e4
    np.testing.assert_allclose(gru_cell(x, h, w_input, w_hidden, shut, b_hidden), h, atol=1e-6)
    new = gru_cell(x, h, w_input, w_hidden, wide, b_hidden)
    wide[:3] = -1e4  # nor does the candidate see the state when reset
    np.testing.assert_allclose(
        gru_cell(x, h, w_input, w_hidden, wide, b_hidden), np.tanh(x @ w_input[6:].T + wide[6:]), atol=1e-6
    )
    assert (np.abs(new) <= 1.0).all()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), size=st.floats(1e-3, 1e6))
def test_states_stay_within_one_however_large_the_input(seed, size):
    rng = np.random.default_rng(seed)
    layer = random_layers(rng, n_layers=1)[0]
    x = (size * rng.normal(size=(5, 4))).astype(np.float32)
    h = np.zeros((5, 3), dtype=np.float32)
    for _ in range(4):
        h = gru_cell(x, h, *layer)
        assert np.isfinite(h).all()
        assert (np.abs(h) <= 1.0).all()


@pytest.fixture(scope="module")
def batch(sample):
    curves = sample.take(np.arange(0, 48, 4))
    return _batch(make_steps(curves, EncoderConfig().steps), _make_targets(curves, EncoderConfig()))


def network(**sizes):
    torch.manual_seed(3)
    model = RnnVae(replace(SMALL, **sizes))
    model.target_scale.fill_(1.0 / N_TARGETS)
    return model


def test_kl_by_hand_is_zero_for_the_prior_and_grows_with_distance(batch):
    model = network()
    mean, log_var = (value.detach().numpy().astype(float) for value in model.encode(*batch[:3]))
    by_hand = np.zeros(6)
    for m, v in zip(mean, log_var, strict=True):
        by_hand += 0.5 * (m**2 + np.exp(v) - 1.0 - v) / len(mean)
    np.testing.assert_allclose(model.losses(batch).kl.detach(), by_hand, rtol=1e-4)
    for layer in (model.mean, model.log_var):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    assert model.losses(batch).kl.abs().max() < 1e-6
    torch.nn.init.constant_(model.mean.bias, 2.0)
    torch.testing.assert_close(model.losses(batch).kl, torch.full((6,), 2.0))


def test_the_parts_of_the_loss_add_up(batch):
    losses = network(kl_weight=0.5, curve_weight=0.2).losses(batch, kl_scale=0.3)
    expected = 0.2 * losses.curve + losses.head + 0.5 * 0.3 * losses.kl.sum()
    torch.testing.assert_close(losses.total, expected)


def test_the_head_pays_for_known_targets(batch):
    model = network()
    mean, _ = model.encode(*batch[:3])
    drawn = model.reconstruct(mean).detach().numpy()
    goal = np.concatenate([model.scale(batch.target).numpy(), batch.shape.numpy()], axis=1)
    expected = (batch.known.numpy() * (drawn - goal) ** 2).sum(axis=1).mean() / N_TARGETS
    assert model.losses(batch).head.item() == pytest.approx(expected, rel=1e-4)


def test_unknown_targets_cost_nothing(batch):
    model = network()
    rubbish = batch._replace(
        target=torch.where(batch.known[:, :N_CONTEXT] > 0.0, batch.target, torch.tensor(1e3)),
        shape=torch.where(batch.known[:, N_CONTEXT:] > 0.0, batch.shape, torch.tensor(1e3)),
        flux=torch.where(batch.observed > 0.0, batch.flux, torch.tensor(1e3)),
    )
    torch.testing.assert_close(model.losses(rubbish).total, model.losses(batch).total)


@pytest.mark.parametrize("amplitude", ["latent", "fitted"])
def test_chi2_of_the_drawn_curve_by_hand(batch, amplitude):
    model = network(amplitude=amplitude)
    mean, _ = model.encode(*batch[:3])
    drawn = model.decode(mean, batch.steps, batch.context).detach().numpy().astype(float)
    plain, floored = (value.detach().numpy() for value in model.curve_chi2(mean, batch))
    flux, err, seen = (value.numpy().astype(float) for value in (batch.flux, batch.flux_err, batch.observed))
    for i in range(len(plain)):
        here = seen[i] > 0.0
        f, e, m = flux[i][here], err[i][here], drawn[i][here]
        weight = 1.0 / (e**2 + 0.1**2)
        if amplitude == "fitted":
            # The least squares with the prior written as one more observation: amplitude 1 +- 1.
            rows = np.append(m * np.sqrt(weight), 1.0)
            (best,), *_ = np.linalg.lstsq(rows[:, None], np.append(f * np.sqrt(weight), 1.0))
            m = best * m
        assert floored[i] == pytest.approx((weight * (f - m) ** 2).mean(), rel=1e-3)
        assert plain[i] == pytest.approx((((f - m) / e) ** 2).mean(), rel=1e-3)


def test_gradients_agree_with_finite_differences(batch):
    model = network(kl_weight=0.3).double()
    double = batch._replace(
        **{name: getattr(batch, name).double() for name in batch._fields if name != "lengths"}
    )
    noise = torch.linspace(-1.0, 1.0, 12 * 6, dtype=torch.float64).reshape(12, 6)
    model.losses(double, noise=noise).total.backward()
    step = 1e-6
    for name in ("mean.bias", "log_var.weight", "encoder.weight_hh_l1", "flux2.weight", "head3.weight"):
        value = dict(model.named_parameters())[name]
        place = tuple(0 for _ in value.shape)
        sides = []
        with torch.no_grad():
            for sign in (1.0, -2.0):
                value[place] += sign * step
                sides.append(float(model.losses(double, noise=noise).total))
            value[place] += step
        assert float(value.grad[place]) == pytest.approx(
            (sides[0] - sides[1]) / (2 * step), rel=1e-4, abs=1e-8
        )


def test_noise_moves_the_latent_by_its_own_deviation(batch, monkeypatch):
    model = network()
    mean, log_var = model.encode(*batch[:3])
    drawn = []
    monkeypatch.setattr(model, "reconstruct", lambda z: drawn.append(z) or torch.zeros(12, N_TARGETS))
    model.losses(batch, noise=torch.full((12, 6), -2.0))
    torch.testing.assert_close(drawn[0], mean - 2.0 * torch.exp(0.5 * log_var))


def test_bins_of_a_batch_hold_the_fluxes_that_went_in(sample):
    """Channels are inverted: the asinh, its unit and the flux scale cancel."""
    curves = observation(
        flux=np.array([900.0, 450.0, -90.0]), flux_err=np.array([9.0, 18.0, 30.0]), n=3, gap=40.0
    )
    made = _batch(make_steps(curves, EncoderConfig().steps), _make_targets(curves, EncoderConfig()))
    peak = 900.0 - 2.0 * 9.0
    np.testing.assert_allclose(made.flux[0, :, 2], np.array([900.0, 450.0, -90.0]) / peak, rtol=1e-4)
    np.testing.assert_allclose(made.flux_err[0, :, 2], np.array([9.0, 18.0, 30.0]) / peak, rtol=1e-4)
    assert made.observed[0].sum() == 3.0
    assert made.lengths.tolist() == [3]


def test_a_flux_without_information_is_not_a_target():
    curves = observation(flux=np.array([900.0, 0.0]), flux_err=np.array([9.0, 1e9]), n=2, gap=40.0)
    made = _batch(make_steps(curves, EncoderConfig().steps), _make_targets(curves, EncoderConfig()))
    assert made.observed[0, :, 2].tolist() == [1.0, 0.0]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_a_copy_is_a_valid_curve_of_the_same_objects(sample, seed):
    config = TrainConfig(whole=0.2, cut=0.7, drop=1.0, noise=3.0, hide_redshift=0.5)
    copy = augment(sample, config, np.random.default_rng(seed))
    checked = copy.with_columns(flux=np.array(copy.flux))  # the constructor looks at every value
    assert checked.object_id.tolist() == sample.object_id.tolist()
    assert (copy.n_obs >= 1).all()
    np.testing.assert_array_equal(np.isnan(copy.redshift), np.isnan(copy.redshift_err))


def test_cuts_spread_evenly_over_the_logarithm_of_the_phase(sample):
    config = TrainConfig(whole=0.0, cut=1.0, drop=0.0, noise=0.0, hide_redshift=0.0)
    copy = augment(sample, config, np.random.default_rng(2))
    last = copy.mjd[copy.offsets[1:] - 1] - copy.trigger_mjd
    assert last.max() <= 400.0
    assert 0.25 < np.mean(last < 11.0) < 0.75  # half of the cuts lie below sqrt(0.3 * 400) days


def test_errors_of_a_copy_match_the_noise_that_was_added(sample):
    config = TrainConfig(whole=0.0, cut=0.0, drop=0.0, noise=2.0, hide_redshift=0.0)
    copy = augment(sample, config, np.random.default_rng(3))
    added = copy.flux_err.astype(float) ** 2 - sample.flux_err.astype(float) ** 2
    grown = added > 0.1 * sample.flux_err.astype(float) ** 2
    pull = (copy.flux.astype(float) - sample.flux)[grown] / np.sqrt(added[grown])
    assert pull.std() == pytest.approx(1.0, abs=0.03)
    assert pull.mean() == pytest.approx(0.0, abs=0.03)


def test_objects_that_never_triggered_are_not_cut(sample):
    quiet = sample.take(np.arange(5)).with_columns(detected=np.zeros(int(sample.offsets[5]), dtype=bool))
    config = TrainConfig(whole=0.0, cut=1.0, drop=0.0, noise=0.0)
    copy = augment(quiet, config, np.random.default_rng(0))
    np.testing.assert_array_equal(copy.mjd, quiet.mjd)


def test_hidden_redshifts_do_not_reach_the_context(sample):
    config = TrainConfig(whole=0.0, hide_redshift=1.0)
    copy = augment(sample, config, np.random.default_rng(0))
    context = make_steps(copy, EncoderConfig().steps).context()
    assert not context[:, running.N_SUMMARY :].any()
