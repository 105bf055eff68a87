"""Room `cli`: the commands, and where everything is put together. Touches all rooms."""
