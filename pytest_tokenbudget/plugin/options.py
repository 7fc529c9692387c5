"""The settings that pytest's command line and its ini file give."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pytest_tokenbudget.errors import SettingsError
from pytest_tokenbudget.option_table import OPTIONS, Option
from pytest_tokenbudget.settings import Settings, is_ci, runs_per_month, server_slots


def read_settings(config: pytest.Config) -> Settings:
    """Settings of a session: the command line first, then the ini file, then the defaults.

    Raises:
        SettingsError: If an ini value is not allowed; it names the key and the allowed words.
    """
    defaults = Settings._field_defaults | {"missing": "fail" if is_ci(os.environ) else "create"}
    settings = Settings(*[_value(config, option, defaults[option.field]) for option in OPTIONS])
    asked = [name for name in ("update", "ratchet", "accept") if getattr(settings, name)]
    if len(asked) > 1:
        flags = " and ".join(f"--tokenbudget-{name}" for name in asked)
        raise SettingsError(f"{flags} exclude each other", remedy="give one of them")
    if settings.samples is not None and settings.samples < 1:
        raise SettingsError(
            f"--tokenbudget-samples={settings.samples}: at least 1 is needed", remedy="--tokenbudget-samples=3"
        )
    for line in settings.runs_per_month:
        runs_per_month((line,), "")
    for line in settings.server_slots:
        server_slots((line,), "")
    return settings


def _value(config: pytest.Config, option: Option, default: Any) -> Any:
    given = config.getoption(f"tokenbudget_{option.field}", None) if option.flag else None
    if given is not None:
        return tuple(given) if option.kind == "repeat" else given
    stored = config.getini(option.ini) if option.ini else None
    if stored is None or stored in ("", []):
        return default
    if option.kind == "lines":
        return tuple(line.strip() for line in stored if line.strip())
    if option.kind == "choice" and stored not in option.choices:
        raise SettingsError(
            f"ini option {option.ini} = {stored!r} is not one of {', '.join(option.choices)}",
            remedy=f"{option.ini} = {option.choices[0]}",
        )
    if option.kind == "number":
        try:
            number = float(stored)
        except ValueError:
            number = -1.0
        if not 0 < number < float("inf"):
            raise SettingsError(
                f"ini option {option.ini} = {stored!r} is no positive number", remedy=f"{option.ini} = {default:.10g}"
            )
        return number
    return stored
