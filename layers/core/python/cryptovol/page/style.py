"""The page's style sheet: light and dark, wide and narrow, without a font or a picture from elsewhere.

Series colours are those of Okabe and Ito's palette for all kinds of colour vision, lightened for a dark ground.
"""

STYLE = """
:root{--ink:#1c2733;--soft:#566371;--ground:#fff;--card:#f6f8fa;--rule:#d7dee6;--good:#176f42;--bad:#b3261e;
--goodground:#e8f4ed;--badground:#fdecea;--evenground:#eef1f5;--realized:#2b3642;--model:#0072b2;--har:#d55e00;
--garch:#008f68;--ewma:#a8528a;--persistence:#7c8794;--band:rgba(0,114,178,.16);--win:#0072b2;--loss:#d55e00}
@media(prefers-color-scheme:dark){:root{--ink:#dde5ee;--soft:#9dabb9;--ground:#12181f;--card:#1a222b;--rule:#2c3742;
--good:#55c48d;--bad:#ff8a80;--goodground:#163325;--badground:#3a1d1b;--evenground:#222c37;--realized:#e3eaf2;
--model:#56b4e9;--har:#f0994a;--garch:#35c79d;--ewma:#e29cc7;--persistence:#95a1ae;--band:rgba(86,180,233,.2);
--win:#56b4e9;--loss:#f0994a}}
*{box-sizing:border-box} html{-webkit-text-size-adjust:100%}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto 4rem;max-width:74rem;padding:0 1rem;color:var(--ink);
background:var(--ground)}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .2rem;text-wrap:balance;overflow-wrap:anywhere}
h2{font-size:1.1rem;margin:2.2rem 0 .2rem}
p{max-width:82ch;margin:.3rem 0} small,figcaption,.note{color:var(--soft)} .note,figcaption{font-size:.88rem} .note{max-width:98ch}
.verdict{border-left:5px solid var(--soft);background:var(--evenground);border-radius:.3rem;padding:.8rem 1.1rem;
margin:1.2rem 0 .8rem} .verdict p{font-size:1.12rem;max-width:none;text-wrap:pretty} .verdict p+p{font-size:.95rem}
.verdict strong{display:block;font-size:.85rem;letter-spacing:.02em}
.verdict.better{border-color:var(--good);background:var(--goodground)} .verdict.better strong{color:var(--good)}
.verdict.worse{border-color:var(--bad);background:var(--badground)} .verdict.worse strong{color:var(--bad)}
dl.numbers{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0} dl.numbers div{background:var(--card);
border-radius:.4rem;padding:.5rem 1rem;flex:1 1 9rem} .numbers dt{color:var(--soft);font-size:.85rem}
.numbers dd{margin:0;font-size:1.35rem;font-variant-numeric:tabular-nums;line-height:1.3}
.numbers dd small{display:block;font-size:.8rem}
.scroll{overflow-x:auto;margin:.6rem 0} table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:.4rem .7rem;vertical-align:top;border-bottom:1px solid var(--rule);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:.4rem} thead th{color:var(--soft);font-weight:500;
font-size:.85rem;vertical-align:bottom} tbody th{font-weight:600} td small,th small{display:block;font-weight:400}
tr.own>*{background:var(--evenground)} td.best{font-weight:700}
.dot{display:inline-block;width:1.2em;text-align:right;font-size:.65em;font-style:normal;vertical-align:.2em;
color:var(--model)} .good{color:var(--good)} .bad{color:var(--bad)} small.good,small.bad{font-weight:500}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr));gap:0 1.5rem}
figure{margin:0;min-width:0} figure h2{margin-top:2rem} .chart{width:100%;background:var(--card);border-radius:.4rem;
overflow:hidden;margin:.6rem 0}
details{margin:.4rem 0} summary{cursor:pointer;color:var(--soft);font-size:.88rem;padding:.3rem 0}
details .scroll{max-height:26rem;overflow:auto} details table{font-size:.88rem} details thead th{position:sticky;top:0;
background:var(--ground)}
table.facts td,table.facts th{white-space:normal;overflow-wrap:anywhere;text-align:left;font-size:.88rem}
table.facts th{font-weight:500;color:var(--soft);width:12rem} table.facts td{font-family:ui-monospace,monospace}
@media(max-width:40rem){body{margin-top:1rem;padding:0 .75rem} h1{font-size:1.25rem} .verdict{padding:.6rem .8rem}
.verdict p{font-size:1rem} th,td{padding:.35rem .5rem} dl.numbers div{padding:.4rem .7rem}
.numbers dd{font-size:1.15rem}}
@media print{.chart{break-inside:avoid}}
"""

# Colours are named in the charts ($ink) and looked up in the style sheet, so that a change of light redraws them.
SCRIPT = """
(function(){"use strict";
var charts=JSON.parse(document.getElementById("charts").textContent);
var coarse=matchMedia("(pointer: coarse)").matches;
function painted(value,key,css){
  if(Array.isArray(value))return value.map(function(v){return painted(v,key,css)});
  if(value&&typeof value==="object"){var out={};for(var k in value)out[k]=painted(value[k],k,css);return out}
  if(typeof value==="string"&&value[0]==="$"&&/color$/.test(key))return css.getPropertyValue("--"+value.slice(1)).trim();
  return value}
function draw(){
  var css=getComputedStyle(document.documentElement);
  charts.forEach(function(chart){
    var made=painted(chart,"",css);
    if(coarse)made.layout.dragmode=false;
    Plotly.react(chart.id,made.data,made.layout,{responsive:true,displayModeBar:false})})}
draw();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change",draw);
})();
"""
