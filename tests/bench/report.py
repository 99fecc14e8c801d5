"""The plain-text table and the chart."""

from xml.sax.saxutils import escape


def comparison(title, loads, base=None):
    """A table of loads; ratios are to `base`, by default the first."""
    base = base or loads[0]
    rows = [("", "CPU µs/request", "ratio", "requests/s", "ratio", "p50 ms", "p99 ms")]
    for load in loads:
        cpu, rate, p50, p99 = (load.median(what) for what in ("cpu", "rate", "p50", "p99"))
        spans = (f"{p50:.2f}", f"{p99:.2f}") if p50 else ("", "")
        rows.append((load.label, f"{cpu:.2f}", f"{cpu / base.median('cpu'):.2f}", f"{rate:.0f}", f"{rate / base.median('rate'):.2f}", *spans))
    return f"{title}\n{aligned(rows)}"


def plain(title, rows):
    return f"{title}\n{aligned(rows)}"


def aligned(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))) for row in rows)
    return "\n".join(f"  {line.rstrip()}" for line in lines)


def chart(path, title, loads):
    """Bars of CPU time a request. Colours are chosen to be read on light and dark pages."""
    values = [(load.label, load.median("cpu")) for load in loads]
    most, height, left, width = max(value for _, value in values), 26, 230, 760
    bars = []
    for row, (label, value) in enumerate(values):
        top, length = 40 + row * height, value / most * (width - left - 70)
        colour = "#2a7ab0" if label.startswith("vestibule") else "#8a8f98"
        bars.append(f'<text x="{left - 10}" y="{top + 14}" text-anchor="end">{escape(label)}</text>'
                    f'<rect x="{left}" y="{top}" width="{max(length, 1):.1f}" height="18" rx="2" fill="{colour}"/>'
                    f'<text x="{left + length + 8:.1f}" y="{top + 14}">{value:.1f} µs</text>')
    with open(path, "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {50 + len(values) * height}" role="img" aria-label="{escape(title)}">'
                   '<style>text{font:13px system-ui,sans-serif;fill:#6b7280}.title{font-weight:600}</style>'
                   f'<text class="title" x="10" y="22">{escape(title)}</text>{"".join(bars)}</svg>\n')
