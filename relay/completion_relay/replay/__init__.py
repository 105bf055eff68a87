"""Room `replay`: puts events again, each at most once a replay, unchanged. See `reading.py`."""
