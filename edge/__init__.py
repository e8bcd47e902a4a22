"""The vehicle's side: frames from a CAN bus, onto disk, and from there to a platform.

It stands alone, without Ray and without the platform's packages, so that it fits into a vehicle. `docs/edge.md` shows
how to use it; `edge.agent` ties the parts together.
"""

from __future__ import annotations
