// Where it goes: an icicle of one of the trees, each node as wide as its share of the measure.
(() => {
  const ROW = 24, LEVELS = 14, ABOVE = 4, NARROWEST = 1.5;
  const names = Object.keys(data.trees);
  let tree = names[0], root = null, at = null;

  function build() {
    const { name, parent, values, before } = data.trees[tree];
    const own = values[state.measure], was = before && before[state.measure];
    // Of two programs a node is as wide as it is in the one that has more of it.
    const nodes = name.map((n, index) => ({ index, name: index ? text(n) : data.name, children: [],
      own: own[index], was: was ? was[index] : 0, wide: was ? Math.max(own[index], was[index]) : own[index] }));
    parent.forEach((p, index) => { if (p >= 0) nodes[p].children.push(nodes[index]); });
    root = d3.hierarchy(nodes[0], (node) => node.children).sum((node) => node.wide).sort((a, b) => b.value - a.value);
    root.eachAfter((node) => {
      for (const key of ["own", "was"]) node[key] = node.data[key] + d3.sum(node.children || [], (child) => child[key]);
    });
    d3.partition()(root);
  }

  const path = (node) => node.ancestors().reverse().slice(1).map((each) => each.data.name).join(" / ") || data.name;

  const compared = "before" in data.trees[names[0]];
  const change = (node) => (node.own - node.was) / (Math.max(node.own, node.was) || 1);

  function told(node) {
    const unit = measure().unit;
    if (!compared) return `${amount(node.own, unit)}, ${share(node.own, root.own)} of ${measure().label}`;
    return `${amount(node.was, unit)} → ${amount(node.own, unit)} (${inWords(node)}), ${measure().label}`;
  }

  function inWords(node) {
    if (node.own === node.was) return "the same";
    return node.was ? `${node.own < node.was ? "−" : "+"}${((100 * Math.abs(node.own - node.was)) / node.was).toFixed(1)} %` : "new";
  }

  const tell = (node) => { byId("icicle-at").textContent = `${path(node)}: ${told(node)}`; };

  function draw() {
    const before = at && path(at);
    build();
    at = (before && root.find((node) => path(node) === before)) || root;
    show();
  }

  function show() {
    const width = byId("icicle").clientWidth || 800, scale = d3.scaleLinear([at.x0, at.x1], [0, width]);
    const first = Math.max(0, at.depth - ABOVE);
    const shown = [...at.ancestors().reverse().slice(first, -1), ...within(scale, first + LEVELS)];
    const levels = d3.max(shown, (node) => node.depth) + 1 - first;
    const svg = d3.create("svg").attr("viewBox", [0, 0, width, levels * ROW]).attr("role", "tree")
      .attr("aria-label", `${measure().label} by ${tree}`);
    const shade = d3.scaleLinear([-1, 0, 1], ["#74add1", "#e3e6ea", "#f08a6b"]); // less is blue, more is red
    const changed = (part) => shade(Math.sign(part) * Math.sqrt(Math.abs(part)));
    const colour = d3.scaleOrdinal(d3.schemeTableau10.concat(d3.schemeSet3));
    const group = svg.selectAll("g").data(shown).join("g").attr("class", "node").attr("role", "treeitem")
      .attr("tabindex", 0).attr("aria-label", (node) => `${path(node)}, ${told(node)}`)
      .classed("hit", (node) => state.search && node.depth && matches(node.data.name))
      .attr("opacity", (node) => (state.search && node.depth && !below(node) ? 0.25 : 1))
      .attr("transform", (node) => `translate(${left(node, scale)},${(node.depth - first) * ROW})`)
      .on("click", (event, node) => go(node)).on("mouseenter focus", (event, node) => tell(node))
      .on("keydown", (event, node) => move(event, node));
    group.append("rect").attr("height", ROW - 1).attr("width", (node) => size(node, scale, width)).attr("rx", 2)
      .attr("fill", (node) => (compared ? changed(change(node)) : d3.interpolateRgb(colour(node.data.name.replace(/\d+/g, "")), "#ffffff")(0.25)));
    group.append("text").attr("x", 5).attr("y", 16).text((node) => label(node, size(node, scale, width)));
    byId("icicle").replaceChildren(svg.node());
    tell(at);
  }

  function* within(scale, end) {
    const work = [at];
    while (work.length) {
      const node = work.pop();
      yield node;
      if (node.depth + 1 >= end) continue;
      for (const child of node.children || []) if (scale(child.x1) - scale(child.x0) >= NARROWEST) work.push(child);
    }
  }
  const left = (node, scale) => Math.max(0, scale(node.x0));
  const size = (node, scale, width) => Math.max(0, Math.min(width, scale(node.x1)) - left(node, scale));
  const below = (node) => node.ancestors().concat(node.descendants()).some((each) => each.depth && matches(each.data.name));

  function label(node, room) {
    const most = Math.floor((room - 8) / 6.6), name = node.data.name, full = `${name} ${compared ? inWords(node) : share(node.own, root.own)}`;
    return most < 3 ? "" : full.length <= most ? full : name.length <= most ? name : name.slice(0, most - 1) + "…";
  }

  function go(node) {
    at = node === at && node.parent ? node.parent : node;
    show();
    focusOn(at);
  }

  function focusOn(node) {
    for (const group of byId("icicle").querySelectorAll(".node")) if (d3.select(group).datum() === node) group.focus();
  }

  function move(event, node) {
    const siblings = node.parent ? node.parent.children : [node], n = siblings.indexOf(node);
    const there = { ArrowDown: (node.children || [])[0], ArrowUp: node.parent, ArrowRight: siblings[n + 1], ArrowLeft: siblings[n - 1] }[event.key];
    if (there) { event.preventDefault(); focusOn(there); }
    pressed(() => go(node))(event);
  }

  for (const name of names) {
    byId("trees").append(make("button", { type: "button", role: "radio", "aria-checked": name === tree, on: { click: (event) => {
      tree = name; at = null;
      for (const other of byId("trees").children) other.setAttribute("aria-checked", other === event.target);
      draw();
    } } }, name), " ");
  }
  const out = () => { at = root; show(); };
  byId("out").addEventListener("click", out);
  views.push({ draw, out });
})();
