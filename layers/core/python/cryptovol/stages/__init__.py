"""The five steps and the return leg: ingest → validate → featurize → train → predict, and score.

A stage takes an event, ports and parameters and returns a result. It never reads the clock or the environment, and
no stage imports another.
"""
