"""The line charts of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from picotrain.profile.report.content import LayerName
from picotrain.profile.report.drawing import (
    ACCENT,
    DASHES,
    MUTED,
    SECOND,
    SERIES,
    VARIABLES,
    Key,
    Plot,
    plot,
    svg,
)
from picotrain.profile.report.run_file import KINDS, Run


def accuracy_plot(run: Run) -> Plot:
    """Accuracy after each epoch on the evaluated and on the training images; before at epoch 0."""
    epochs = [one.epoch for one in run.history]
    held_out = [run.accuracy_before, *(one.accuracy for one in run.history)]
    training = [one.train_accuracy for one in run.history]
    best = max(run.history, key=lambda one: one.accuracy)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        axes.axhline(run.accuracy_before, color=MUTED, linewidth=1.25, linestyle=(0, (4, 3)))
        axes.plot(epochs, training, color=SECOND, linestyle=(0, (5, 2)), marker="o")
        axes.plot([0, *epochs], held_out, color=ACCENT, marker="o", linewidth=2.5)
        axes.plot(
            best.epoch, best.accuracy, "o", markersize=10, color="none", markeredgecolor=ACCENT
        )
        axes.annotate(
            f"before {_percent(run.accuracy_before)}",
            (epochs[-1], run.accuracy_before),
            (0, 7),
            textcoords="offset points",
            ha="right",
            color=MUTED,
        )
        axes.annotate(
            f"best {_percent(best.accuracy)}",
            (best.epoch, best.accuracy),
            (0, -22),
            textcoords="offset points",
            ha="right" if best.epoch == epochs[-1] else "center",
            fontweight="bold",
        )
        lowest = min(*held_out, *training)
        axes.set_ylim(max(0.0, int(lowest * 10) / 10 - 0.05), 1.02)
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.0f} %"))
        _epoch_axis(axes, 0, epochs[-1])

    label = (
        f"Accuracy by epoch: {_percent(run.accuracy_before)} before, "
        f"best {_percent(run.accuracy_best)}, last {_percent(run.accuracy_final)}"
    )
    return plot("accuracy", label, draw, (1000, 300), (340, 260))


def saturation_keys(layers: Sequence[LayerName]) -> list[Key]:
    """The legend of `saturation_plot`, in the order of its lines."""
    return [
        Key(
            f"layer {layer.index} {layer.kind}",
            VARIABLES[SERIES[number % len(SERIES)]],
            number // len(SERIES) % len(DASHES),
        )
        for number, layer in enumerate(layer for layer in layers if layer.has_weights)
    ]


def saturation_plot(run: Run, layers: Sequence[LayerName]) -> Plot:
    """Three panels, forward, error and update; one line per layer with weights."""
    weighted = [layer.index for layer in layers if layer.has_weights]
    epochs = [one.epoch for one in run.history]

    def draw(rows: int, columns: int) -> Callable[[Figure], None]:
        def panels(figure: Figure) -> None:
            for place, kind in enumerate(KINDS, 1):
                axes = figure.add_subplot(rows, columns, place)
                axes.set_title(kind, fontweight="bold")
                top = 0.0
                for number, layer in enumerate(weighted):
                    shares = [getattr(one, kind) for one in run.saturation[layer]]
                    top = max(top, *shares)
                    axes.plot(
                        epochs,
                        shares,
                        color=SERIES[number % len(SERIES)],
                        linestyle=DASHES[number // len(SERIES) % len(DASHES)],
                        marker="o",
                        markersize=4,
                    )
                _epoch_axis(axes, epochs[0], epochs[-1])
                if not top:
                    axes.set_ylim(-0.04, 1.15)
                    axes.set_yticks([0], labels=["0"])
                    axes.text(0.5, 0.2, "none", transform=axes.transAxes, ha="center", color=MUTED)
                    continue
                axes.set_ylim(-0.04 * top, 1.15 * top)
                axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))

        return panels

    largest = max(
        getattr(one, kind) for layer in weighted for one in run.saturation[layer] for kind in KINDS
    )
    label = f"Share of clamped elements by epoch and layer; at most {100 * largest:.3g} %"
    name = "saturation"
    wide = svg(name, "wide", label, draw(1, 3), (1000, 270))
    return Plot(wide, svg(name, "narrow", label, draw(3, 1), (340, 620)))


def _epoch_axis(axes: Axes, first: int, last: int) -> None:
    axes.set_xlabel("epoch")
    margin = max(last - first, 1) * 0.03
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, steps=[1, 2, 5, 10]))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
