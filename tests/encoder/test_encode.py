import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests.encoder._reference import encode_numpy, encode_onnx, gru_cell, latents, step, stream

from firstlight.encoder import Encoder, running
from firstlight.encoder.encode import half_precision
from firstlight.encoder.steps import make_steps
from firstlight.errors import BundleError, BundleVersionError, DataError
from firstlight.lightcurves import LightCurves
from firstlight.storage import read_arrays, write_arrays

ATOL = 1e-5


def assert_close(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_allclose(left, right, rtol=0.0, atol=ATOL)


def empty_curves():
    return LightCurves(np.array(["none"]), np.array([0, 0]), *(np.empty(0) for _ in range(4)))


def test_the_onnx_export_equals_numpy(encoder, sample):
    assert_close(encode_onnx(encoder, sample), encode_numpy(encoder, sample))


def test_the_kernels_equal_numpy(encoder, sample):
    ours, reference = encoder.encode(sample), encode_numpy(encoder, sample)
    assert_close(ours[:2], reference[:2])
    # squares of differences of nearly equal numbers keep fewer digits in float32
    np.testing.assert_allclose(ours.recon_error, reference.recon_error, rtol=1e-3, atol=1e-3)


def test_torch_equals_the_kernels(encoder, sample):
    import torch

    from firstlight.encoder.vae import RnnVae

    model = RnnVae(encoder.config.vae)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in encoder.weights.items()})
    steps = make_steps(sample, encoder.config.steps)
    with torch.no_grad():
        mean, log_var = model.encode(
            torch.from_numpy(steps.padded()),
            torch.from_numpy(steps.n_steps),
            torch.from_numpy(steps.context()),
        )
    assert_close((mean.numpy(), log_var.numpy()), encoder.encode(sample)[:2])


def test_stepping_equals_encoding_every_prefix(encoder, sample):
    for i in (0, 40, 90, 150, 200):
        one, alone = sample[i], sample.take([i])
        for k in {*range(0, len(one), 9), len(one) - 1}:
            if k + 1 == len(one) or one.mjd[k + 1] > one.mjd[k]:
                now = stream(encoder, one, range(k + 1))
                assert_close(now, encoder.encode(alone.upto_mjd(one.mjd[k])))


def test_a_micro_batch_steps_like_single_objects(encoder, sample):
    part = sample.take([3, 77, 180])
    n = int(part.n_obs.min())
    state = encoder.initial_state(3)
    for k in range(n):
        rows = part.offsets[:-1] + k
        state = step(
            encoder,
            state,
            part.mjd[rows],
            part.band[rows],
            part.flux[rows],
            part.flux_err[rows],
            part.detected[rows],
        )
    together = latents(encoder, state, part.redshift, part.redshift_err)
    keep = np.arange(len(part.mjd)) - np.repeat(part.offsets[:-1], part.n_obs) < n
    assert_close(together, encoder.encode(part.keep(keep)))


def test_the_state_of_a_history_equals_its_steps(encoder, sample):
    some = sample.take([7, 40, 180])
    states = latents(
        encoder, encoder.advance(encoder.initial_state(3), some), some.redshift, some.redshift_err
    )
    for now, whole in zip(states, encoder.encode(some), strict=True):
        np.testing.assert_array_equal(now, whole)


def test_advancing_leaves_the_old_state_alone(encoder):
    before = encoder.initial_state()
    copy = before.running.copy()
    after = step(encoder, before, 59000.0, 1, 500.0, 10.0, True)
    np.testing.assert_array_equal(before.running, copy)
    assert after.running[0, running.N_OBS] == 1.0


def test_a_late_observation_is_refused(encoder):
    state = step(encoder, encoder.initial_state(), 59000.0, 1, 500.0, 10.0, True)
    with pytest.raises(DataError, match="encode all of it"):
        step(encoder, state, 58999.0, 1, 500.0, 10.0, True)


def test_advancing_needs_one_light_curve_for_each_state(encoder, sample):
    with pytest.raises(DataError, match="2 states but 1 light curves"):
        encoder.advance(encoder.initial_state(2), sample.take([0]))


def test_states_can_be_picked(encoder):
    state = encoder.initial_state(3)
    assert len(state) == 3
    assert len(state.take([2, 0])) == 2


def test_nothing_seen_gives_finite_latents(encoder):
    batch = encoder.encode(empty_curves())
    assert np.isfinite(batch.mean).all()
    assert_close(batch, latents(encoder, encoder.initial_state(), np.nan, np.nan))


def test_no_objects_give_no_latents(encoder, sample):
    none = encoder.encode(sample.take([]))
    assert none.mean.shape == (0, encoder.n_latent)
    assert none.recon_error.shape == (0,)


def test_order_and_batch_do_not_matter(encoder, sample):
    whole = encoder.encode(sample)
    for index in ([200, 5, 66], [17], list(range(150, 20, -3))):
        for together, apart in zip(whole, encoder.encode(sample.take(index)), strict=True):
            np.testing.assert_array_equal(together[np.array(index)], apart)


def test_encoding_is_safe_in_threads(encoder, sample):
    whole = encoder.encode(sample).mean
    chunks = np.array_split(np.arange(len(sample)), 8)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda index: encoder.encode(sample.take(index)).mean, chunks))
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=0.0, atol=ATOL)


def test_an_encoder_survives_the_disk(encoder, sample, tmp_path):
    encoder.save(tmp_path)
    loaded = Encoder.load(tmp_path)
    assert loaded.config == encoder.config
    assert loaded.history == encoder.history
    assert loaded.graph == encoder.graph
    np.testing.assert_array_equal(loaded.encode(sample).mean, encoder.encode(sample).mean)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".safetensors", ".onnx"}


def test_a_trained_encoder_is_stored_in_half_precision_without_loss(encoder, tmp_path):
    finer = Encoder(
        encoder.config, {name: weight * np.float32(1.0 + 1e-5) for name, weight in encoder.weights.items()}
    )
    rounded = Encoder(encoder.config, half_precision(finer.weights))
    finer.save(tmp_path / "single")
    rounded.save(tmp_path / "half")
    size = {name: (tmp_path / name / "weights.safetensors").stat().st_size for name in ("single", "half")}
    assert size["half"] < 0.6 * size["single"]
    for one, folder in ((finer, "single"), (rounded, "half")):
        loaded = Encoder.load(tmp_path / folder)
        for name, weight in one.weights.items():
            assert loaded.weights[name].dtype == np.float32
            np.testing.assert_array_equal(loaded.weights[name], weight)


def test_loading_and_encoding_need_neither_torch_nor_onnx(encoder, sample, tmp_path, monkeypatch):
    import sys

    encoder.save(tmp_path)
    for name in ("torch", "onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)
    loaded = Encoder.load(tmp_path)
    loaded.encode(sample.take([0]))
    loaded.save(tmp_path / "again")


def test_a_folder_without_the_graph_is_an_encoder_too(encoder, sample, tmp_path):
    encoder.save(tmp_path)
    (tmp_path / "encoder.onnx").unlink()
    loaded = Encoder.load(tmp_path)
    assert loaded.graph is None
    np.testing.assert_array_equal(loaded.encode(sample).mean, encoder.encode(sample).mean)


def test_a_damaged_folder_is_refused(encoder, tmp_path):
    with pytest.raises(BundleError, match=r"encoder\.json"):
        Encoder.load(tmp_path)
    encoder.save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        Encoder.load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("fc1.weight", lambda w: w[:, :-1]),
        ("fc2.bias", lambda w: w[:-1]),
        ("encoder.weight_hh_l0", lambda w: w.T),
        ("encoder.bias_ih_l0", lambda w: w[:, None]),
        ("mean.weight", lambda w: w.astype(np.float64)),
        ("head1.weight", lambda w: np.where(w == w.max(), np.float32(np.inf), w)),
        ("log_var.bias", lambda w: w * np.float32(np.nan)),
        ("context_std", lambda w: w * np.float32(0.0)),
        ("decoder.weight_hh_l0", lambda w: w * np.float32(np.inf)),
    ],
)
def test_weights_that_compiled_code_must_not_see_are_refused(encoder, tmp_path, name, change):
    encoder.save(tmp_path)
    path = tmp_path / "weights.safetensors"
    weights = read_arrays(path)
    write_arrays(path, weights | {name: change(weights[name])})
    with pytest.raises(BundleError, match=name):
        Encoder.load(tmp_path)
    write_arrays(path, {other: value for other, value in weights.items() if other != "fc1.weight"})
    with pytest.raises(BundleError, match="fc1"):
        Encoder.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"layers": 10**12},
        {"hidden": 10**12},
        {"latent": 2},
        {"width": "wide"},
        {"hidden": True},
    ],
)
def test_settings_that_do_not_fit_the_weights_are_refused(encoder, tmp_path, change):
    encoder.save(tmp_path)
    table = json.loads((tmp_path / "encoder.json").read_text())
    table["config"]["vae"] |= change
    (tmp_path / "encoder.json").write_text(json.dumps(table))
    with pytest.raises(BundleError, match="fetch or train"):
        Encoder.load(tmp_path)


def test_a_newer_format_is_refused(encoder, tmp_path):
    encoder.save(tmp_path)
    table = json.loads((tmp_path / "encoder.json").read_text())
    (tmp_path / "encoder.json").write_text(json.dumps(table | {"format": 99}))
    with pytest.raises(BundleVersionError, match="upgrade"):
        Encoder.load(tmp_path)


def gru_of_the_paper(x, h, w_z, w_r, w, b_z, b_r, b_x, u_h, b_h):
    """The paper's four equations, on [h, x]; the reset acts after the recurrent matrix, as in torch."""
    both = np.concatenate([h, x], axis=1)
    sigmoid = lambda a: 1.0 / (1.0 + np.exp(-a))  # noqa: E731
    z = sigmoid(both @ w_z.T + b_z)
    r = sigmoid(both @ w_r.T + b_r)
    candidate = np.tanh(x @ w.T + b_x + r * (h @ u_h.T + b_h))
    return (1.0 - z) * h + z * candidate


def test_the_cell_obeys_the_equations_of_the_paper():
    # The paper's z is our 1 - z: negate the update gate's weights, since sigmoid(-a) = 1 - sigmoid(a).
    rng = np.random.default_rng(0)
    x, h = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    w_i, w_h, b_i, b_h = (rng.normal(size=shape) for shape in ((9, 5), (9, 3), (9,), (9,)))
    expected = gru_of_the_paper(
        x,
        h,
        w_z=-np.hstack([w_h[3:6], w_i[3:6]]),
        w_r=np.hstack([w_h[:3], w_i[:3]]),
        w=w_i[6:],
        b_z=-(b_i + b_h)[3:6],
        b_r=(b_i + b_h)[:3],
        b_x=b_i[6:],
        u_h=w_h[6:],
        b_h=b_h[6:],
    )
    np.testing.assert_allclose(gru_cell(x, h, w_i, w_h, b_i, b_h), expected, rtol=1e-12)


def test_the_cell_equals_torch():
    import torch

    torch.manual_seed(0)
    cell = torch.nn.GRUCell(5, 3)
    x, h = torch.randn(4, 5), torch.randn(4, 3)
    weights = [p.detach().numpy() for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)]
    np.testing.assert_allclose(
        gru_cell(x.numpy(), h.numpy(), *weights), cell(x, h).detach().numpy(), atol=1e-6
    )
