"""The metrics sidecar: EMF lines in, Prometheus series out, each line counted exactly once.

::

    tail.py   logs.py     portions of complete lines, each with the position before and after it
        └─ emf.py         one line → points of declared metrics, or what is wrong with it
            └─ state.py   one SQLite transaction: series and position together
                └─ exposition.py   committed rows → Prometheus text, for the sidecar and for the API's /metrics

A sidecar that showed what it had not committed would, after a kill, show less than before; Prometheus takes any
fall of a counter for a restart and adds the whole value again.
"""
