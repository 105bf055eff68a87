"""The relay: reads completion events from Kafka and decides the Temporal activities they name.

The reading order, the map of the rooms and the invariants are in relay/DESIGN.md.
"""

from importlib.metadata import version

__version__ = version("completion-relay")
__all__ = ["__version__"]
