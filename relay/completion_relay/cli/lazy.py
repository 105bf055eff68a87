"""Room `cli`: commands that are imported when they are asked for. Touches nothing.

All of them together take more than a second to import, most of it aiokafka's,
Temporal's and aiohttp's modules: longer than the index takes for an answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group


class LazyGroup(TyperGroup):
    """A group that knows where its commands are."""

    places: ClassVar[Mapping[str, str]] = {}
    """`module:function` of a command, or `module:app` of a group, by its name and in its order."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the overridden signature
        """Return the names of all commands, in their order."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the same
        """Return a command, imported now; None: there is none of that name."""
        if cmd_name not in self.places:
            return None
        if cmd_name not in self.commands:
            module, _, name = self.places[cmd_name].partition(":")
            found = getattr(import_module(module), name)
            self.commands[cmd_name] = self._made(cmd_name, found)
        return self.commands[cmd_name]

    def _made(self, name: str, found: Any) -> Any:
        if isinstance(found, typer.Typer):
            command: Any = get_group(found)
        else:
            single = typer.Typer(add_completion=False, rich_markup_mode=self.rich_markup_mode)
            single.command(name)(found)
            command = get_command(single)
        command.name = name
        return command
