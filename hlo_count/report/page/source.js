// Lines of source with what each costs beside it.
let goToSource = () => {};
(() => {
  const files = data.files, select = byId("file");
  files.forEach((file, n) => select.append(make("option", { value: n }, file.name)));
  const weight = (file, line) => (file.heat[line] || [])[state.measure] || 0;

  function draw() {
    const file = files[Number(select.value)];
    if (!file) { byId("lines").textContent = "The text names no line of source."; return; }
    const whole = total(), most = d3.max(Object.keys(file.heat), (line) => weight(file, line)) || 1;
    const numbers = file.text.length ? file.text.map((_, n) => n + 1) : Object.keys(file.heat).map(Number);
    byId("lines").replaceChildren(make("table", { class: "code" }, make("tbody", {}, ...numbers.map((line) => {
      const value = weight(file, line), heat = value ? `${amount(value, measure().unit)} ${share(value, whole)}` : "";
      const row = make("tr", { "data-line": line, class: state.search && matches(file.text[line - 1] || "") ? "chosen" : "" },
        make("td", { class: "heat", style: `--share: ${(0.75 * value) / most}` }, heat),
        make("td", { class: "number" }, String(line)), make("td", {}, file.text[line - 1] || ""));
      return row;
    }))));
    if (!file.text.length) byId("lines").prepend(make("p", { class: "at" }, "Its text may not be read here: docs/trust says which files are."));
    const hot = Object.keys(file.heat).sort((a, b) => weight(file, b) - weight(file, a))[0];
    scrollTo(hot);
  }

  function scrollTo(line) {
    const row = byId("lines").querySelector(`[data-line="${line}"]`);
    if (row) byId("lines").scrollTop = row.offsetTop - byId("lines").clientHeight / 3;
    return row;
  }

  goToSource = (place) => {
    const colon = place.lastIndexOf(":"), n = files.findIndex((file) => file.name === place.slice(0, colon));
    if (n < 0) return;
    select.value = n;
    draw();
    byId("source").scrollIntoView({ block: "nearest" });
    const row = scrollTo(Number(place.slice(colon + 1)));
    if (row) row.classList.add("chosen");
  };
  select.addEventListener("change", draw);
  views.push({ draw });
})();
