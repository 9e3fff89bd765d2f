"""HTTP shapes of the API: bodies in, problems out. What a forecast is, the package knows."""
