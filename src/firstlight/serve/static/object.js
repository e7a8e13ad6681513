// The light curve and the probabilities of one object, drawn with uPlot on one time axis.
"use strict";
(function () {
  const section = document.getElementById("curve");
  if (!section || !window.uPlot) return;
  const data = JSON.parse(section.dataset.curve);
  const bands = ["u", "g", "r", "i", "z", "y"].filter((band) => data.band.includes(band));
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dashes = [[], [6, 3], [2, 3], [8, 3, 2, 3], [1, 2], [4, 2]];
  const lineColours = ["--g4", "--g1", "--g2", "--g3", "--g0", "--g5"];
  let unit = "mag";
  let plots = [];
  let model = null; // the autoencoder's reconstruction, once it is here

  function times() {
    const all = [...data.mjd, ...data.chances.mjd];
    const low = Math.min(...all), high = Math.max(...all);
    const edge = Math.max((high - low) * 0.03, 0.5);
    return [low - edge, high + edge];
  }

  // Marks of the bands differ in shape as well as in colour.
  function mark(ctx, k, x, y, size) {
    ctx.beginPath();
    if (k % 3 === 0) ctx.arc(x, y, size, 0, 2 * Math.PI);
    else if (k % 3 === 1) ctx.rect(x - size, y - size, 2 * size, 2 * size);
    else { ctx.moveTo(x, y - 1.2 * size); ctx.lineTo(x + 1.2 * size, y + size); ctx.lineTo(x - 1.2 * size, y + size); ctx.closePath(); }
  }

  function value(k) { return unit === "mag" ? data.mag[k] : data.flux[k]; }
  function error(k) { return unit === "mag" ? data.mag_err[k] : data.flux_err[k]; }

  function heights() {
    const values = [];
    data.mjd.forEach((_, k) => {
      const v = value(k), e = Math.min(error(k) || 0, unit === "mag" ? 1 : Infinity);
      if (v !== null) values.push(v - e, v + e);
      else if (unit === "mag" && data.limit[k] !== null) values.push(data.limit[k]);
    });
    if (!values.length) return [0, 1];
    const low = Math.min(...values), high = Math.max(...values), edge = (high - low) * 0.06 || 0.5;
    return [low - edge, high + edge];
  }

  function drawModel(u) {
    if (!model || !model.mjd) return;
    const ctx = u.ctx;
    ctx.lineWidth = 1.6 * (devicePixelRatio || 1);
    ctx.globalAlpha = 0.65;
    for (const [band, flux] of Object.entries(model.flux)) {
      ctx.strokeStyle = css("--" + band);
      ctx.beginPath();
      let drawing = false;
      flux.forEach((f, k) => {
        if (unit === "mag" && f <= 0) { drawing = false; return; }
        const x = u.valToPos(model.mjd[k], "x", true), y = u.valToPos(unit === "mag" ? 31.4 - 2.5 * Math.log10(f) : f, "y", true);
        if (drawing) ctx.lineTo(x, y); else ctx.moveTo(x, y);
        drawing = true;
      });
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
  }

  function drawPoints(u) {
    const ctx = u.ctx, scale = devicePixelRatio || 1;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    drawModel(u);
    data.mjd.forEach((t, k) => {
      const band = bands.indexOf(data.band[k]);
      const colour = css("--" + data.band[k]);
      const x = u.valToPos(t, "x", true);
      ctx.strokeStyle = ctx.fillStyle = colour;
      ctx.lineWidth = 1.2 * scale;
      const v = value(k);
      if (v === null) {
        if (unit !== "mag" || data.limit[k] === null) return;
        const y = u.valToPos(data.limit[k], "y", true), s = 4 * scale;
        ctx.globalAlpha = 0.6;
        ctx.beginPath();
        ctx.moveTo(x - s, y); ctx.lineTo(x + s, y); ctx.lineTo(x, y + 1.6 * s); ctx.closePath();
        ctx.stroke();
        ctx.globalAlpha = 1;
        return;
      }
      const y = u.valToPos(v, "y", true), e = error(k);
      if (e !== null) {
        ctx.beginPath();
        ctx.moveTo(x, u.valToPos(v - e, "y", true)); ctx.lineTo(x, u.valToPos(v + e, "y", true));
        ctx.stroke();
      }
      mark(ctx, band, x, y, 3.2 * scale);
      if (data.detected[k]) ctx.fill(); else ctx.stroke();
    });
    ctx.restore();
  }

  function axes(label) {
    const line = { stroke: css("--soft"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 } };
    return [
      { ...line, space: 90, values: (u, splits) => splits.map((v) => String(Math.round(v * 100) / 100)) },
      { ...line, label, size: 62, labelSize: 20 },
    ];
  }

  function draw() {
    for (const plot of plots) plot.destroy();
    plots = [];
    const sync = uPlot.sync("object");
    const cursor = { sync: { key: sync.key, scales: ["x", null] }, drag: { x: true, y: false } };
    const width = section.clientWidth;
    const range = times();
    const hooks = { setScale: [(u, key) => { // zoom both
      if (key !== "x") return;
      for (const other of plots) {
        if (other !== u && (other.scales.x.min !== u.scales.x.min || other.scales.x.max !== u.scales.x.max)) other.setScale("x", { min: u.scales.x.min, max: u.scales.x.max });
      }
    }] };
    const place = document.getElementById("plot-curve");
    if (place && data.mjd.length) {
      plots.push(new uPlot({
        width, height: 330, cursor, legend: { show: false },
        scales: { x: { time: false, range: (u, low, high) => (low === null || low === high ? range : [low, high]) }, y: { range: heights(), dir: unit === "mag" ? -1 : 1 } },
        axes: axes(unit === "mag" ? "AB magnitude" : "flux [nJy]"),
        series: [{}, { show: true, stroke: "transparent", points: { show: false } }],
        hooks: { ...hooks, draw: [drawPoints] },
      }, [range, [null, null]], place));
    }
    const chart = document.getElementById("plot-chances");
    const c = data.chances;
    if (chart && c.mjd.length) {
      const series = [...c.classes.map((name, k) => ({ label: name, stroke: css(lineColours[k]), dash: dashes[k], width: 2, points: { show: true, size: 4 } })),
        { label: "others", stroke: css("--soft"), dash: [1, 4], width: 1.2, points: { show: false } }];
      const x = [range[0], ...c.mjd, range[1]];
      const pad = (values) => [null, ...values, null];
      plots.push(new uPlot({
        width, height: 200, cursor, legend: { show: false },
        scales: { x: { time: false, range: (u, low, high) => (low === null || low === high ? range : [low, high]) }, y: { range: [0, 1.02] } },
        axes: axes("probability"), series: [{}, ...series], hooks,
      }, [x, ...c.proba.map(pad), pad(c.others)], chart));
    }
    legend();
  }

  function key(colour, dash) {
    const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "line");
    for (const [name, v] of Object.entries({ width: 26, height: 10, "aria-hidden": "true" })) svg.setAttribute(name, v);
    for (const [name, v] of Object.entries({ x1: 0, x2: 26, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") })) line.setAttribute(name, v);
    svg.append(line);
    return svg;
  }

  function legend() {
    const box = document.getElementById("legend");
    box.replaceChildren();
    const marks = ["●", "■", "▲"];
    bands.forEach((band, k) => {
      const one = document.createElement("span"), dot = document.createElement("span");
      dot.textContent = marks[k % 3] + " ";
      dot.style.color = css("--" + band);
      one.append(dot, band);
      box.append(one);
    });
    if (data.limit.some((v) => v !== null)) { const one = document.createElement("span"); one.textContent = "▽ 5 sigma limit"; box.append(one); }
    if (model && model.mjd) { const one = document.createElement("span"); one.append(key(css("--soft"), []), " autoencoder"); box.append(one); }
    data.chances.classes.forEach((name, k) => {
      const one = document.createElement("span");
      one.append(key(css(lineColours[k]), dashes[k]), " " + name);
      box.append(one);
    });
  }

  function choose(next) {
    unit = next;
    document.getElementById("as-mag").setAttribute("aria-pressed", String(unit === "mag"));
    document.getElementById("as-flux").setAttribute("aria-pressed", String(unit === "flux"));
    draw();
  }
  document.getElementById("as-mag").addEventListener("click", () => choose("mag"));
  document.getElementById("as-flux").addEventListener("click", () => choose("flux"));
  document.addEventListener("theme", draw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 150); });
  document.addEventListener("htmx:afterSettle", () => {
    const box = document.getElementById("model");
    if (box && !model) { model = JSON.parse(box.dataset.model); draw(); }
  });
  draw();
})();
