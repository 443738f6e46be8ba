"""One tree of settings in layers: preset < TOML file < environment SI_STREAM_… < command line."""

from si_stream.settings.layers import LoadedSettings, load_settings, load_with_places
from si_stream.settings.show import as_toml, masked
from si_stream.settings.tree import LearnerOptions, LogOptions, PredictorOptions, Settings

__all__ = [
    "LearnerOptions",
    "LoadedSettings",
    "LogOptions",
    "PredictorOptions",
    "Settings",
    "as_toml",
    "load_settings",
    "load_with_places",
    "masked",
]
