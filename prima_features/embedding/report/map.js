// The map of the studies: a canvas, which draws thousands of points at once, with labels where the pointer is.

const MARGIN = 18;
const REACH = 14; // pixels around a point that count as on it
const COLOURS = 8;

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function within(share) {
  return Math.max(0, Math.min(1, share));
}

// Ways to colour: of each, a group a study and the groups' labels.
function colourings() {
  const rows = STUDIES.id.codes.map((_, row) => row);
  const ways = [{ label: "nothing", groups: rows.map(() => 0), names: [""] }];
  const add = (label, texts) => {
    const counts = new Map();
    texts.forEach((text) => counts.set(text, (counts.get(text) || 0) + 1));
    if (counts.size < 2) return;
    const common = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    const names = common.slice(0, common.length > COLOURS ? COLOURS - 1 : COLOURS);
    const place = new Map(names.map((name, i) => [name, i]));
    const groups = texts.map((text) => place.has(text) ? place.get(text) : -1);
    ways.push({ label, groups, names: names.map((name) => name || "none"), others: common.length - names.length });
  };
  add("remarks", rows.map((row) => cell(STUDIES.flags, row)));
  add("number of series", rows.map((row) => String(cell(STUDIES.n_series, row))));
  add("description", rows.map((row) => cell(STUDIES.description, row)));
  return ways;
}

function drawMap(place) {
  const points = DATA.points, ways = colourings();
  const canvas = make("canvas", { role: "img", "aria-label": "Map of the studies; the table of studies has the same data" });
  const plot = make("div", { class: "plot" }, canvas);
  const legend = make("ul", { class: "legend" });
  const tip = document.getElementById("tip");
  const choice = make("select", { change: draw, id: "colour" },
    ...ways.map((way, i) => make("option", { value: i }, way.label)));
  const search = make("input", { type: "search", placeholder: "Find a study", "aria-label": "Find in the map", input: draw });
  place.append(make("div", { class: "bar-of-controls" },
    ways.length > 1 ? make("label", {}, "Colour by ", choice) : "", search), plot, legend);
  let at = [], hovered = -1;

  // If a few of many points lie far out, they are drawn at the edge, and the others fill the frame.
  const extent = [0, 1].map((axis) => {
    const values = points.map((point) => point[axis]).sort((a, b) => a - b), last = values.length - 1;
    const cut = values.length < 10 ? 0 : Math.ceil(0.02 * last);
    const low = values[cut], high = values[last - cut];
    const reach = Math.max(0.5 * (high - low), 1e-9);
    const from = Math.max(values[0], low - reach), to = Math.min(values[last], high + reach);
    return [from, Math.max(to - from, 1e-9)];
  });
  const rim = points.map((point) => [0, 1].some((axis) =>
    point[axis] < extent[axis][0] - 1e-9 || point[axis] > extent[axis][0] + extent[axis][1] + 1e-9));
  const nOut = rim.filter(Boolean).length;
  if (nOut) place.append(make("p", { class: "remark" },
    `${whole(nOut)} ${nOut === 1 ? "study is" : "studies are"} outside of the frame and drawn at its edge, as ${nOut === 1 ? "a ring" : "rings"}.`));

  function draw() {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const way = ways[choice.value || 0];
    const colours = way.names.length > 1 ? way.names.map((_, i) => css(`--c${i + 1}`)) : [css("--point")];
    const found = search.value.trim() ? new Set(matching(OWN_COLUMNS, search.value)) : null;
    const radius = points.length > 2000 ? 2.5 : points.length > 300 ? 3.5 : 5;
    at = points.map(([x, y]) => [
      MARGIN + within((x - extent[0][0]) / extent[0][1]) * (width - 2 * MARGIN),
      height - MARGIN - within((y - extent[1][0]) / extent[1][1]) * (height - 2 * MARGIN),
    ]);
    // The most frequent group first, so that it does not hide the others; what is searched for on top.
    const order = at.map((_, row) => row).sort((a, b) =>
      (found ? found.has(a) - found.has(b) : 0) || (way.groups[a] < 0) - (way.groups[b] < 0) || way.groups[a] - way.groups[b]);
    for (const row of order) {
      const group = way.groups[row];
      pen.globalAlpha = found && !found.has(row) ? 0.12 : 0.8;
      pen.fillStyle = group < 0 ? css("--other") : colours[group];
      pen.beginPath();
      pen.arc(at[row][0], at[row][1], found && found.has(row) ? radius + 2 : radius, 0, 2 * Math.PI);
      if (rim[row]) {
        pen.strokeStyle = pen.fillStyle;
        pen.lineWidth = 1.5;
        pen.stroke();
      } else {
        pen.fill();
      }
    }
    if (hovered >= 0) {
      pen.globalAlpha = 1;
      pen.strokeStyle = css("--ink");
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(at[hovered][0], at[hovered][1], radius + 3, 0, 2 * Math.PI);
      pen.stroke();
    }
    const names = way.names.length > 1 ? way.names.slice() : [];
    legend.replaceChildren(...names.map((name, i) => entry(colours[i], name)),
      ...(way.others ? [entry(css("--other"), `${whole(way.others)} others`)] : []));
  }

  function entry(colour, name) {
    const dot = make("i");
    dot.style.background = colour;
    return make("li", {}, dot, name);
  }

  function nearest(event) {
    const box = canvas.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    let best = -1, least = REACH * REACH;
    at.forEach(([px, py], row) => {
      const distance = (px - x) ** 2 + (py - y) ** 2;
      if (distance < least) { least = distance; best = row; }
    });
    return best;
  }

  function hover(event) {
    const row = nearest(event);
    tip.hidden = row < 0;
    if (row >= 0) {
      const lines = [cell(STUDIES.description, row), `${shown(STUDIES.n_series, row)} series, ${shown(STUDIES.n_tokens, row)} tokens`,
        cell(STUDIES.flags, row)];
      tip.replaceChildren(make("b", {}, cell(STUDIES.id, row)), ...lines.filter(Boolean).map((line) => make("div", {}, line)));
      tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
      tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
    }
    if (row !== hovered) { hovered = row; draw(); }
  }

  canvas.addEventListener("pointermove", hover);
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; hovered = -1; draw(); });
  canvas.addEventListener("click", (event) => {
    const row = nearest(event);
    if (row >= 0) { tip.hidden = true; showStudy(cell(STUDIES.id, row)); }
  });
  new ResizeObserver(draw).observe(plot);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  draw();
}
