"""Rate limits: what a key and a fleet may send in a second, a minute, an hour, across all replicas of the gateway."""
