"""Room `tests`: how hypothesis runs here."""

from hypothesis import settings

# No deadline: how long one example takes says more about the machine's other
# work than about the codec.
settings.register_profile("schemas", deadline=None)
settings.load_profile("schemas")
