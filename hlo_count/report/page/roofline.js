// The roofline: memory slopes, ceilings, a point for each kernel.
(() => {
  const plane = data.roofline, columns = data.kernels, MOST = 1500;
  if (plane === null) {
    byId("plane-at").textContent = "No device: give one to see times and the roofline, --device h100-sxm, or report.save(…, device=\"h100-sxm\").";
    return views.push({ draw() {} });
  }
  const points = d3.range(columns.name.length)
    .filter((n) => columns.flops[n] && columns.bytes[n] && columns.estimate[n])
    .map((n) => ({ n, x: columns.flops[n] / columns.bytes[n], y: columns.flops[n] / columns.estimate[n] })).slice(0, MOST);

  function draw() {
    const width = byId("plane").clientWidth || 800, height = Math.max(260, Math.min(460, width * 0.55));
    const edge = { left: 62, right: 14, top: 12, bottom: 44 };
    const program = plane.program ? [{ x: plane.program.intensity, y: plane.program.rate }] : [];
    const all = [...points, ...program];
    if (!all.length) { byId("plane-at").textContent = "No kernel has both FLOP and traffic: nothing to draw."; return; }
    const top = d3.max(plane.ceilings, (each) => each.rate) || d3.max(all, (p) => p.y);
    const main = plane.slopes.length ? plane.slopes[plane.slopes.length - 1].rate : 1;
    const xs = [d3.min(all, (p) => p.x) / 2, Math.max(d3.max(all, (p) => p.x), top / main) * 3];
    const x = d3.scaleLog(xs, [edge.left, width - edge.right]);
    const y = d3.scaleLog([d3.min(all, (p) => p.y) / 2, top * 2], [height - edge.bottom, edge.top]);
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, height]).attr("role", "img").attr("aria-label", plane.title);
    const few = Math.max(3, Math.floor(width / 130));
    svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - edge.bottom})`).call(d3.axisBottom(x).ticks(few, "~g"));
    svg.append("g").attr("class", "axis").attr("transform", `translate(${edge.left},0)`)
      .call(d3.axisLeft(y).ticks(6).tickFormat((value) => (Number.isInteger(Math.log10(value)) ? amount(value, "") : "")));
    svg.append("text").attr("x", width - edge.right).attr("y", height - 8).attr("text-anchor", "end").text("FLOP per byte");
    svg.append("text").attr("x", edge.left + 6).attr("y", edge.top + 4).text("FLOP/s");
    const small = width < 560;
    let above = -Infinity; // of the label before, so that none covers another
    for (const each of plane.slopes) {
      const ends = [xs[0], Math.min(xs[1], top / each.rate)].map((at) => [x(at), y(at * each.rate)]);
      svg.append("path").attr("class", "slope").attr("d", d3.line()(ends));
      if (small && each !== plane.slopes[plane.slopes.length - 1]) continue;
      svg.append("text").attr("x", ends[0][0] + 8).attr("y", ends[0][1] - 6).text(`${each.label} ${amount(each.rate, "B/s")}`)
        .attr("transform", `rotate(${(Math.atan2(ends[1][1] - ends[0][1], ends[1][0] - ends[0][0]) * 180) / Math.PI},${ends[0][0]},${ends[0][1]})`);
    }
    for (const each of plane.ceilings) {
      svg.append("path").attr("class", "roof").attr("d", d3.line()([[x(Math.max(xs[0], each.rate / main)), y(each.rate)], [x(xs[1]), y(each.rate)]]));
      if (y(each.rate) - above < 14) continue;
      above = y(each.rate);
      svg.append("text").attr("x", width - edge.right - 4).attr("y", y(each.rate) - 5).attr("text-anchor", "end")
        .text(`${small ? each.label.split(",")[0] : each.label} ${amount(each.rate, "FLOP/s")}`);
    }
    const radius = d3.scaleSqrt([0, d3.max(points, (p) => columns.estimate[p.n]) || 1], small ? [2, 8] : [3, 15]);
    const open = (event, p) => choose(p.n, true);
    svg.append("g").selectAll("circle").data(points).join("circle").attr("class", "point").attr("tabindex", 0).attr("role", "button")
      .attr("data-kernel", (p) => p.n).attr("aria-label", (p) => text(columns.name[p.n]))
      .attr("cx", (p) => x(p.x)).attr("cy", (p) => y(p.y)).attr("r", (p) => radius(columns.estimate[p.n]))
      .classed("faded", (p) => !matches(text(columns.name[p.n]), text(columns.scope[p.n]), text(columns.source[p.n]), text(columns.opcode[p.n])))
      .on("click", open).on("keydown", (event, p) => pressed(() => open(event, p))(event))
      .on("mouseenter focus", (event, p) => tell(p));
    svg.append("g").selectAll("path").data(program).join("path").attr("d", d3.symbol(d3.symbolStar, 160))
      .attr("transform", (p) => `translate(${x(p.x)},${y(p.y)})`).attr("fill", "var(--ink)").append("title").text("the program");
    byId("plane").replaceChildren(svg.node());
    byId("plane-at").textContent = `${plane.title}. The star is the program; a point is a kernel, as large as its time.`;
    chose();
  }

  function tell(p) {
    byId("plane-at").textContent = `${text(columns.name[p.n])}: ${p.x.toPrecision(3)} FLOP/B, ${amount(p.y, "FLOP/s")}, ` +
      `${amount(columns.estimate[p.n], "s")}, limited by ${text(columns.limit[p.n])}`;
  }

  function chose() {
    d3.select("#plane").selectAll(".point").classed("chosen", (p) => p.n === state.kernel).filter((p) => p.n === state.kernel).raise();
  }
  views.push({ draw, chose });
})();
