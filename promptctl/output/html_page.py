"""A page of HTML in one file: it has no script and loads nothing, so that it can be mailed and archived."""

from __future__ import annotations

import html

from promptctl import __version__

# Blue, orange and grey are distinct for readers who do not distinguish red from green, and words repeat them.
_STYLE = """
:root { color-scheme: light dark; --text: #1c2026; --dim: #5c6570; --line: #d5dae0; --back: #ffffff; --band: #e6e9ed;
  --better: #0b63c5; --worse: #b8420a; --same: #66707c; --unknown: #66707c; --a: #66707c; --b: #0b63c5; }
@media screen and (prefers-color-scheme: dark) { :root { --text: #e4e8ed; --dim: #9aa4b0; --line: #39414b;
  --back: #14181d;
  --band: #2b323a; --better: #6cb0ff; --worse: #ff9a5c; --same: #a5afba; --unknown: #a5afba; --a: #a5afba;
  --b: #6cb0ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem 1rem 3rem; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.15rem; font-weight: 600; margin: 0 0 .75rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 2rem 0 .5rem; } h3 { font-size: .9375rem; margin: 1.25rem 0 .25rem; }
.sentence { font-size: 1.35rem; line-height: 1.35; margin: 0 0 .75rem; max-width: 42rem; }
.warning { border-left: 4px solid var(--worse); padding: .25rem .75rem; margin: .5rem 0; max-width: 46rem; }
.dim { color: var(--dim); font-size: .875rem; max-width: 46rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th { text-align: left; font-size: .8125rem; color: var(--dim); font-weight: 600; }
th, td { padding: .3rem .6rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: middle; }
.number { text-align: right; white-space: nowrap; }
svg { display: block; max-width: 100%; height: auto; }
svg text { fill: var(--dim); font: 12px system-ui, sans-serif; paint-order: stroke; stroke: var(--back);
  stroke-width: 3px; }
.band { fill: var(--band); } .axis { stroke: var(--dim); stroke-width: 1; }
.better { fill: var(--better); color: var(--better); } .worse { fill: var(--worse); color: var(--worse); }
.same { fill: var(--same); color: var(--same); } .unknown { fill: var(--unknown); color: var(--unknown); }
.open { fill: var(--back); stroke: var(--unknown); stroke-width: 2; }
td.better, td.worse { font-weight: 600; }
td:first-child, td:last-child { white-space: nowrap; }
.text td { white-space: normal; overflow-wrap: anywhere; }
.curve-a { fill: none; stroke: var(--a); stroke-width: 1.5; stroke-dasharray: 5 3; }
.curve-b { fill: none; stroke: var(--b); stroke-width: 2; } .dot-b { fill: var(--b); }
.interval { fill: var(--same); fill-opacity: .35; }
.mark-a { stroke: var(--a); stroke-dasharray: 5 3; } .mark-b { stroke: var(--b); }
.key { display: inline-block; width: 2rem; border-top: 3px solid var(--b); vertical-align: middle; margin: 0 .3rem; }
.key.a { border-top: 3px dashed var(--a); }
@media (max-width: 40rem) {
  .wide thead { display: none; }
  .wide tr { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); border-bottom: 1px solid var(--line);
    padding: .4rem 0; }
  .wide td { border: 0; padding: .1rem .4rem .1rem 0; text-align: left; }
  .wide td[data-label]::before { content: attr(data-label) " "; color: var(--dim); font-size: .8125rem; }
  .wide .chart { grid-column: 1 / -1; } .wide .number { white-space: normal; }
}
@media print { body { max-width: none; padding: 0; font-size: 12px; } .sentence { font-size: 1.2rem; }
  tr, svg { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


def text(title: str, body: str) -> str:
    """Return the page. `title` is text, `body` is HTML."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="promptctl {escaped(__version__)}">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escaped(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
{body}
</body>
</html>
"""


def escaped(text: str) -> str:
    """Return a text as HTML, for an element or an attribute in double quotes."""
    return html.escape(text, quote=True)
