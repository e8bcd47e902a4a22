"""The domain: frames, decoding, duplicates, windows, anomalies, journal, warehouse. No Ray, no HTTP server."""

from __future__ import annotations

from pipeline.kernel_cache import use_fresh_cache

use_fresh_cache()
