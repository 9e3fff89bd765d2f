"""The verbs of `cryptovol`, one module each: `add(parsers)` declares it, `run(args)` does it and returns the exit code."""
