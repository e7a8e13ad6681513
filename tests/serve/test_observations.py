"""Light curves of the page: from files, from alerts as they come, or none."""

import numpy as np
from tests.serve._night import make_desk, plan_for, wait_until

from firstlight.serve.desk import Desk, DeskConfig
from firstlight.serve.follow import Reader
from firstlight.serve.observations import AlertObservations, FileObservations, Points
from firstlight.stream.replay.replay import Replay, ReplayConfig


def test_the_newest_packet_of_each_object_is_its_light_curve(sample, tmp_path):
    curves = sample.take([3, 5])
    stream = Replay(curves, ReplayConfig(renumber=True))
    packets = [packet.value for packet in stream.packets()]
    alerts = AlertObservations("alerts")
    (tmp_path / "classes.jsonl").write_bytes(b"")
    desk = Desk(DeskConfig(results=str(tmp_path / "classes.jsonl"), plan=plan_for()), alerts)
    assert desk.observations is alerts
    from firstlight.stream.io.message import Message

    alerts.take([Message(value) for value in packets] + [Message(b"no alert")])
    for k, number in enumerate(stream.numbers.tolist()):
        found = alerts.find(str(number))
        assert found.mjd[-1] == np.float64(curves[k].mjd[-1])
        assert len(found) > 1
    assert "1 messages that could not be read" in alerts.about
    assert alerts.find("nobody") is None


def test_magnitudes_are_of_detections_and_limits_of_the_others(sample):
    curve = sample[5]
    points = Points.of(curve)
    assert FileObservations(sample, "sample").find(curve.object_id).object_id == curve.object_id
    for k, (mag, limit) in enumerate(zip(points.mag, points.limit, strict=True)):
        assert (mag is None) != (limit is None)
        if mag is not None:
            assert (
                10.0 ** (0.4 * (31.4 - mag)) == np.float64(curve.flux[k])
                or abs(10.0 ** (0.4 * (31.4 - mag)) / curve.flux[k] - 1.0) < 1e-3
            )
    assert Points.of(curve, most=4).n_left_out == len(curve) - 4


def test_a_file_of_alerts_is_followed(sample, tmp_path):
    seen: list[int] = []
    reader = Reader(str(tmp_path / "alerts.jsonl"), lambda messages: seen.extend(m.offset for m in messages))
    reader.start()
    (tmp_path / "alerts.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    wait_until(lambda: len(seen) == 2)
    reader.close()
    with make_desk(tmp_path / "alerts.jsonl") as desk:
        wait_until(lambda: desk.parser.refusals.n == 2)
