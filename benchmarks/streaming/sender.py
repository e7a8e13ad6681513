"""Process that sends alerts at a constant rate and prints the time of each.

``python -m streaming.sender ADDRESS ALERTS PACKET_BYTES SOURCE SKIP RATE``; prints JSON
of alert ids and the times at which they were sent [s].
"""

import json
import sys
import time
from itertools import islice
from pathlib import Path

from confluent_kafka import Producer

from streaming.night import Night


def main() -> None:
    address, n_alerts, packet_bytes, source, skip_text, rate = sys.argv[1:]
    replay = Night(int(n_alerts), int(packet_bytes), Path(source) if source else None).replay()
    skip, every = int(skip_text), 1.0 / float(rate)
    packets = list(islice(replay.packets(), skip, None))
    names = [replay.alert(skip + i).alert_id for i in range(len(packets))]
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0, "socket.nagle.disable": True})
    producer.list_topics(timeout=10)
    sent, start = {}, time.time() + 0.5
    for i, (name, packet) in enumerate(zip(names, packets, strict=True)):
        due = start + i * every
        while (wait := due - time.time()) > 0:
            producer.poll(0)
            time.sleep(min(wait, every))
        sent[name] = time.time()
        producer.produce("alerts", key=packet.key, value=packet.value)
    producer.flush(30)
    print(json.dumps(sent))


if __name__ == "__main__":
    main()
