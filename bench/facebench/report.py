"""Markdown tables, a row at a time, so that a run cut short still shows what it measured."""
import statistics

_columns = []


def table(title, *columns):
    global _columns
    _columns = columns
    print(f'\n### {title}\n\n| {" | ".join(columns)} |\n|{"---|" * len(columns)}', flush=True)


def row(*cells):
    assert len(cells) == len(_columns), cells
    print(f'| {" | ".join(str(c) for c in cells)} |', flush=True)


def median(times):
    return statistics.median(times)


def p99(times):
    return sorted(times)[min(len(times) - 1, len(times) * 99 // 100)]


def ms(value):
    return '%.3f' % value if value < 1 else '%.2f' % value if value < 100 else '%.0f' % value


def percent(values):
    return '%.4g %%' % (100 * sum(values) / len(values)) if values else ''


def megabytes(size):
    return f'{size / 1e6:,.0f} MB'
