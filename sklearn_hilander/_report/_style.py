"""Style sheet of the report: light, dark, and on paper."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1b1f24; --faint: #5b636d; --line: #d5dae0; --card: #f6f8fa;
  --clusters: #0072b2; --rows: #e69f00; --doubt: #b84a00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --ink: #e6e9ed; --faint: #9aa4af; --line: #363d46; --card: #1d2127;
    --clusters: #56b4e9; --rows: #e69f00; --doubt: #ff9152;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.5rem 1.25rem 3rem; max-width: 70rem;
  background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 1rem; }
h2 {
  font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--line);
}
h3 { font-size: 1rem; margin: 0 0 .4rem; }
p.note, .faint { color: var(--faint); font-size: .875rem; font-weight: normal; }
p.note { margin: .2rem 0 .8rem; }
a { color: inherit; }
dl.facts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .6rem;
  margin: 0;
}
dl.facts div { background: var(--card); border-radius: .4rem; padding: .5rem .75rem; }
dl.facts dt { color: var(--faint); font-size: .8125rem; }
dl.facts dd { margin: 0; font-size: 1.05rem; font-variant-numeric: tabular-nums; }
.chart { overflow-x: auto; }
svg { display: block; max-width: 100%; height: auto; }
svg rect.clusters { fill: var(--clusters); }
svg rect.rows { fill: var(--rows); }
svg text { fill: var(--ink); font-size: 11px; text-anchor: middle; }
svg text.size { font-size: 12px; }
svg path.axis { stroke: var(--faint); }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .35em 0 0; }
.key.clusters { background: var(--clusters); }
.key.rows { background: var(--rows); margin-left: 1em; }
section.cluster { padding: .7rem 0; border-top: 1px solid var(--line); break-inside: avoid; }
section.cluster:first-of-type { border-top: 0; }
.images { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; }
figure img {
  display: block; height: 4.5rem; min-width: 2rem; max-width: 9rem; object-fit: contain;
  border: 1px solid var(--line); background: #fff;
}
.pixels img { image-rendering: pixelated; }
figure.doubtful img { outline: 3px dashed var(--doubt); outline-offset: 1px; }
figcaption { font-size: .6875rem; color: var(--faint); max-width: 9rem; margin-top: .2rem; }
ul.members { list-style: none; margin: 0; padding: 0; }
ul.members li { padding: .1rem 0 .1rem .75rem; border-left: 3px solid transparent; }
ul.names li { display: inline-block; }
ul.members li.exemplar { font-weight: 600; }
ul.members li.doubtful { border-left: 3px dashed var(--doubt); }
figcaption .doubt { display: block; }
.doubt { color: var(--doubt); font-size: .8125rem; font-weight: normal; white-space: nowrap; }
td figure { margin-top: .25rem; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem; }
th, td {
  text-align: left; vertical-align: top; padding: .45rem .75rem .45rem 0;
  border-bottom: 1px solid var(--line);
}
th { color: var(--faint); font-weight: normal; font-size: .8125rem; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
tr { break-inside: avoid; }
footer { margin-top: 2.5rem; color: var(--faint); font-size: .8125rem; }
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --ink: #000000; --faint: #444444; --line: #bbbbbb; --card: #ffffff;
    --clusters: #0072b2; --rows: #e69f00; --doubt: #b84a00;
  }
  body { max-width: none; padding: 0; font-size: 10pt; }
  dl.facts div { border: 1px solid var(--line); }
  h2, h3 { break-after: avoid; }
  .images { gap: .4rem; }
  figure img { height: 2.9rem; }
  svg rect { print-color-adjust: exact; }
  .key { print-color-adjust: exact; }
}
"""
