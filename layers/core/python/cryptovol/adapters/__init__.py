"""The only code that touches the world: object stores, market sources, trackers, telemetry."""
