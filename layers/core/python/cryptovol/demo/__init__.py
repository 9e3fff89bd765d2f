"""The loop, demonstrated: a planted change of the market, a real alert, a retraining, and the page that proves it."""
