(function (d, w) {
  var s = d.currentScript, k = "wp_click", c = new URLSearchParams(location.search).get(k);
  try { c ? localStorage.setItem(k, c) : (c = localStorage.getItem(k)); } catch (e) {}
  w.waypost = function (name, o) {
    if (!c) return;
    var u = new URL("/collect", s.src), b = JSON.stringify(Object.assign({}, o, { click_id: c, name: name || "conversion" }));
    (navigator.sendBeacon && navigator.sendBeacon(u, b)) || fetch(u, { method: "POST", body: b, keepalive: true, mode: "no-cors" });
  };
  var t = s.dataset;
  if (t.convert) w.waypost(t.convert, t.value ? { value: t.value, currency: t.currency, order_id: t.order } : { order_id: t.order });
})(document, window);
