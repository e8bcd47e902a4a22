"""The domain: frames, decoding, duplicates, windows, anomalies, journal, warehouse. No Ray, no HTTP server."""
