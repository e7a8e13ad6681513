"""The worker: reads alerts, updates objects, writes results; its metrics and logs."""
