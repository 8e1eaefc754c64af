"use strict";
// Draws every <figure class="chart">: its data is the JSON inside it, made by src/report/chart.rs.
(() => {
  const NS = "http://www.w3.org/2000/svg";
  const settings = { smoothing: 0, scale: "linear", axis: "step" };
  const charts = [];

  const make = (tag, attributes = {}, parent) => {
    const node = document.createElementNS(NS, tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (parent) parent.append(node);
    return node;
  };
  const html = (tag, attributes = {}, parent, text) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    if (parent) parent.append(node);
    return node;
  };
  const color = (line) => `var(--c${line.color % 8})`;

  // Numbers: four digits, powers of ten where a number would be long.
  const short = (value) => {
    if (value === 0 || value === null || value === undefined) return value === 0 ? "0" : "–";
    const size = Math.abs(value);
    if (size >= 1e6 || size < 1e-4) return value.toExponential(2).replace("e+", "e").replace(/\.?0+e/, "e");
    return String(Number(value.toPrecision(4)));
  };
  const label = (value) => {
    const size = Math.abs(value);
    if (size >= 1e9 || (size < 1e-4 && size > 0)) return value.toExponential(1).replace("e+", "e").replace(".0e", "e");
    if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
    if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
    return String(Number(value.toPrecision(6)));
  };
  const ticks = (low, high, wanted) => {
    const raw = (high - low) / Math.max(wanted, 1);
    if (!(raw > 0)) return [low];
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999);
    const list = [];
    for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) list.push(Math.abs(at) < step / 1e6 ? 0 : at);
    return list;
  };
  const logTicks = (low, high) => {
    const list = [];
    const decades = Math.log10(high / low);
    const parts = decades < 1.2 ? [1, 2, 3, 5, 7] : decades < 3 ? [1, 3] : [1];
    const every = Math.ceil(decades / 8);
    for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p += 1) {
      if (p % every === 0) for (const n of parts) if (n * 10 ** p >= low * 0.999 && n * 10 ** p <= high * 1.001) list.push(n * 10 ** p);
    }
    return list.length > 1 ? list : ticks(low, high, 4).filter((at) => at > 0);
  };
  // The mean of the past with weights that fall off, corrected for its start (Kingma and Ba, 2015, section 3).
  const smooth = (values, weight) => {
    let last = 0, norm = 0;
    return values.map((value) => {
      if (value === null) return null;
      last = last * weight + (1 - weight) * value;
      norm = norm * weight + (1 - weight);
      return last / norm;
    });
  };

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.data = JSON.parse(figure.querySelector("script").textContent);
      this.plot = figure.querySelector(".plot");
      this.hidden = new Set();
      this.own = null; // this chart's own scale, once its button was pressed
      this.zoom = null;
      this.cursor = null;
      this.height = this.data.height || 250;
      this.controls();
      this.live = html("p", { class: "hidden", "aria-live": "polite" }, figure);
      this.tip = html("div", { class: "tip", hidden: "" }, this.plot);
      this.drawn = 0; // the width it was drawn for
      new ResizeObserver(() => {
        if (this.plot.clientWidth === this.drawn) return;
        this.drawn = this.plot.clientWidth;
        requestAnimationFrame(() => this.draw());
      }).observe(this.plot);
    }

    controls() {
      const buttons = html("span", { class: "buttons" }, this.figure.querySelector("figcaption"));
      this.unzoom = html("button", { type: "button", hidden: "" }, buttons, "whole range");
      this.unzoom.onclick = () => { this.zoom = null; this.draw(); };
      if (!this.data.fixed) {
        this.logButton = html("button", { type: "button", "aria-pressed": "false" }, buttons, "log");
        this.logButton.onclick = () => { this.own = this.scale() === "log" ? "linear" : "log"; this.draw(); };
      }
      const wide = html("button", { type: "button", class: "widen", "aria-pressed": String(this.figure.classList.contains("wide")) }, buttons, "wide");
      wide.onclick = () => wide.setAttribute("aria-pressed", String(this.figure.classList.toggle("wide")));
      this.legend = html("div", { class: "legend" }, null);
      this.plot.after(this.legend);
      for (const line of this.data.lines) {
        const button = html("button", { type: "button", "aria-pressed": "true" }, this.legend);
        const swatch = html("span", { class: "swatch" }, button);
        swatch.style.color = color(line);
        button.append(line.name);
        button.onclick = () => {
          if (!this.hidden.delete(line)) this.hidden.add(line);
          button.setAttribute("aria-pressed", String(!this.hidden.has(line)));
          this.draw();
        };
      }
    }

    scale() { return this.own || (this.data.fixed ? "linear" : settings.scale); }
    xs(line) { return settings.axis === "epoch" && line.epochs ? line.epochs : line.x; }

    // What is drawn of every line: positions, values, smoothed values.
    visible(log) {
      const fits = (value) => value !== null && (!log || value > 0);
      return this.data.lines.filter((line) => !this.hidden.has(line)).map((line) => {
        const x = this.xs(line);
        const soft = settings.smoothing > 0 && line.y.length > 4 && !line.dots && !this.data.fixed ? smooth(line.y, settings.smoothing) : null;
        const inside = (i) => !this.zoom || (x[i] >= this.zoom[0] && x[i] <= this.zoom[1]);
        return { line, x, soft, keep: line.y.map((value, i) => fits(value) && inside(i)) };
      });
    }

    draw() {
      const width = this.plot.clientWidth;
      if (!width) return;
      const log = this.scale() === "log" && this.data.lines.some((line) => line.y.some((value) => value > 0));
      if (this.logButton) this.logButton.setAttribute("aria-pressed", String(log));
      this.unzoom.hidden = !this.zoom;
      const parts = this.visible(log);
      let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
      for (const { line, x, soft, keep } of parts) {
        keep.forEach((kept, i) => {
          if (!kept) return;
          x0 = Math.min(x0, x[i]); x1 = Math.max(x1, x[i]);
          const faint = soft && settings.smoothing > 0.6; // the raw line may leave the picture then
          const ends = faint ? [soft[i]] : line.low ? [line.low[i], line.high[i]] : [line.y[i]];
          for (const value of ends) if (!log || value > 0) { y0 = Math.min(y0, value); y1 = Math.max(y1, value); }
        });
      }
      if (this.svg) this.svg.remove();
      this.svg = make("svg", { viewBox: `0 0 ${width} ${this.height}`, height: this.height, tabindex: 0, role: "img", "aria-label": this.describe() });
      this.plot.prepend(this.svg);
      if (x0 > x1) { make("text", { x: 8, y: 24 }, this.svg).textContent = "Nothing to draw here."; this.frame = null; return; }
      if (x0 === x1) { x0 -= 0.5; x1 += 0.5; }
      if (log) { const pad = Math.max((y1 / y0) ** 0.05, 1.02); y0 /= pad; y1 *= pad; }
      else if (this.data.from_zero && y0 >= 0) { y0 = 0; y1 = y1 * 1.08 || 1; }
      else { const pad = (y1 - y0) * 0.06 || Math.abs(y1) * 0.05 || 1; y0 -= pad; y1 += pad; }
      const [first, last] = [x0, x1]; // a dot at the end is a whole dot
      { const pad = (x1 - x0) * 0.015; x0 -= pad; x1 += pad; }
      const yTicks = log ? logTicks(y0, y1) : ticks(y0, y1, this.height / 45);
      const left = 12 + Math.max(...yTicks.map((at) => label(at).length)) * 6.4;
      const [right, top, bottom] = [10, 8, this.data.x_label ? 36 : 24];
      const toX = (value) => left + ((value - x0) / (x1 - x0)) * (width - left - right);
      const part = (value) => log ? Math.log(value / y0) / Math.log(y1 / y0) : (value - y0) / (y1 - y0);
      const toY = (value) => this.height - bottom - part(value) * (this.height - top - bottom);
      this.frame = { left, right, top, bottom, width, toX, toY, x0, x1, parts };

      for (const at of yTicks) {
        make("line", { class: "grid-line", x1: left, x2: width - right, y1: toY(at), y2: toY(at) }, this.svg);
        make("text", { x: left - 6, y: toY(at) + 4, "text-anchor": "end" }, this.svg).textContent = label(at);
      }
      make("line", { class: "axis", x1: left, x2: width - right, y1: this.height - bottom, y2: this.height - bottom }, this.svg);
      const whole = ticks(first, last, width / 85).filter((at) => this.data.fractions || Number.isInteger(Number(at.toPrecision(12))));
      for (const at of whole) make("text", { x: toX(at), y: this.height - bottom + 16, "text-anchor": "middle" }, this.svg).textContent = label(at);
      const name = this.data.x_label === "step" ? settings.axis : this.data.x_label;
      if (name) make("text", { x: (left + width - right) / 2, y: this.height - 4, "text-anchor": "middle" }, this.svg).textContent = name;

      const clip = `clip-${this.figure.id}`;
      make("rect", { x: left, y: top - 4, width: width - left - right + 4, height: this.height - top - bottom + 6 }, make("clipPath", { id: clip }, make("defs", {}, this.svg)));
      const area = make("g", { "clip-path": `url(#${clip})` }, this.svg);
      this.drawMark(area, toX, top);
      for (const item of parts) this.drawLine(area, item, toX, toY, log, y0);
      this.overlay = make("g", {}, this.svg);
      this.listen();
    }

    // The position that the page wants to be seen: where the monitored metric was best.
    drawMark(area, toX, top) {
      const { mark } = this.data;
      if (!mark) return;
      const at = settings.axis === "epoch" ? mark.epoch : mark.step;
      if (at < this.frame.x0 || at > this.frame.x1) return;
      make("line", { class: "mark", x1: toX(at), x2: toX(at), y1: top, y2: this.height - this.frame.bottom }, area);
      const left = toX(at) > this.frame.width / 2;
      make("text", { class: "mark-name", x: toX(at) + (left ? -5 : 5), y: top + 9, "text-anchor": left ? "end" : "start" }, area).textContent = mark.name;
    }

    drawLine(area, { line, x, soft, keep }, toX, toY, log, floor) {
      const stroke = color(line);
      const path = (values) => {
        let text = "", pen = false;
        keep.forEach((kept, i) => {
          if (!kept || values[i] === null) { pen = pen && this.data.bridge; return; }
          text += `${pen ? "L" : "M"}${toX(x[i]).toFixed(1)} ${toY(values[i]).toFixed(1)}`;
          pen = true;
        });
        return text;
      };
      if (line.low) {
        const at = keep.map((kept, i) => kept ? i : -1).filter((i) => i >= 0);
        const bound = (value) => log ? Math.max(value, floor) : value;
        const point = (i, value) => `${toX(x[i]).toFixed(1)},${toY(bound(value)).toFixed(1)}`;
        const outline = [...at.map((i) => point(i, line.high[i])), ...at.reverse().map((i) => point(i, line.low[i]))];
        make("polygon", { class: "band", points: outline.join(" "), style: `fill:${stroke}` }, area);
      }
      if (!line.dots) make("path", { class: soft ? "line raw" : "line", d: path(line.y), style: `stroke:${stroke}`, "stroke-dasharray": line.dashed ? "6 4" : "none" }, area);
      if (soft) make("path", { class: "line", d: path(soft), style: `stroke:${stroke}`, "stroke-dasharray": line.dashed ? "6 4" : "none" }, area);
      const count = keep.filter(Boolean).length;
      if (line.dots || count <= 40) {
        keep.forEach((kept, i) => kept && make("circle", { cx: toX(x[i]).toFixed(1), cy: toY(line.y[i]).toFixed(1), r: line.dots || count < 2 ? 3.5 : 2.4, style: `fill:${stroke}`, "fill-opacity": soft ? 0.35 : 1 }, area));
      }
    }

    describe() {
      const parts = this.data.lines.map((line) => {
        const last = line.y.findLast((value) => value !== null);
        return `${line.name}: ${line.y.length} points, last ${short(last)}`;
      });
      return `${this.data.title}. ${parts.join("; ")}. Use the arrow keys to read values.`;
    }

    listen() {
      const { svg } = this;
      const at = (event) => {
        const box = svg.getBoundingClientRect();
        const { left, right, width, x0, x1 } = this.frame;
        const share = ((event.clientX - box.left) - left) / (width - left - right);
        return x0 + Math.min(Math.max(share, 0), 1) * (x1 - x0);
      };
      let from = null, mark = null;
      svg.onpointerdown = (event) => { if (event.button === 0 && event.pointerType !== "touch") { from = at(event); svg.setPointerCapture(event.pointerId); } };
      svg.onpointermove = (event) => {
        const now = at(event);
        if (from !== null) {
          if (!mark) mark = make("rect", { class: "zoom", y: this.frame.top, height: this.height - this.frame.top - this.frame.bottom }, this.overlay);
          const ends = [from, now].map(this.frame.toX).sort((a, b) => a - b);
          mark.setAttribute("x", ends[0]); mark.setAttribute("width", ends[1] - ends[0]);
        } else this.show(this.nearest(now));
      };
      svg.onpointerup = (event) => {
        const ends = from === null ? null : [from, at(event)].sort((a, b) => a - b);
        from = null; mark = null;
        if (ends && this.frame.toX(ends[1]) - this.frame.toX(ends[0]) > 8) { this.zoom = ends; this.draw(); } else this.show(this.nearest(at(event)));
      };
      svg.onpointerleave = () => { if (from === null) this.show(null); };
      svg.onblur = () => this.show(null);
      svg.ondblclick = () => { this.zoom = null; this.draw(); };
      svg.onkeydown = (event) => {
        const all = this.positions();
        const now = this.cursor === null ? -1 : all.indexOf(this.cursor);
        const page = Math.max(Math.round(all.length / 10), 1);
        const moves = { ArrowRight: now + 1, ArrowLeft: now < 0 ? all.length - 1 : now - 1, PageUp: now + page, PageDown: now - page, Home: 0, End: all.length - 1 };
        if (event.key === "Escape") { this.zoom = null; this.show(null); this.draw(); return; }
        if (!(event.key in moves) || !all.length) return;
        event.preventDefault();
        this.show(all[Math.min(Math.max(moves[event.key], 0), all.length - 1)], true);
      };
    }

    positions() {
      const all = new Set();
      for (const { x, keep } of this.frame?.parts || []) keep.forEach((kept, i) => kept && all.add(x[i]));
      return [...all].sort((a, b) => a - b);
    }

    nearest(value) {
      let best = null;
      for (const { x, keep } of this.frame.parts) {
        keep.forEach((kept, i) => { if (kept && (best === null || Math.abs(x[i] - value) < Math.abs(best - value))) best = x[i]; });
      }
      return best;
    }

    show(position, speak) {
      this.cursor = position;
      if (!this.overlay) return;
      this.overlay.replaceChildren();
      this.tip.hidden = position === null;
      if (position === null || !this.frame) return;
      const { toX, toY, top, bottom, parts, width } = this.frame;
      make("line", { class: "rule", x1: toX(position), x2: toX(position), y1: top, y2: this.height - bottom }, this.overlay);
      this.tip.replaceChildren();
      const axis = this.data.x_label === "step" ? settings.axis : this.data.x_label || "x";
      html("div", { class: "soft" }, this.tip, `${axis} ${label(position)}`);
      const table = html("table", {}, this.tip);
      const said = [];
      const reach = (this.frame.x1 - this.frame.x0) / 30;
      for (const { line, x, soft, keep } of parts) {
        let best = -1;
        keep.forEach((kept, i) => { if (kept && (best < 0 || Math.abs(x[i] - position) < Math.abs(x[best] - position))) best = i; });
        if (best < 0 || Math.abs(x[best] - position) > reach) continue;
        const value = soft ? soft[best] : line.y[best];
        make("circle", { cx: toX(x[best]), cy: toY(value), r: 4, style: `fill:${color(line)};stroke:var(--card);stroke-width:1.5` }, this.overlay);
        const row = html("tr", {}, table);
        const cell = html("td", {}, row);
        html("span", { class: "swatch" }, cell).style.color = color(line);
        cell.append(line.labels ? line.labels[best] : line.name);
        html("td", {}, row, short(value));
        if (line.low && line.low[best] !== line.high[best]) html("td", { class: "soft" }, row, `${short(line.low[best])} … ${short(line.high[best])}`);
        said.push(`${line.name} ${short(value)}`);
      }
      const over = toX(position) > width / 2;
      this.tip.style.top = `${top + 4}px`;
      this.tip.style.left = over ? "auto" : `${toX(position) + 12}px`;
      this.tip.style.right = over ? `${width - toX(position) + 12}px` : "auto";
      if (speak) this.live.textContent = `${axis} ${label(position)}: ${said.join(", ")}`;
    }
  }

  const redraw = () => charts.forEach((chart) => chart.draw());
  const choice = (tools, name) => {
    const group = tools.querySelector(`[data-${name}]`);
    if (!group) return;
    group.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      settings[name] = button.value;
      document.querySelectorAll(`[data-${name}] button`).forEach((other) => other.setAttribute("aria-pressed", String(other.value === button.value)));
      charts.forEach((chart) => { if (name === "scale") chart.own = null; chart.zoom = null; });
      redraw();
    });
  };
  document.querySelectorAll("figure.chart").forEach((figure) => charts.push(new Chart(figure)));
  document.querySelectorAll("[data-chart-tools]").forEach((tools) => {
    choice(tools, "scale");
    choice(tools, "axis");
    const epochs = tools.querySelector("[data-has-epochs]");
    if (epochs) epochs.hidden = !charts.some((chart) => chart.data.lines.some((line) => line.epochs && new Set(line.epochs).size > 2));
    const range = tools.querySelector("[data-smoothing]");
    if (range) range.addEventListener("input", () => { settings.smoothing = Number(range.value); range.parentElement.querySelector("output").textContent = range.value; redraw(); });
  });

  // Tables whose heads sort.
  document.querySelectorAll("table.sortable").forEach((table) => {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = html("button", { type: "button" }, null, head.textContent);
      head.replaceChildren(button);
      button.onclick = () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].textContent;
        const number = (text) => text.trim() === "" ? NaN : Number(text);
        const order = (a, b) => {
          const [x, y] = [value(a), value(b)], [m, n] = [number(x), number(y)];
          if (Number.isNaN(m) !== Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1; // what has no number stays below
          return (Number.isNaN(m) ? x.localeCompare(y) : m - n) * (down ? -1 : 1);
        };
        table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
      };
    });
  });

  // Lists with a field that filters them.
  document.querySelectorAll("[data-filters]").forEach((field) => {
    const list = document.getElementById(field.dataset.filters);
    const only = document.querySelector(`[data-only="${field.dataset.filters}"]`);
    const apply = () => {
      const text = field.value.trim().toLowerCase();
      for (const row of list.children) row.hidden = (text !== "" && !(row.dataset.text || row.textContent).toLowerCase().includes(text)) || (only?.checked && !row.classList.contains("typed"));
    };
    field.addEventListener("input", apply);
    only?.addEventListener("change", apply);
  });

  // The contents show where the reader is.
  const links = [...document.querySelectorAll("nav.contents a")];
  const mark = () => {
    const here = links.findLast((link) => (document.getElementById(link.hash.slice(1))?.getBoundingClientRect().top ?? 1e9) < 120) || links[0];
    links.forEach((link) => link === here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current"));
  };
  addEventListener("scroll", mark, { passive: true });
  mark();
})();
