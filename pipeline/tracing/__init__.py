"""Spans of a sampled share of the requests, sent to an OpenTelemetry collector."""
