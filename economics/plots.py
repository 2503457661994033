"""Figures in one style: titles that say what is seen, axes with units, colours by rule."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike

from economics.market import Floats

COLOURS: Final = ("#0b6e99", "#d1495b", "#2e8b57", "#8e6c8a", "#c77d0a", "#555555", "#17becf")
RULE_COLOURS: Final = {
    "ours": "#0b6e99",
    "fixed": "#555555",
    "constant product": "#2e8b57",
    "literal (D/R)^2": "#c77d0a",
    "EIP-1559": "#d1495b",
}
_WIDTH: Final = 9.0
_PANEL_HEIGHT: Final = 3.4


def panels(count: int = 1, *, height: float = _PANEL_HEIGHT, columns: int = 1) -> list[Axes]:
    """Return the axes of a new figure, from top to bottom (or left to right)."""
    rows = -(-count // columns)
    figure = Figure(figsize=(_WIDTH, height * rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = [figure.add_subplot(rows, columns, index + 1) for index in range(count)]
    for axis in axes:
        axis.grid(visible=True, alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return axes


def figure_of(axes: Sequence[Axes]) -> Figure:
    """Return the figure that holds these axes."""
    figure = axes[0].figure
    if not isinstance(figure, Figure):
        raise TypeError("the axes lie in a part of a figure")
    return figure


def label(axis: Axes, *, title: str, x: str, y: str, legend: bool = True) -> None:
    """Name a panel and its axes, and add the legend if it has anything to tell."""
    axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    names = axis.get_legend_handles_labels()[1]
    if legend and names:
        if len(names) > 2:
            _make_room(axis)
        axis.legend(
            loc="upper left" if len(names) > 2 else "best",
            fontsize=8,
            framealpha=0.85,
            edgecolor="none",
            ncols=5,
        )


def _make_room(axis: Axes) -> None:
    """Raise the top of the vertical axis by a sixth, for a row of names above the lines."""
    bottom, top = axis.get_ylim()
    if axis.get_yscale() == "log":
        axis.set_ylim(bottom, top * (top / bottom) ** (1 / 6))
    else:
        axis.set_ylim(bottom, top + (top - bottom) / 6)


def lines(axis: Axes, x: ArrayLike, series: Mapping[str, ArrayLike]) -> None:
    """Draw one line per name, in the colour of the rule if it is one."""
    for index, (name, values) in enumerate(series.items()):
        colour = RULE_COLOURS.get(name, COLOURS[index % len(COLOURS)])
        axis.plot(np.asarray(x), np.asarray(values), label=name, color=colour, linewidth=1.4)


def bars(axis: Axes, names: Sequence[str], groups: Mapping[str, Sequence[float]]) -> None:
    """Draw grouped bars with their values written above."""
    width = 0.8 / len(groups)
    places = np.arange(len(names))
    for index, (name, values) in enumerate(groups.items()):
        offset = (index - (len(groups) - 1) / 2) * width
        drawn = axis.bar(
            places + offset, list(values), width, label=name, color=COLOURS[index % len(COLOURS)]
        )
        axis.bar_label(drawn, fmt="%.3g", fontsize=7, padding=2)
    axis.set_xticks(places, list(names), fontsize=8)
    axis.margins(y=0.15)


def heatmap(
    axis: Axes,
    values: Floats,
    *,
    x: Sequence[float],
    y: Sequence[float],
    colour_label: str,
    form: str = "{:.2f}",
    bounds: tuple[float, float] | None = None,
    colours: str = "YlOrRd",
) -> None:
    """Draw a map of cells with the value written in each; row ``i`` belongs to ``y[i]``."""
    axis.grid(visible=False)
    bottom, top = (float(values.min()), float(values.max())) if bounds is None else bounds
    image = axis.imshow(values, origin="lower", aspect="auto", cmap=colours, vmin=bottom, vmax=top)
    shades = np.asarray(image.to_rgba(values))
    axis.set_xticks(range(len(x)), [f"{v:g}" for v in x])
    axis.set_yticks(range(len(y)), [f"{v:g}" for v in y])
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            value = float(values[row, column])
            red, green, blue, _ = shades[row, column]
            is_dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.5
            colour = "white" if is_dark else "black"
            axis.text(
                column, row, form.format(value), ha="center", va="center", fontsize=8, color=colour
            )
    figure_of([axis]).colorbar(image, ax=axis, label=colour_label)


def mark_days(axis: Axes, start: float, end: float, text: str) -> None:
    """Shade the days in which something happens."""
    axis.axvspan(start, end, color="#f2c14e", alpha=0.25, linewidth=0)
    axis.annotate(
        text,
        (start, 1.0),
        xycoords=("data", "axes fraction"),
        fontsize=8,
        va="top",
        xytext=(3, -2),
        textcoords="offset points",
    )


def log_y(axis: Axes) -> None:
    """Make the vertical axis logarithmic, with numbers written out rather than as powers."""
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.tick_params(axis="y", which="minor", labelsize=7)


def trailing(values: Floats, width: int) -> Floats:
    """Return the mean over the last ``width`` ticks, or as many as there are."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - width)
    result: Floats = (sums[ends] - sums[starts]) / (ends - starts)
    return result


def smooth(values: Floats, width: int) -> Floats:
    """Return the centred moving mean over ``width`` ticks."""
    kernel = np.ones(width) / width
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    result: Floats = np.convolve(padded, kernel, mode="valid")
    return result
