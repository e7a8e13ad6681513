// Keys, dark and light, and the table's updates. Everything works without it but these.
"use strict";
(function () {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  function turnTheme() {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("firstlight-theme", root.dataset.theme); } catch { /* storage may be barred */ }
    document.dispatchEvent(new Event("theme"));
  }
  byId("theme").addEventListener("click", turnTheme);

  // --- updates: the table is fetched again when the server says that there is something new ---
  let isBusy = false;
  function refresh() {
    const live = document.querySelector("[data-live]");
    if (!live || isBusy || document.hidden || location.hash === "#still") return;
    isBusy = true;
    const scroll = live.querySelector(".scroll");
    const left = scroll ? scroll.scrollLeft : 0;
    const held = document.activeElement && live.contains(document.activeElement) ? document.activeElement : null;
    const name = held ? held.textContent : "";
    htmx.ajax("GET", location.pathname + location.search, { target: "#results", select: "#results", swap: "outerHTML" })
      .then(() => {
        const now = byId("results");
        if (now && now.querySelector(".scroll")) now.querySelector(".scroll").scrollLeft = left;
        if (held) { // the same object, wherever it is now
          const same = [...now.querySelectorAll("a.object")].find((link) => link.textContent === name);
          if (same) same.focus({ preventScroll: true });
        }
        window.firstlightUpdates = (window.firstlightUpdates || 0) + 1;
      })
      .finally(() => { isBusy = false; });
  }
  if (document.querySelector("[data-live]")) {
    const events = new EventSource("/events");
    events.addEventListener("changed", refresh);
    document.addEventListener("visibilitychange", refresh);
    addEventListener("pagehide", () => events.close());
  }

  // --- a filter that is wrong: the table stays as it was, and a line says why ---
  const form = document.querySelector("form.filters"), wrong = byId("wrong");
  if (form && wrong) {
    form.addEventListener("htmx:responseError", (event) => {
      const answer = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html").querySelector("main p");
      wrong.textContent = `The table stays as it was: ${answer ? answer.textContent : `error ${event.detail.xhr.status}`}`;
    });
    form.addEventListener("htmx:sendError", () => { wrong.textContent = "The page's server does not answer."; });
    form.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) wrong.textContent = ""; });
  }

  // --- the way back to the table, with its filters ---
  try {
    if (location.pathname === "/") sessionStorage.setItem("firstlight-table", location.search);
    document.addEventListener("htmx:replacedInHistory", () => sessionStorage.setItem("firstlight-table", location.search));
    const back = byId("back");
    if (back) back.href = "/" + (sessionStorage.getItem("firstlight-table") || "");
  } catch { /* storage may be barred */ }

  // --- the row that was opened last: the keys go on from it ---
  try {
    const last = sessionStorage.getItem("firstlight-object");
    const row = last && [...document.querySelectorAll("#results a.object")].find((link) => link.textContent === last);
    if (row) {
      row.focus();
      sessionStorage.removeItem("firstlight-object");
    }
    document.addEventListener("click", (event) => {
      const link = event.target.closest("#results a.object");
      if (link) sessionStorage.setItem("firstlight-object", link.textContent);
    });
  } catch { /* storage may be barred */ }

  // --- copy ---
  for (const button of document.querySelectorAll("button.copy")) {
    button.addEventListener("click", async () => {
      const text = byId(button.dataset.from).textContent;
      let done = true;
      try { await navigator.clipboard.writeText(text); } catch { done = false; }
      byId("copied").textContent = done ? "copied" : "the browser does not allow it; open the text below and copy it";
    });
  }

  // --- keys ---
  function step(by) {
    const links = [...document.querySelectorAll("#results a.object")];
    if (!links.length) return;
    const at = links.indexOf(document.activeElement);
    links[at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(Math.max(at + by, 0), links.length - 1)].focus();
  }
  const follow = (id) => () => { const link = byId(id); if (link) link.click(); };
  const give = (value) => () => {
    const button = document.querySelector(`#verdict button[value="${value}"]`);
    if (button) button.click();
  };
  const keys = {
    j: () => step(1), k: () => step(-1), n: follow("following"), p: follow("previous"), u: follow("back"),
    "/": () => { const box = byId("q"); if (box) box.focus(); },
    "?": () => byId("keys").showModal(),
    i: give("interesting"), x: give("not_interesting"), w: give("wrong_class"),
    t: () => { location.href = "/"; }, s: () => { location.href = "/sky"; }, d: turnTheme,
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
})();
