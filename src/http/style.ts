/** The one style sheet. Its hash stands in the Content-Security-Policy, so nothing may be put into it later. */
export const style = `
:root{
--bg:#f4f6f8;--card:#fff;--ink:#161b22;--muted:#57606d;--line:#dfe4ea;--track:#e6eaef;--link:#0a5a9c;
--calm:#11704a;--warning:#875200;--alarm:#b3261e;
--calm-fill:#3aa374;--warning-fill:#dc9022;--alarm-fill:#d8473d;
}
@media (prefers-color-scheme:dark){:root{
--bg:#0e1217;--card:#161b22;--ink:#e6eaf0;--muted:#9ba6b4;--line:#28303a;--track:#252d37;--link:#78b7f2;
--calm:#5fcf9e;--warning:#efb25a;--alarm:#ff8f85;
--calm-fill:#35966b;--warning-fill:#c9851f;--alarm-fill:#d9534a;
}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
a{color:var(--link);text-underline-offset:.15em}
a:focus-visible{outline:2px solid var(--link);outline-offset:3px;border-radius:3px}
.top,main,footer{max-width:66rem;margin:0 auto;padding:0 1.25rem}
.top{display:flex;align-items:center;gap:.75rem;padding-top:1.1rem;padding-bottom:1.1rem;font-size:.9375rem}
.brand{display:flex;align-items:center;gap:.55rem;color:var(--ink);font-weight:600;text-decoration:none}
.mark{width:1.35rem;height:1.35rem}
.mark rect{fill:#334155}.mark path{fill:none;stroke:#fff;stroke-width:1.7;stroke-linecap:round}
.host{color:var(--muted);margin-left:auto;overflow-wrap:anywhere}
.answer{padding:1.6rem 0 1.9rem;max-width:52rem}
.tag{display:inline-block;border:1px solid currentColor;border-radius:99px;padding:.05rem .6rem;font-size:.8125rem;font-weight:600;line-height:1.5;white-space:nowrap}
.tag.calm{color:var(--calm)}.tag.warning{color:var(--warning)}.tag.alarm{color:var(--alarm)}
h1{font-size:clamp(1.5rem,1.15rem + 1.7vw,2.15rem);line-height:1.22;letter-spacing:-.015em;font-weight:650;margin:.6rem 0 0;text-wrap:balance;overflow-wrap:anywhere}
.answer p{margin:.7rem 0 0;font-size:1.0625rem;color:var(--muted);overflow-wrap:anywhere}
.answer p.finding{color:var(--ink)}
h2{font-size:1rem;font-weight:650;margin:0 0 .9rem}
h2 small{font-weight:400;color:var(--muted);font-size:.875rem;margin-left:.5em}
.cards{display:grid;gap:1rem;grid-template-columns:repeat(2,minmax(0,1fr));margin-bottom:1rem}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.2rem 1.3rem;min-width:0}
.card.wide{grid-column:1/-1}
.card>h2+p{margin-top:0}.card>:last-child{margin-bottom:0}
.big{font-size:1.5rem;font-weight:600;letter-spacing:-.01em;line-height:1.25;margin:0 0 .8rem}
.big small,.note,.path{color:var(--muted);font-size:.875rem;font-weight:400;letter-spacing:0}
.note{margin:.8rem 0 0}
.path{display:block;overflow-wrap:anywhere;line-height:1.4}
.bar{display:block;width:100%;height:.75rem;border-radius:.375rem;background:var(--track);overflow:hidden}
.card>.bar{height:1.25rem}
.fill{fill:var(--calm-fill)}.fill.warning{fill:var(--warning-fill)}.fill.alarm{fill:var(--alarm-fill)}.fill.plain{fill:#7f93ab}
.anon{fill:#4263c9}.shmem{fill:#7d52d1}.slab_unreclaimable{fill:#bd3a72}.page_tables{fill:#d96a2b}.kernel_stack{fill:#c69214}
.hugetlb{fill:#80654b}.other{fill:#868e99}.page_cache{fill:#86bde6}.slab_reclaimable{fill:#8fd0c3}.free{fill:var(--track)}
.legend{list-style:none;margin:.8rem 0 0;padding:0;display:grid;gap:.3rem;font-size:.9375rem}
.legend li{display:flex;align-items:center;gap:.5rem}
.legend svg{width:.75rem;height:.75rem;flex:none;border-radius:.2rem;border:1px solid var(--line)}
.legend span:last-child{margin-left:auto;white-space:nowrap}
.swap{margin-top:1.2rem}
.swap p{margin:0 0 .4rem;font-size:.9375rem}
.rows{list-style:none;margin:0;padding:0}
.rows>li{padding:.7rem 0;border-top:1px solid var(--line)}
.rows>li:first-child{border-top:0;padding-top:0}
.rows>li:last-child{padding-bottom:0}
.row{display:flex;flex-wrap:wrap;align-items:baseline;gap:.1rem .75rem}
.row .what{flex:1 1 14rem;min-width:0;overflow-wrap:anywhere}
.row .what b,.name{font-weight:600}
.row .much{color:var(--muted);font-size:.9375rem;white-space:nowrap}
.rows .bar{margin-top:.45rem}
.rows p{margin:.25rem 0 0;color:var(--muted);font-size:.9375rem;overflow-wrap:anywhere}
.state::before{content:"";display:inline-block;width:.6rem;height:.6rem;border-radius:50%;margin-right:.55rem;background:var(--calm-fill)}
.state.warning::before{background:var(--warning-fill)}.state.alarm::before{background:var(--alarm-fill)}
table{border-collapse:collapse;width:100%;font-size:.9375rem}
th{text-align:left;font-weight:500;color:var(--muted);font-size:.8125rem;padding:0 .75rem .4rem 0;vertical-align:bottom}
td{padding:.5rem .75rem .5rem 0;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
th:last-child,td:last-child{padding-right:0}
.n{text-align:right;white-space:nowrap}
tr.first td{font-weight:600}
tr.first td .path{font-weight:400}
.facts th{width:16rem;color:var(--muted);font-size:.9375rem;font-weight:400;padding:.45rem .75rem .45rem 0;border-top:1px solid var(--line);vertical-align:top}
.facts tr:first-child>*{border-top:0;padding-top:0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(11.5rem,1fr));gap:1rem 1.5rem;margin:0}
.tiles dt{color:var(--muted);font-size:.875rem}.tiles dd{margin:0;font-size:1.125rem;font-weight:600;overflow-wrap:anywhere}
.advice{margin:0;padding-left:1.2rem}.advice li{margin:.35rem 0;overflow-wrap:anywhere}
.prose p{margin:.5rem 0;max-width:52rem;overflow-wrap:anywhere}
.quiet{border-left:3px solid var(--warning-fill);padding:.1rem 0 .1rem .9rem}
footer{display:flex;flex-wrap:wrap;gap:.4rem 1.4rem;padding-top:.6rem;padding-bottom:2.5rem;font-size:.875rem}
@media (max-width:46rem){
.cards{grid-template-columns:minmax(0,1fr)}
.answer{padding:.8rem 0 1.4rem}
.card{padding:1rem}
.facts th{width:38%}
.tiles{grid-template-columns:repeat(auto-fill,minmax(8rem,1fr))}
}
@media print{body{background:#fff}.card{break-inside:avoid}footer{display:none}}
`;
