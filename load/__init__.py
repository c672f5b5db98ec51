"""Load on a running stack: Locust users of both doors; loopback only, bounded in users and time."""
