/** Colours of the pages, by theme; `test/http/style.test.ts` checks them against WCAG AA. */
export const palette = {
  light: {
    bg: "#f5f6f8",
    card: "#ffffff",
    ink: "#161b22",
    muted: "#57606d",
    line: "#dfe3e9",
    track: "#e7ebf0",
    link: "#0a5a9c",
    calm: "#11704a",
    warning: "#875200",
    alarm: "#b3261e",
    "calm-fill": "#2f8f66",
    "warning-fill": "#b86e00",
    "alarm-fill": "#cf3d33",
    "plain-fill": "#6b7f97",
    memory: "#3f63c6",
    swap: "#b0497f",
  },
  dark: {
    bg: "#0e1217",
    card: "#161b22",
    ink: "#e6eaf0",
    muted: "#9ba6b4",
    line: "#2a323c",
    track: "#252d37",
    link: "#78b7f2",
    calm: "#5fcf9e",
    warning: "#efb25a",
    alarm: "#ff8f85",
    "calm-fill": "#3da477",
    "warning-fill": "#d0912e",
    "alarm-fill": "#e5675e",
    "plain-fill": "#8496ad",
    memory: "#7c9cf0",
    swap: "#d983b0",
  },
} as const;

function tokens(theme: Record<string, string>): string {
  return Object.entries(theme)
    .map(([name, colour]) => `--${name}:${colour};`)
    .join("");
}

/** The only style sheet. Its hash is in the Content-Security-Policy, so it cannot be changed at run time. */
export const style = `
:root{color-scheme:light dark;${tokens(palette.light)}}
@media screen and (prefers-color-scheme:dark){:root{${tokens(palette.dark)}}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
a{color:var(--link);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:3px}
main:focus{outline:none}
.skip{position:absolute;left:1rem;top:-4rem;background:var(--card);padding:.6rem 1rem;border-radius:.4rem;z-index:1}
.skip:focus{top:.75rem}
.unseen{position:absolute;width:1px;height:1px;margin:-1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.top,main,footer{max-width:62rem;margin:0 auto;padding:0 1.5rem}
.top{display:flex;align-items:center;gap:.75rem;padding-top:1.1rem;padding-bottom:1.1rem;font-size:.9375rem}
.brand{display:flex;align-items:center;gap:.55rem;color:var(--ink);font-weight:600;text-decoration:none;white-space:nowrap}
.mark{width:1.35rem;height:1.35rem}
.mark rect{fill:#334155}.mark path{fill:none;stroke:#fff;stroke-width:1.7;stroke-linecap:round}
.host{color:var(--muted);margin-left:auto;overflow-wrap:anywhere}

.answer{padding:1.9rem 0 2.3rem;max-width:50rem}
h1{font-size:clamp(1.4rem,1.05rem + 1.6vw,2rem);line-height:1.26;letter-spacing:-.015em;font-weight:650;margin:0;text-wrap:balance;overflow-wrap:anywhere}
h1 .calm{color:var(--calm)}h1 .warning{color:var(--warning)}h1 .alarm{color:var(--alarm)}
.answer p{margin:.75rem 0 0;color:var(--muted);overflow-wrap:anywhere}
.answer .detail{font-size:1.0625rem}
.also{list-style:none;margin:1.2rem 0 0;padding:0;display:grid;gap:.45rem}
.also li{display:flex;overflow-wrap:anywhere;min-width:0}
.also span{min-width:0}
.answer .as-of{font-size:.875rem;margin-top:1.2rem}
.stale .as-of{color:var(--warning);font-weight:600}

h2{font-size:1.0625rem;font-weight:650;line-height:1.4;margin:0 0 1.1rem}
h2 small{font-weight:400;color:var(--muted);font-size:.875rem;margin-left:.4em}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.4rem 1.5rem;margin-bottom:1.1rem;min-width:0}
.card>:last-child{margin-bottom:0}
.two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:2.5rem}
.big{font-size:1.625rem;font-weight:600;letter-spacing:-.01em;line-height:1.25;margin:0 0 .9rem}
.big small,.note,.path{color:var(--muted);font-size:.875rem;font-weight:400;letter-spacing:0}
.note{margin:1rem 0 0}
.path{display:block;overflow-wrap:anywhere;line-height:1.45}
.one-line{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.bar{display:block;width:100%;height:.625rem;border-radius:.3125rem;background:var(--track);overflow:hidden}
.bar.whole{height:1rem;border-radius:.4rem}
.fill{fill:var(--memory)}.fill.warning{fill:var(--warning-fill)}.fill.alarm{fill:var(--alarm-fill)}.fill.plain{fill:var(--plain-fill)}.fill.cache{fill:var(--muted);opacity:.35}
.anon{fill:#4a6bcb}.shmem{fill:#7d52d1}.slab_unreclaimable{fill:#bd3a72}.page_tables{fill:#d96a2b}.kernel_stack{fill:#c69214}
.hugetlb{fill:#80654b}.percpu{fill:#a8486b}.vmalloc{fill:#9c6f2e}.zspages{fill:#5d8c3f}.balloon{fill:#4f8a8b}.other{fill:#868e99}.page_cache{fill:#86bde6}.slab_reclaimable{fill:#8fd0c3}.free{fill:var(--track)}
.legend{list-style:none;margin:1rem 0 0;padding:0;display:grid;gap:.3rem;font-size:.9375rem}
.beside{list-style:none;margin:.75rem 0 0;padding:0;color:var(--muted);font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.55rem}
.legend svg{width:.75rem;height:.75rem;flex:none;border-radius:.2rem}
.legend .of-free svg{border:1px solid var(--line)}
.legend span:last-child{margin-left:auto;white-space:nowrap}
figure{margin:0;min-width:0}
figcaption{display:flex;flex-wrap:wrap;gap:.1rem 1rem;justify-content:space-between;color:var(--muted);font-size:.875rem;margin-bottom:.5rem}
.chart{display:block;width:100%;height:9.5rem;border-bottom:1px solid var(--line);overflow:visible}
.chart path{vector-effect:non-scaling-stroke;fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.chart .area{stroke:none;opacity:.13}
.line.memory,.line.calm{stroke:var(--memory)}.line.swap{stroke:var(--swap)}.line.warning{stroke:var(--warning-fill)}.line.alarm{stroke:var(--alarm-fill)}
.area.memory,.area.calm{fill:var(--memory)}.area.swap{fill:var(--swap)}.area.warning{fill:var(--warning-fill)}.area.alarm{fill:var(--alarm-fill)}
.chart .kill{stroke:var(--alarm);stroke-width:2}
.chart .limit{stroke:var(--muted);stroke-width:1;stroke-dasharray:3 4}
.axis{display:flex;justify-content:space-between;color:var(--muted);font-size:.8125rem;margin-top:.3rem}
.keys{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}
.keys span::before{content:"";display:inline-block;width:.9rem;height:0;border-top:2px solid var(--memory);margin-right:.4rem;vertical-align:.25em}
.keys .swap::before{border-color:var(--swap)}
.keys .kill::before{border-color:var(--alarm)}
.keys .limit::before{border-top:1px dashed var(--muted)}

.rows{list-style:none;margin:0;padding:0}
.rows>li{padding:.95rem 0;border-top:1px solid var(--line)}
.rows>li:first-child{border-top:0;padding-top:0}
.rows>li:last-child{padding-bottom:0}
.row{display:flex;flex-wrap:wrap;align-items:baseline;gap:.1rem .9rem}
.row .what{flex:1 1 14rem;min-width:0;overflow-wrap:anywhere}
.rows li>*{min-width:0;overflow-wrap:anywhere}
.what b,.name{font-weight:600}
.row .much{color:var(--muted);font-size:.9375rem}
.rows .bar{margin-top:.55rem}
.rows p{margin:.3rem 0 0;color:var(--muted);font-size:.9375rem;overflow-wrap:anywhere}
.limits>li{display:grid;grid-template-columns:minmax(0,1fr) 9.5rem 13rem;gap:0 1.5rem;align-items:center}
.limits .what{min-width:0;overflow-wrap:anywhere}
.limits .much{grid-column:3;text-align:right}
.limits .much b{font-weight:600}
.limits .chart{height:2.4rem}
.limits .bar{grid-column:1/-1}
.alarm-text{color:var(--alarm)}.warning-text{color:var(--warning)}
.state{display:flex}
.state::before{content:"";flex:none;width:.6rem;height:.6rem;border-radius:50%;margin:.45rem .6rem 0 0;background:var(--calm-fill)}
.state.warning::before{background:var(--warning-fill)}.state.alarm::before{background:var(--alarm-fill)}
.tag{display:inline-block;border:1px solid currentColor;border-radius:99px;padding:.05rem .6rem;font-size:.8125rem;font-weight:600;line-height:1.5;white-space:nowrap}
.tag.warning{color:var(--warning)}.tag.alarm{color:var(--alarm)}
details{margin-top:1rem}
summary{color:var(--link);cursor:pointer;font-size:.9375rem;width:fit-content;max-width:100%}
details[open]>summary{margin-bottom:.9rem}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th{text-align:left;font-weight:400;color:var(--muted);font-size:.875rem;padding:0 .9rem .5rem 0;vertical-align:bottom}
td,tbody th{padding:.6rem .9rem .6rem 0;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
tbody th{color:inherit;font-size:inherit}
thead th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
td b{font-weight:400}tr.first th,tr.first b{font-weight:600}
.facts th{width:16rem;color:var(--muted);font-size:.9375rem;padding:.45rem .9rem .45rem 0}
.facts td{padding:.45rem 0}
.facts tr:first-child>*{border-top:0;padding-top:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:1.1rem 1.5rem;margin:0}
.tiles dt{color:var(--muted);font-size:.875rem}.tiles dd{margin:0;font-size:1.125rem;font-weight:600;overflow-wrap:anywhere}
.advice{margin:0;padding-left:1.2rem}.advice li{margin:.4rem 0;overflow-wrap:anywhere}.answer pre,.advice pre{margin:.2rem 0;padding:.4rem .6rem;white-space:pre-wrap;background:var(--track);border-radius:.3rem}
.contents ul{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;list-style:none;margin:0 0 1.1rem;padding:0;font-size:.9375rem}
.document{overflow-wrap:anywhere}.document h2:not(:first-child){margin-top:1.8rem}.document h2{margin-bottom:.6rem}.document h3{margin:1.2rem 0 .4rem;font-size:1rem}.document p,.document ul,.document ol{margin:.6rem 0;max-width:50rem}.document li{margin:.3rem 0}
.document pre{margin:.6rem 0;padding:.6rem .8rem;white-space:pre-wrap;background:var(--track);border-radius:.3rem}.document code{font-size:.875em}.document table{margin:.8rem 0}
.prose p{margin:.5rem 0;max-width:50rem;overflow-wrap:anywhere}
.quiet{border-left:3px solid var(--warning-fill);padding:.1rem 0 .1rem .9rem}
footer{display:flex;flex-wrap:wrap;gap:.4rem 1.5rem;padding-top:.7rem;padding-bottom:2.5rem;font-size:.875rem}
@media (max-width:44rem){
.top,main,footer{padding-left:1rem;padding-right:1rem}
.answer{padding:1rem 0 1.7rem}
.card{padding:1.15rem 1rem}
.two{grid-template-columns:minmax(0,1fr);gap:1.6rem}
.chart{height:7.5rem}
.limits>li{grid-template-columns:minmax(0,1fr);gap:.35rem}
.limits .much{grid-row:2;grid-column:1;text-align:left}
.facts th{width:38%}
.tiles{grid-template-columns:repeat(auto-fill,minmax(8rem,1fr))}
td,tbody th{padding-right:.6rem}
thead th{padding-right:.6rem}
}
@media print{
body{background:#fff}
.card{break-inside:avoid;border-color:#bbb}
.bar,.fill,.chart path,.legend svg{print-color-adjust:exact;-webkit-print-color-adjust:exact}
.skip,footer{display:none}
}
`;
