"""The style of a report of prompts, in addition to that of every page."""

from __future__ import annotations

TEXT = """<style>
body { max-width: 80rem; } a { color: var(--b); } p, td, h2, h3, li, summary { overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin-top: 2.5rem; } section { border-top: 1px solid var(--line); margin-top: 2.5rem; }
section h2 { margin-top: 1.25rem; }
.state { margin: .25rem 0 .75rem; } ul { padding-left: 1.2rem; margin: .25rem 0 .75rem; }
.panels { position: relative; isolation: isolate; }
.panels figure { margin: 0; } figcaption { font-size: .8125rem; padding: .6rem 0 .1rem;
  position: relative; z-index: 1; background: var(--back); }
figcaption b { font-weight: 600; } figcaption span { color: var(--dim); }
.panels svg, .lane, .axis-of-time { width: 100%; display: block; overflow: visible; max-width: none; }
.panels svg svg { height: 100%; }
.line { fill: none; stroke: var(--b); stroke-width: 2; vector-effect: non-scaling-stroke; stroke-linejoin: round;
  stroke-linecap: round; }
.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; } .area { fill: var(--b); fill-opacity: .3; stroke: none; }
.base { fill: none; stroke: var(--dim); stroke-width: 1; vector-effect: non-scaling-stroke; }
.panels svg.marks { position: absolute; inset: 0; height: 100%; z-index: -1; }
.marks path { fill: none; stroke: var(--worse); stroke-width: 1; stroke-dasharray: 2 3;
  vector-effect: non-scaling-stroke; }
.marks path.grid { stroke: var(--line); stroke-dasharray: none; }
svg .limit { font-size: 11px; } svg .low { transform: translateY(-2px); }
svg .name { text-anchor: end; font-weight: 600; fill: var(--text); }
svg .mark { text-anchor: middle; fill: var(--worse); font-weight: 600; font-size: 11px; }
svg .in { text-anchor: middle; fill: var(--text); stroke: none; }
svg .last { text-anchor: end; fill: var(--text); }
svg .n { display: none; }
svg .middle { text-anchor: middle; } svg .end { text-anchor: end; }
.even, .odd, .none, .many { stroke: var(--back); stroke-width: 1; vector-effect: non-scaling-stroke; }
.lane svg { max-width: none; } .even { fill: var(--band); }
.odd { fill: var(--b); fill-opacity: .28; } .none { fill: none; stroke: var(--line); }
.many { fill: var(--worse); fill-opacity: .3; } .part { fill: var(--b); fill-opacity: .5; }
.k { white-space: nowrap; }
.spark { width: 7.5rem; height: 1.4rem; } .prompts td:first-child { white-space: normal; min-width: 9rem; }
.moves td.number { color: var(--worse); font-weight: 600; text-align: left; }
.moves td:last-child { white-space: normal; }
.moves td.when { white-space: nowrap; } .versions td:last-child { white-space: nowrap; }
.prompts td:last-child { white-space: nowrap; }
td.live { font-weight: 600; } .found { border-left: 4px solid var(--worse); padding-left: 1.75rem; }
.versions th + th, .versions td + td, .prompts th:nth-child(n + 6):nth-child(-n + 10),
.prompts td:nth-child(n + 6):nth-child(-n + 10) { text-align: right; white-space: nowrap; }
.prompts td:nth-child(3) { white-space: nowrap; } .prompts td:nth-child(5) { overflow-wrap: normal; }
@media (min-width: 56rem) { .prompts td:nth-child(4) { min-width: 9.5rem; } .moves td:last-child { min-width: 15rem; }
  .moves td.who { min-width: 10rem; } .moves td.what { min-width: 11rem; } .recent td.name { min-width: 9rem; } }
@media (max-width: 40rem) { svg .w { display: none; } svg .n { display: inline; }
  .prompts td:first-child, .versions td:first-child, .prompts .chart { grid-column: 1 / -1; }
  .wide.prompts tr { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .prompts td:nth-child(4) { grid-column: 1 / -1; }
  .prompts td:nth-child(2)::before { content: "active "; }
  .prompts td:nth-child(3)::before { content: "since "; }
  .prompts td:nth-child(4)::before { content: "by "; }
  .prompts td:nth-child(5)::before { content: "commit "; }
  .prompts td:nth-child(6)::before { content: "uses "; }
  .prompts td:nth-child(7)::before { content: "failed "; }
  .prompts td:nth-child(8)::before { content: "P95 "; }
  .prompts td:nth-child(9)::before { content: "cost "; }
  .prompts td:nth-child(10)::before { content: "cache hits "; }
  .versions td:nth-child(2)::before { content: "uses "; }
  .versions td:nth-child(3)::before { content: "failed "; }
  .versions td:nth-child(4)::before { content: "P50 "; }
  .versions td:nth-child(5)::before { content: "P95 "; }
  .versions td:nth-child(6)::before { content: "input "; }
  .versions td:nth-child(7)::before { content: "output "; }
  .versions td:nth-child(8)::before { content: "cost "; }
  .versions td:nth-child(9)::before { content: "a use "; }
  .versions td:nth-child(10)::before { content: "hits "; }
  .versions td:nth-child(11)::before { content: "saved "; }
  .versions td:nth-child(12)::before { content: "score "; }
  .prompts td::before, .versions td::before { color: var(--dim); font-size: .8125rem; }
  .prompts tr td, .versions tr td { text-align: left !important; }
  .wide td { overflow-wrap: anywhere; white-space: normal !important; } .prompts td:empty, .versions td:empty {
  display: none; }
  .moves, .moves tbody, .moves tr, .moves td { display: block; } .moves thead { display: none; }
  .moves tr { border-bottom: 1px solid var(--line); padding: .4rem 0; }
  .moves td { border: 0; padding: 0; white-space: normal !important; }
  .moves td.number { float: left; margin-right: .6rem; } .moves td.what { font-weight: 600; }
  .moves td.why:empty { display: none; } .moves td.who::before { content: "by "; }
  .moves td.why::before { content: "why "; }
  .moves td.who::before, .moves td.why::before { color: var(--dim); font-size: .8125rem; } .spark { width: 100%; } }
@page { margin: 12mm; }
@media print { :root { font-size: 11px; } .panels, .lane, .axis-of-time { zoom: .75; }
  .extra, .versions { break-inside: avoid; } section { break-before: page; border: 0; margin-top: 0; }
  figure, li { break-inside: avoid; } h2, h3 { break-after: avoid; } p.dim, h3 + table { break-before: avoid; }
  tbody tr:first-child, tbody tr:last-child { break-before: avoid; } a { color: inherit; text-decoration: none; } }
</style>"""
