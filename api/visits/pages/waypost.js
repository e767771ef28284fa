(function (d, w) {
  var s = d.currentScript, h = s.dataset.profile, o = new URL(s.src).origin;
  function send(path) {
    var q = new URLSearchParams({ u: location.href, r: d.referrer });
    fetch(o + path + "/pixel.gif?" + q, { mode: "no-cors", credentials: "omit", keepalive: true }).catch(function () {});
  }
  w.waypostView = function () { send("/@" + h); };
  w.waypostClick = function (slug) { send("/" + h + "/" + encodeURIComponent(slug)); };
  d.addEventListener("click", function (e) {
    var a = e.target.closest && e.target.closest("[data-waypost]");
    if (a) w.waypostClick(a.dataset.waypost);
  }, true);
  if (s.dataset.view !== "off") w.waypostView();
})(document, window);
