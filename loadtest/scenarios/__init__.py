"""One locustfile a scenario: `locust -f loadtest/scenarios/batches.py` with locust's own options works too."""
