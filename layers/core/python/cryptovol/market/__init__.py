"""Markets that need no network: a simulated one, and bar files to replay, behind a CryptoCompare-shaped server."""
