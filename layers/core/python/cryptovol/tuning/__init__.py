"""Tuning: a search for better ridge and forest parameters, inside the training window alone.

`space` says what is searched, `blocks` on which hours, `journal` keeps a study in the store, `search` runs it,
`outcome` is the file a retrain reads, `pictures` shows it. optuna is imported inside functions: a retrain does not load it.

The hours a promotion is decided on (the newest ``train.window_hours``) are never looked at, so the scores of a model
with tuned parameters are as honest as those of any other.
"""
