// Memory over the schedule, and what is alive at the worst moment.
(() => {
  const memory = data.memory;

  function ticks() { // whole numbers of KiB, MiB ...
    const [size] = BINARY.find(([least]) => memory.peak >= least) || [1];
    return d3.ticks(0, memory.peak / size, 4).map((value) => value * size);
  }

  function draw() {
    const width = byId("timeline").clientWidth || 800, height = 200, edge = { left: 70, right: 12, top: 10, bottom: 24 };
    const x = d3.scaleLinear([0, Math.max(1, memory.temporaries.length - 1)], [edge.left, width - edge.right]);
    const y = d3.scaleLinear([0, memory.peak || 1], [height - edge.bottom, edge.top]);
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("role", "img").attr("aria-label", "memory over the schedule");
    svg.append("rect").attr("class", "always").attr("x", edge.left).attr("width", width - edge.left - edge.right)
      .attr("y", y(memory.always)).attr("height", y(0) - y(memory.always));
    svg.append("path").attr("class", "area").attr("d", d3.area().x((_, n) => x(n)).y0(y(memory.always)).y1((each) => y(memory.always + each))
      .curve(d3.curveStep)(memory.temporaries));
    svg.append("line").attr("class", "slope").attr("x1", x(memory.worst)).attr("x2", x(memory.worst)).attr("y1", edge.top).attr("y2", height - edge.bottom);
    svg.append("g").attr("class", "axis").attr("transform", `translate(${edge.left},0)`).call(d3.axisLeft(y).tickValues(ticks()).tickFormat((value) => amount(value, "iB")));
    svg.append("text").attr("x", width - edge.right).attr("y", height - 6).attr("text-anchor", "end").text("the schedule, loops once");
    byId("timeline").replaceChildren(svg.node());
    byId("timeline-at").textContent = `Peak ${amount(memory.peak, "iB")}${memory.at ? ` while ${memory.at} runs` : ""}; ` +
      `${amount(memory.always, "iB")} are arguments and outputs, which are there throughout (grey).`;
    const head = make("tr", {}, ...["alive at the peak", "what", "shape"].map((name) => make("th", {}, name)), make("th", { class: "n" }, "size"), make("th", {}, "source"));
    const rows = memory.alive.filter((each) => matches(text(each.name), text(each.source), text(each.what)));
    byId("alive").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map((each) => make("tr", {}, make("td", { class: "name" }, text(each.name)),
      make("td", {}, text(each.what)), make("td", {}, text(each.shape)), make("td", { class: "n" }, amount(each.bytes, "iB")), make("td", {}, text(each.source)))),
      ...(memory.more ? [make("tr", {}, make("td", {}, `and ${memory.more.toLocaleString("en")} more`))] : [])));
  }
  views.push({ draw });
})();
begin();
