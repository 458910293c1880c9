"""The report's style sheet: light, dark, narrow and on paper."""

from __future__ import annotations

__all__ = ["STYLE"]

_LIGHT = """--bg:#fbfbfa;--card:#fff;--ink:#1c2024;--soft:#5d656e;--line:#dfe2e5;--band:#f1f3f5;--user:#1f5fc4;
--agent0:#0b7a66;--agent1:#8a3ab9;--agent2:#a05a00;--cut:#c0281c;--tool:#8a5a00;--wait:#8b949e;
--good:#0b7a4b;--bad:#c0281c;--stage0:#a9c3ea;--stage1:#6096e0;--stage2:#1f5fc4;--stage3:#123d80"""
_DARK = """--bg:#14171a;--card:#1b1f23;--ink:#e8eaed;--soft:#a2abb5;--line:#31373d;--band:#1f2429;--user:#7fb0ff;
--agent0:#54d1b6;--agent1:#d09cf5;--agent2:#f0b25c;--cut:#ff8074;--tool:#eebb66;--wait:#79838d;
--good:#58cf96;--bad:#ff8074;--stage0:#35527f;--stage1:#5381c9;--stage2:#8db8ff;--stage3:#d6e5ff"""

STYLE = (
    ":root{color-scheme:light dark;" + _LIGHT + "}@media(prefers-color-scheme:dark){:root{" + _DARK + "}}"
    """
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1280px;margin:0 auto;padding:32px 24px 48px}
h1{font-size:28px;line-height:1.2;margin:0}h2{font-size:20px;margin:40px 0 12px}
h1 span{font-size:15px;font-weight:600;padding:3px 11px;border:1.5px solid;border-radius:99px;vertical-align:middle;
margin-left:8px;white-space:nowrap}
p{margin:0}header p{color:var(--soft);margin-top:6px;overflow-wrap:anywhere}
code{font:13.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--band);padding:2px 6px;
border-radius:5px;overflow-wrap:anywhere}
.good{color:var(--good)}.bad{color:var(--bad)}.user{--c:var(--user)}.agent0{--c:var(--agent0)}
.agent1{--c:var(--agent1)}.agent2{--c:var(--agent2)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:12px;margin:24px 0 0}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px 14px;display:flex;
flex-direction:column-reverse;justify-content:flex-end}
.tiles dt{color:var(--soft);font-size:13px;line-height:1.35}.tiles dd{margin:0 0 2px;font-size:22px;font-weight:650;
font-variant-numeric:tabular-nums}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:10px;padding:12px}
.scroll{overflow-x:auto}svg{display:block;width:100%;min-width:860px;height:auto}
svg text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:var(--ink)}
svg .lane,svg .tick,svg .small{fill:var(--soft)}svg .tick{text-anchor:middle;font-variant-numeric:tabular-nums}
svg .lane{font-weight:600}svg .number{font-weight:700}svg .small{font-size:11px}
.band{fill:var(--band)}.band.other{fill:none}.zero{stroke:var(--line)}.axis{stroke:var(--soft)}
.wave{fill:var(--c)}.wait{fill:none;stroke:var(--wait);stroke-width:1.5;stroke-dasharray:3 3}
.mark.tool path{fill:var(--tool)}.mark.handoff path{fill:var(--agent1)}
svg .cut path{stroke:var(--cut);stroke-width:1.75}svg .cut text{fill:var(--cut);font-weight:600}
figcaption,.legend{display:flex;flex-wrap:wrap;gap:4px 18px;color:var(--soft);font-size:13px;margin-top:10px}
.key::before{content:"";display:inline-block;width:12px;height:12px;border-radius:3px;background:var(--c);
margin-right:6px;vertical-align:-1px}
.key.wait::before{height:0;border-top:2px dashed var(--wait);background:none;border-radius:0;vertical-align:4px}
.key.cut::before{width:3px;background:var(--cut)}
.turn{display:grid;grid-template-columns:92px 1fr;background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:14px 16px;margin-bottom:10px}
.turn h3{margin:0;font-size:15px;line-height:1.6}.turn time,.act time{color:var(--soft);font-size:13px;font-weight:400;
font-variant-numeric:tabular-nums}
.turn p+p{margin-top:6px}.said{display:grid;grid-template-columns:64px 1fr}.said b{color:var(--c)}
.act{font-size:14px;color:var(--soft);margin-left:64px;padding-left:10px;border-left:3px solid var(--tool)}
.act b{color:var(--ink)}.act.handoff{border-color:var(--agent1)}.act.cut{border-color:var(--cut)}
.act q{color:var(--ink)}s{color:var(--soft);text-decoration:line-through 1px var(--wait)}small{color:var(--soft);font-size:13px}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
table{border-collapse:collapse;width:100%;min-width:640px;font-variant-numeric:tabular-nums;font-size:14px}
caption{text-align:left;color:var(--soft);font-size:13px;padding-bottom:6px}
th,td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line)}thead th{color:var(--soft);font-weight:600}
th:first-child{text-align:left}tbody th span{font-weight:400;margin-left:6px}
.bar{width:34%}.bar i{display:inline-block;height:12px}.bar{text-align:left;white-space:nowrap;font-size:0}
.stage0{background:var(--stage0)}.stage1{background:var(--stage1)}.stage2{background:var(--stage2)}.stage3{background:var(--stage3)}
.key[class*=stage]{background:none}.key.stage0{--c:var(--stage0)}.key.stage1{--c:var(--stage1)}
.key.stage2{--c:var(--stage2)}.key.stage3{--c:var(--stage3)}
.checks{list-style:none;margin:0;padding:0;columns:2;column-gap:32px}
.checks li{display:grid;grid-template-columns:68px 1fr;break-inside:avoid;padding:4px 0;font-size:14px}
.checks li>span{color:var(--ink);overflow-wrap:anywhere}.checks small{display:block;font-size:12.5px;line-height:1.4}
footer{color:var(--soft);font-size:13px;margin-top:40px}a{color:var(--user)}
@media(max-width:760px){main{padding:20px 14px}.turn{grid-template-columns:1fr}.checks{columns:1}.act{margin-left:0}}
@media print{:root{"""
    + _LIGHT
    + """;--bg:#fff}body{font-size:11pt}main{max-width:none;padding:0}svg{min-width:0}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}.turn,figure,tr{break-inside:avoid}h2{break-after:avoid}}
"""
)
