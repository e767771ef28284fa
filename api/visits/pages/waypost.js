(function (d, w) {
  var s = d.currentScript, h = s.dataset.profile, o = new URL(s.src).origin;
  function send(path, more) {
    var q = new URLSearchParams(Object.assign({ u: location.href, r: d.referrer }, more));
    fetch(o + path + "/pixel.gif?" + q, { mode: "no-cors", credentials: "omit", keepalive: true }).catch(function () {});
  }
  w.waypostView = function () { send("/@" + h); };
  w.waypostClick = function (slug) { send("/" + h + "/" + encodeURIComponent(slug)); };
  w.waypostEvent = function (name, properties) {
    var q = { event: name };
    for (var p in properties) q["p." + p] = properties[p];
    send("/@" + h, q);
  };
  w.waypost = w.waypost || w.waypostEvent;
  d.addEventListener("click", function (e) {
    var a = e.target.closest && e.target.closest("[data-waypost]");
    if (a) w.waypostClick(a.dataset.waypost);
  }, true);
  if (s.dataset.view !== "off") w.waypostView();
})(document, window);
