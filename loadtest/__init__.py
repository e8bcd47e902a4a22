"""Load tests: locust scenarios that a user picks by name, with thresholds that fail the run. See docs/load-tests.md."""
