(w => {
 let d = document, s = d.currentScript, h = s.dataset.profile, p = new URL("/@" + h, s.src), send = (path, more) => {
  let q = { u: location, r: d.referrer, x: w.waypostRefs || s.dataset.refs || "" };
  q = new URLSearchParams(Object.assign(q, more));
  fetch(new URL(path + "/pixel.gif?" + q, p), { mode: "no-cors", keepalive: true }).catch(() => {});
 };
 w.waypostVariants = () => fetch(p + "/variants.json" + location.search).then(r => r.json()).then(b => (w.waypostRefs = b.variants.map(v => v.ref), b.variants));
 w.waypostView = () => send(p);
 w.waypostClick = slug => send("/" + h + "/" + encodeURIComponent(slug));
 w.waypostEvent = (event, o) => {
  let q = { event };
  for (let n in o) q["p." + n] = o[n];
  send(p, q);
 };
 w.waypost = w.waypost || w.waypostEvent;
 addEventListener("click", ({ target: t }) => {
  let a = t.closest && t.closest("[data-waypost]");
  a && w.waypostClick(a.dataset.waypost);
 }, true);
 if (s.dataset.view != "off") w.waypostView();
})(window)
