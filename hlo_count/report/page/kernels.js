// The kernels as a table, and one of them in full: its code, its makers and users, its place.
(() => {
  const PAGE = 150, columns = data.kernels, number = columns.name.length;
  let most = PAGE;
  const key = () => (measure().key in columns ? measure().key : data.measures[data.main].key in columns ? data.measures[data.main].key : "bytes");
  const timed = data.device !== null, measured = data.measures.some((each) => each.key === "measured");
  const numeric = ["runs", "flops", "bytes", ...(timed ? ["estimate", "bound"] : []), ...(measured ? ["measured"] : [])];
  const units = { bytes: "B", estimate: "s", bound: "s", measured: "s" };
  const heads = { runs: "runs", flops: "FLOP", bytes: "bytes", estimate: "estimate", bound: "bound", measured: "measured" };

  function chosen() {
    const found = d3.range(number).filter((n) => matches(text(columns.name[n]), text(columns.scope[n]), text(columns.source[n]), text(columns.opcode[n])));
    const by = columns[key()];
    return found.sort((a, b) => by[b] - by[a] || a - b);
  }

  function draw() {
    const found = chosen(), table = byId("kernel-table");
    byId("found").textContent = state.search ? `${found.length.toLocaleString("en")} kernels` : "";
    const head = make("tr", {}, make("th", {}, "kernel"), ...numeric.map((name) => make("th", { class: "n" }, heads[name])), make("th", {}, "scope"));
    const body = make("tbody", {}, ...found.slice(0, most).map(row));
    if (columns.rest.number && !state.search && found.length <= most) body.append(rest());
    table.replaceChildren(make("thead", {}, head), body);
    byId("more").hidden = found.length <= most;
    byId("more").textContent = `more of ${found.length.toLocaleString("en")}`;
  }

  function row(n) {
    const open = () => choose(n, false);
    return make("tr", { tabindex: 0, "data-kernel": n, class: state.kernel === n ? "chosen" : "", on: { click: open, keydown: pressed(open) } },
      make("td", { class: "name" }, text(columns.name[n])),
      ...numeric.map((name) => make("td", { class: "n" }, amount(columns[name][n], units[name] || ""))),
      make("td", { class: "path" }, text(columns.scope[n])));
  }

  function rest() {
    return make("tr", {}, make("td", {}, `everything else (${columns.rest.number.toLocaleString("en")})`),
      ...numeric.map((name) => make("td", { class: "n" }, name in columns.rest ? amount(columns.rest[name], units[name] || "") : "")), make("td"));
  }

  function detail(n) {
    const entry = (name, value) => (value ? [make("dt", {}, name), make("dd", {}, value)] : []);
    const intensity = columns.bytes[n] && columns.flops[n] ? `${(columns.flops[n] / columns.bytes[n]).toPrecision(3)} FLOP/B` : "";
    const source = text(columns.source[n]);
    const link = make("button", { type: "button", on: { click: () => goToSource(source) } }, source);
    return [
      make("h3", {}, text(columns.name[n])),
      make("dl", {}, ...entry("what", `${text(columns.opcode[n])} ${text(columns.shape[n])}`), ...entry("scope", text(columns.scope[n])),
        ...entry("source", link), ...entry("runs", amount(columns.runs[n], "")), ...entry("FLOP", amount(columns.flops[n], "")),
        ...entry("bytes", amount(columns.bytes[n], "B")), ...entry("intensity", intensity),
        ...(timed ? entry("estimate", `${amount(columns.estimate[n], "s")}, limited by ${text(columns.limit[n])}`) : []),
        ...(timed ? entry("bound", amount(columns.bound[n], "s")) : []),
        ...(measured ? entry("measured", amount(columns.measured[n], "s")) : [])),
      ...neighbours("made from", columns.operands[n]), ...neighbours("used by", columns.users[n]),
      make("pre", {}, columns.code[n] || "its code is left out of this page: hlo-count explain has it"),
    ];
  }

  function neighbours(title, found) {
    const one = (each) => typeof each === "number"
      ? make("button", { type: "button", on: { click: () => choose(each, true) } }, text(columns.name[each])) : make("span", {}, `${each} `);
    return found.length ? [make("p", {}, `${title}: `, ...found.map(one))] : [];
  }

  function chose(goTo) {
    for (const each of byId("kernel-table").querySelectorAll("tr.chosen")) each.classList.remove("chosen");
    if (state.kernel === null) { byId("detail").replaceChildren(); return; }
    byId("detail").replaceChildren(...detail(state.kernel));
    const row = byId("kernel-table").querySelector(`[data-kernel="${state.kernel}"]`);
    if (row) { row.classList.add("chosen"); if (goTo) row.scrollIntoView({ block: "nearest" }); }
    if (goTo) { byId("kernels").scrollIntoView({ block: "nearest" }); byId("detail").focus({ preventScroll: true }); }
  }

  byId("more").addEventListener("click", () => { most += 4 * PAGE; draw(); });
  views.push({ draw, chose });
})();
