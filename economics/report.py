"""A finding as files: CSV tables, PNG plots, and one HTML page that needs nothing else."""

import base64
import csv
import html
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from economics.finding import Cell, Experiment, Finding, Plot, Table

DPI: Final = 110

_STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:960px;margin:2rem auto;padding:0 1rem;color:#222}
h1{margin-bottom:.2rem}h2{margin-top:2rem;border-bottom:1px solid #ddd}
.asked{font-size:1.1rem;color:#444}.verdict{display:inline-block;padding:.15rem .7rem;
border-radius:.4rem;color:#fff;font-weight:600}.pass{background:#2e7d32}.fail{background:#b3261e}
table{border-collapse:collapse;margin:.5rem 0 1rem;font-size:.9rem}th,td{padding:.25rem .6rem;
border-bottom:1px solid #e3e3e3;text-align:left;vertical-align:top}td.number{text-align:right;
font-variant-numeric:tabular-nums}img{max-width:100%;border:1px solid #eee}
figure{margin:1rem 0}figcaption,.small{font-size:.85rem;color:#555}
"""


@dataclass(frozen=True, slots=True)
class Written:
    """Where an experiment's files lie, and its verdict."""

    name: str
    title: str
    passed: bool
    criterion: str
    report: Path


def write(experiment: Experiment, finding: Finding, *, seed: int, output: Path) -> Written:
    """Write every file of a finding into the folder ``output/<experiment>``."""
    folder = output / experiment.name
    folder.mkdir(parents=True, exist_ok=True)
    for table in finding.tables:
        _write_csv(folder / f"{table.name}.csv", table)
    images = {plot.name: _png(plot) for plot in finding.plots}
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(image)
    page = _page(experiment, finding, seed=seed, images=images)
    report = folder / "report.html"
    report.write_text(page, encoding="utf-8")
    summary = {
        "experiment": experiment.name,
        "seed": seed,
        "passed": bool(finding.passed),
        "criterion": finding.criterion,
        "parameters": dict(finding.parameters),
        "prices": [asdict(price) for price in finding.prices],
    }
    (folder / "result.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return Written(
        experiment.name, experiment.title, bool(finding.passed), finding.criterion, report
    )


def write_index(written: Sequence[Written], *, seed: int, output: Path) -> Path:
    """Write the page that lists all reports of a whole run."""
    rows = "".join(
        f"<tr><td><a href='{html.escape(one.name)}/report.html'>{html.escape(one.title)}</a></td>"
        f"<td>{_verdict(passed=one.passed)}</td><td>{html.escape(one.criterion)}</td></tr>"
        for one in written
    )
    count = sum(one.passed for one in written)
    body = (
        f"<h1>LooPIN market simulator</h1><p>{count} of {len(written)} experiments pass, "
        f"seed {seed}. A model with stated assumptions, not a forecast.</p>"
        "<table><tr><th>experiment</th><th>verdict</th><th>what had to hold</th></tr>"
        f"{rows}</table>"
    )
    path = output / "index.html"
    output.mkdir(parents=True, exist_ok=True)
    path.write_text(_document("LooPIN market simulator", body), encoding="utf-8")
    return path


def format_cell(cell: Cell) -> str:
    """Return a cell as a person reads it: four digits of a fraction, whole numbers as they are."""
    if isinstance(cell, bool) or not isinstance(cell, float):
        return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
    return f"{cell:,.4g}" if abs(cell) < 1e4 else f"{cell:,.0f}"


def _page(experiment: Experiment, finding: Finding, *, seed: int, images: dict[str, bytes]) -> str:
    parts = [
        f"<h1>{html.escape(experiment.title)}</h1>",
        f"<p class='asked'>{html.escape(experiment.asked)}</p>",
        f"<p>{_verdict(passed=finding.passed)} {html.escape(finding.criterion)}</p>",
        "<h2>What was found</h2>",
        *(f"<p>{html.escape(paragraph)}</p>" for paragraph in finding.answer),
        *(_figure(plot, images[plot.name]) for plot in finding.plots),
    ]
    for table in finding.tables:
        title = html.escape(table.caption or table.name)
        link = f"<a href='{html.escape(table.name)}.csv'>{html.escape(table.name)}.csv</a>"
        if table.is_series:
            parts.append(f"<p class='small'>{title}: {len(table.rows):,} rows in {link}</p>")
        else:
            parts.append(f"<h2>{title}</h2>{_table(table.columns, table.rows)}")
            parts.append(f"<p class='small'>{link}</p>")
    if finding.prices:
        parts.append("<h2>Reference prices</h2>")
        rows = [(p.name, p.value, p.as_of, p.what, p.source) for p in finding.prices]
        parts.append(_table(("name", "value", "as of", "what", "source"), rows))
        parts.append(
            "<p class='small'>Edit them in economics/reference_prices.json and run again.</p>"
        )
    parts.append("<h2>Parameters</h2>")
    parts.append(_table(("parameter", "value"), [("seed", seed), *finding.parameters.items()]))
    parts.append(
        f"<p class='small'>Run again: loopin simulate {html.escape(experiment.name)} "
        f"--seed {seed} --output DIR. A model with stated assumptions, not a forecast.</p>"
    )
    return _document(experiment.title, "\n".join(parts))


def _document(title: str, body: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body>{body}</body></html>\n"
    )


def _verdict(*, passed: bool) -> str:
    word = "pass" if passed else "fail"
    return f"<span class='verdict {word}'>{word.upper()}</span>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td class='{'text' if isinstance(cell, str) else 'number'}'>"
            f"{html.escape(format_cell(cell))}</td>"
            for cell in row
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _figure(plot: Plot, image: bytes) -> str:
    data = base64.b64encode(image).decode("ascii")
    caption = html.escape(plot.caption)
    return (
        f"<figure><img alt='{caption}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _png(plot: Plot) -> bytes:
    buffer = io.BytesIO()
    # Without the writer's version in the file, one seed gives the same bytes on every machine.
    plot.figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _write_csv(path: Path, table: Table) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table.columns)
        for row in table.rows:
            writer.writerow([f"{c:.10g}" if isinstance(c, float) else c for c in row])
