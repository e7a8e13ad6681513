"""The source in memory keeps the laws of a source."""

from firstlight.stream import Message
from firstlight.stream.io.sources import MemorySource


def test_a_source_in_memory_keeps_partitions_apart_and_may_grow():
    source = MemorySource([Message(b"", None, "t", p, o) for p, o in ((0, 0), (0, 4), (1, 0))], endless=True)
    assert [(r.partition, r.offset) for r in source.poll(9, 0.0)] == [(0, 0), (0, 4), (1, 0)]
    source.seek("t", 0, 2)
    source.append([Message(b"", None, "t", 1, 1)])
    assert source.lag() == 2
    assert [(r.partition, r.offset) for r in source.poll(9, 0.0)] == [(0, 4), (1, 1)]
    assert source.poll(9, 0.0) == []
    assert not source.exhausted
    lost = []
    source.on_revoke = lost.extend
    source.revoke()
    assert lost == [("t", 0), ("t", 1)]
    source.commit({("t", 0): 5})
    assert source.committed == {("t", 0): 5}
