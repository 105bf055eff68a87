"""Room `settings`: fills them from a TOML file, the environment and the command line.

Touches files and the environment. What is wrong is refused here, before
anything is connected, with the setting's name, the problem and the fix.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from completion_relay.settings import Settings
from completion_schemas.errors import CompletionError

PREFIX = "COMPLETION_RELAY_"
CONFIG_VARIABLE = "COMPLETION_RELAY_CONFIG"


class ConfigurationError(CompletionError):
    """A setting is wrong; each line of the message has its name, the problem and the fix."""


class _Loaded(BaseSettings, Settings):
    """The settings with their sources: command line over environment over file."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the overridden signature
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - narrows the type
        given = init_settings.init_kwargs
        return (
            InitSettingsSource(settings_cls, given.get("command_line", {})),
            EnvSettingsSource(settings_cls),
            InitSettingsSource(settings_cls, given.get("file", {})),
        )


def load_settings(
    config: Path | None = None, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Settings:
    """Return the settings from the command line, the environment and the file, in that order.

    Args:
        config: The TOML file; without it COMPLETION_RELAY_CONFIG names it, else there is none.
        overrides: Settings of the command line by section; None values count as not given.

    Raises:
        ConfigurationError: the file cannot be read, or a setting is unknown or wrong.
    """
    path = config or (
        Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None
    )
    given = {
        section: {name: value for name, value in values.items() if value is not None}
        for section, values in (overrides or {}).items()
    }
    in_file = _read(path)
    problems = [*_unknown_in_file(in_file, path), *_unknown_variables(os.environ)]
    if problems:
        raise ConfigurationError("\n".join(problems))
    try:
        loaded = _Loaded(command_line=given, file=in_file)  # type: ignore[call-arg]
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(error, path, given))) from None
    except SettingsError:  # its own text names only the section
        raise ConfigurationError(
            f"environment: a list in {PREFIX}… cannot be read: give it as JSON, for example "
            f'{_variable("temporal.namespaces")}=\'["orders", "billing"]\''
        ) from None
    return Settings.model_validate(loaded.model_dump(round_trip=True))


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"configuration file {path}: {error.strerror}: give an existing file with --config"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"configuration file {path}: is no TOML: {error}") from None


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting."""
    for name, info in model.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from setting_names(info.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _variable(name: str) -> str:
    return PREFIX + name.upper().replace(".", "__")


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else "remove it; settings.py lists what there is"


def _unknown_in_file(values: Mapping[str, Any], path: Path | None) -> Iterator[str]:
    known = list(setting_names())
    sections = {name.partition(".")[0] for name in known}
    for section, content in values.items():
        if section not in sections:
            yield f"{path}: unknown section [{section}]: {_suggestion(section, sorted(sections))}"
        elif not isinstance(content, dict):
            yield f"{path}: {section} must be a section: write [{section}] on a line of its own"
        else:
            for name in content:
                if f"{section}.{name}" not in known:
                    yield (
                        f"{path}: unknown setting {section}.{name}: "
                        f"{_suggestion(f'{section}.{name}', known)}"
                    )


def _unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    # A misspelt variable that is silently ignored has cost people nights.
    known = [_variable(name) for name in setting_names()]
    sections = {name.rpartition("__")[0] for name in known}
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable not in known and variable not in sections:
            yield f"environment: unknown variable {variable}: {_suggestion(variable, known)}"


def _beside(place: tuple[int | str, ...]) -> list[str]:
    """Return the names of the settings that may stand where an unknown one does, in a list."""
    model: Any = Settings
    for part in place[:-1]:
        if isinstance(part, str):
            kinds = model.model_fields[part].annotation
            model = next(iter(get_args(kinds)), kinds)
    prefix = ".".join(str(part) for part in place[:-1])
    return [f"{prefix}.{name}" for name in model.model_fields]


def _explain(
    error: ValidationError, path: Path | None, given: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        places = [str(part) for part in problem["loc"]]
        name = ".".join(places) or "settings"
        value = problem["input"]
        # A database's URL may have its password in it.
        secret = any(word in name for word in ("password", "secret", "database"))
        shown = "" if secret or isinstance(value, dict | BaseModel) else f" = {value!r}"
        message = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            message = f"unknown setting: {_suggestion(name, _beside(problem['loc']))}"
        where = ""
        if len(places) > 1:
            where = f": set it in {path or 'the configuration file'} or as {_variable('.'.join(places[:2]))}"
            if places[1] in given.get(places[0], {}):
                where = ": it was given on the command line"
        yield f"setting {name}{shown}: {message}{where}"
