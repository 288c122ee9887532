"""The page's style sheet: for screens of any width, light or dark, and for paper."""

STYLE = """\
:root { --ink: #1c2733; --soft: #55626f; --line: #d9dee3; --ground: #ffffff; --panel: #f4f6f8;
  --good: #00664a; --bad: #a83f00; --fair: #7a5200; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.45;
  font: 16px/1.45 system-ui, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei",
  sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; justify-content: space-between; gap: 0 1rem; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; overflow-wrap: anywhere; }
.when { color: var(--soft); margin: 0; }
.verdict { border-left: .35rem solid; padding: .7rem 1rem; background: var(--panel); border-radius: .2rem;
  margin: 1rem 0; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict.fair { border-color: #d39200; }
.verdict ul { margin: .4rem 0 0; padding-left: 1.2rem; } .verdict li { margin: .35rem 0; overflow-wrap: anywhere; }
.verdict li span { color: var(--soft); }
.verdict li.serious::marker { content: "\\25A0  "; color: var(--bad); }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
p.verdict.good, section.verdict.bad, section.verdict.fair { color: var(--ink); font-weight: 400; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.card { background: var(--panel); border-radius: .4rem; padding: .8rem 1rem; }
.card dt { color: var(--soft); font-size: .85rem; } .card dd { margin: 0; font-size: 1.5rem; font-weight: 650; }
.card p { margin: .1rem 0 0; font-size: .85rem; color: var(--soft); }
figure { margin: 0; background: #ffffff; border-radius: .3rem; }
figure svg { display: block; width: 100%; height: auto; }
figure.narrow { display: none; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .5rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; font-size: .8rem; vertical-align: bottom; }
th.number, td.number { text-align: right; } td.number { white-space: nowrap; }
td:first-child { overflow-wrap: anywhere; font-weight: 600; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .88rem; }
footer dt { font-weight: 600; color: var(--ink); } footer dd { margin: 0 0 .5rem; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8edf2; --soft: #a9b4bf; --line: #38434e; --ground: #14191f; --panel: #1f272f;
    --good: #4fd0a4; --bad: #ff9a5c; --fair: #ffc85c; }
}
@media screen and (max-width: 40rem) {
  body { font-size: 17px; }
  .cards { grid-template-columns: 1fr 1fr; } .card { padding: .6rem .7rem; } .card dd { font-size: 1.15rem; }
  figure.wide { display: none; } figure.narrow { display: block; }
  .compact :is(th, td):is(:nth-child(2), :nth-child(4), :nth-child(7)) { display: none; }
}
@media screen and (max-width: 56rem) {
  table.wide, .wide tbody, .wide tr, .wide td { display: block; width: 100%; } .wide thead { display: none; }
  .wide tr { border: 1px solid var(--line); border-radius: .4rem; margin: .7rem 0; padding: .3rem .7rem; }
  .wide td, .wide td.number { display: flex; justify-content: space-between; gap: 1rem; text-align: right; border: 0;
    padding: .2rem 0; }
  .wide td::before { content: attr(data-head); color: var(--soft); text-align: left; font-weight: 400; }
  .wide td:first-child { font-size: 1.05rem; justify-content: flex-start; }
  .wide td:first-child::before { content: none; }
}
@media print {
  :root { --ink: #000; --soft: #333; --line: #999; --ground: #fff; --panel: #fff; --good: #000; --bad: #000; }
  @page { size: A4; margin: 15mm; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; }
  h2 { break-after: avoid; margin-top: 1.2rem; }
  section, figure, .card, tr { break-inside: avoid; }
  .card { border: 1px solid var(--line); } .cards { grid-template-columns: repeat(4, 1fr); }
  .card dd { font-size: 1.05rem; }
  table { font-size: 8pt; } th { font-size: 7.5pt; } th, td { padding: .2rem .25rem; }
  td.number { white-space: normal; }
  .bad { text-decoration: underline; }
}
"""
