"""Grafana's dashboards as code: `source` holds one file a dashboard, `generate` writes `dashboards/*.json`."""
