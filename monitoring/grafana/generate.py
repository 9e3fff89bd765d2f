"""Write the dashboards: ``python -m monitoring.grafana.generate``, or ``make dashboards``."""

from __future__ import annotations

from pathlib import Path

from monitoring.grafana import model, pipeline, service
from monitoring.grafana.panels import encode

FOLDER = Path(__file__).parent / "dashboards"
PAGES = (service.PAGE, model.PAGE, pipeline.PAGE)


def generated() -> dict[Path, str]:
    """Return each dashboard's file and what belongs in it."""
    return {FOLDER / f"{page.uid.removeprefix('cryptovol-')}.json": encode(page) for page in PAGES}


if __name__ == "__main__":
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path.name}")
