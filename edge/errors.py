"""Every error the vehicle's side raises on purpose.

    EdgeError
    ├── SettingsError   a setting cannot be used: URL, key, vehicle id, bound
    ├── BusError        the CAN bus cannot be opened
    └── SpoolError      the spool cannot be opened, written or read
        └── SpoolBusy   another process has it open

A message says what happened, where, and what to do.
"""

from __future__ import annotations


class EdgeError(Exception):
    """Base of the tree: catch this to catch everything the vehicle's side raises on purpose."""


class SettingsError(EdgeError):
    """A setting cannot be used; the message names it and what it may be."""


class BusError(EdgeError):
    """The CAN bus cannot be opened; the message carries the driver's own words."""


class SpoolError(EdgeError):
    """The spool cannot be opened, written or read; frames that are in it stay there."""


class SpoolBusy(SpoolError):
    """Another process has the spool open."""
