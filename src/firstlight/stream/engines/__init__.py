"""The worker's update inside other engines, which keep the state and move it between machines."""
