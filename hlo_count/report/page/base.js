// The data, how amounts are written, and what is chosen: what all views share.
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const text = (n) => data.strings[n];
const byId = (id) => document.getElementById(id);
const state = { measure: data.main, search: "", kernel: null };
const views = []; // each: { draw(), chose() }

const DECIMAL = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""]];
const BINARY = [[2 ** 40, "Ti"], [2 ** 30, "Gi"], [2 ** 20, "Mi"], [2 ** 10, "Ki"], [1, ""]];
const SECONDS = [[1, "s"], [1e-3, "ms"], [1e-6, "µs"], [1e-9, "ns"]];

function amount(value, unit) {
  if (!value) return "0";
  const steps = unit === "s" ? SECONDS : unit === "iB" ? BINARY : DECIMAL;
  const [size, prefix] = steps.find(([least]) => value >= least) || steps[steps.length - 1];
  const scaled = value / size;
  const digits = Number.isInteger(scaled) && scaled < 1000 ? String(scaled) : scaled.toPrecision(4);
  return `${digits} ${prefix}${unit === "s" ? "" : unit === "iB" ? "B" : unit}`.trim();
}
const measure = () => data.measures[state.measure];
const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "");
const total = (n = state.measure) => d3.sum(data.trees.scope.values[n]);
const matches = (...names) => !state.search || names.some((name) => name.toLowerCase().includes(state.search));

// Elements are made of text alone: nothing in the data is markup.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, run] of Object.entries(value)) element.addEventListener(event, run);
    else if (value !== null && value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function pressed(run) { // Enter and Space do what a click does
  return (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); run(event); }
  };
}

function choose(kernel, goTo) {
  state.kernel = kernel;
  for (const view of views) if (view.chose) view.chose(goTo);
}

function redraw() { for (const view of views) view.draw(); }

function begin() {
  const select = byId("measure");
  data.measures.forEach((each, n) => select.append(make("option", { value: n }, each.label)));
  select.value = state.measure;
  select.addEventListener("change", () => { state.measure = Number(select.value); redraw(); });
  const search = byId("search");
  let waiting = null;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { state.search = search.value.trim().toLowerCase(); redraw(); }, 120);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/INPUT|SELECT/.test(document.activeElement.tagName)) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape") {
      if (search.value) { search.value = ""; state.search = ""; redraw(); }
      else for (const view of views) if (view.out) view.out();
    }
  });
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; redraw(); } });
  redraw();
}
