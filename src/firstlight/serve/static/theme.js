// Runs before the page is drawn, so that a dark page never flashes white.
"use strict";
(function () {
  let chosen = null;
  try { chosen = localStorage.getItem("firstlight-theme"); } catch { /* storage may be barred */ }
  const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  document.documentElement.dataset.theme = dark ? "dark" : "light";
})();
