"use strict";
// What pages with scripts share: tables that sort, filter and show a page of rows at a time (only those rows are ever
// elements of the page), and series' pictures with their outlines.

const DATA = JSON.parse(document.getElementById("data").textContent);
const ROWS = 25;
const SVG = "http://www.w3.org/2000/svg";
const COLLATOR = new Intl.Collator("en", { numeric: true });

function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function whole(n) {
  return n.toLocaleString("en");
}

// A column's cell: a text, or a number that may be missing.
function cell(column, row) {
  return column.kind === "number" ? column.values[row] : column.texts[column.codes[row]];
}

function shown(column, row) {
  const value = cell(column, row);
  if (column.kind !== "number") return value;
  if (value === null || value === undefined) return "";
  const digits = { minimumFractionDigits: column.digits, maximumFractionDigits: column.digits };
  return value.toLocaleString("en", digits).replace("-", "\u2212");
}

// Whether a number is outside of its column's bounds, before it was rounded.
function isOut(column, row) {
  if (!column.bounds) return false;
  if (!(column.out instanceof Set)) column.out = new Set(column.out);
  return column.out.has(row);
}

function size(columns) {
  return (columns[0].values || columns[0].codes).length;
}

// What a row is searched by, in small letters.
function haystacks(columns) {
  const texts = columns.filter((column) => column.kind !== "number");
  const small = texts.map((column) => column.texts.map((text) => text.toLowerCase()));
  return (row) => texts.map((column, i) => small[i][column.codes[row]]).join("\n");
}

// Rows that hold all words.
function matching(columns, text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const all = Array.from({ length: size(columns) }, (_, row) => row);
  if (!words.length) return all;
  const haystack = haystacks(columns);
  return all.filter((row) => {
    const hay = haystack(row);
    return words.every((word) => hay.includes(word));
  });
}

// Missing numbers stand last, whichever way.
function sorted(columns, rows, by, downward) {
  const column = columns[by];
  let rank;
  if (column.kind === "number") {
    rank = (row) => column.values[row];
  } else {
    const order = column.texts.map((_, i) => i).sort((a, b) => COLLATOR.compare(column.texts[a], column.texts[b]));
    const place = new Array(order.length);
    order.forEach((code, i) => { place[code] = i; });
    rank = (row) => place[column.codes[row]];
  }
  const sign = downward ? -1 : 1;
  return rows.slice().sort((a, b) => {
    const x = rank(a), y = rank(b);
    if (x === null || y === null) return (x === null) - (y === null) || a - b;
    return sign * (x - y) || a - b;
  });
}

// Search box, count and page buttons over `draw`, which shows some of the rows that a search found.
class Pager {
  constructor(place, noun, rowsAPage, draw) {
    this.draw = draw;
    this.rowsAPage = rowsAPage;
    this.rows = [];
    this.first = 0;
    this.search = make("input", { type: "search", placeholder: "Search", "aria-label": `Search ${noun}` });
    this.count = make("span", { class: "count", "aria-live": "polite" });
    this.back = make("button", { type: "button", click: () => this.go(this.first - rowsAPage) }, "Back");
    this.next = make("button", { type: "button", click: () => this.go(this.first + rowsAPage) }, "Next");
    this.controls = make("div", { class: "bar-of-controls" }, this.search, this.count,
      make("span", { class: "pages" }, this.back, this.next));
    place.append(this.controls);
  }

  set(rows, total) {
    this.rows = rows;
    this.total = total;
    this.go(0);
  }

  go(first) {
    this.first = Math.max(0, Math.min(first, Math.max(0, this.rows.length - 1)));
    this.first -= this.first % this.rowsAPage;
    const page = this.rows.slice(this.first, this.first + this.rowsAPage);
    const of = this.rows.length === this.total ? "" : ` (${whole(this.total)} in all)`;
    this.count.textContent = page.length
      ? `${whole(this.first + 1)} to ${whole(this.first + page.length)} of ${whole(this.rows.length)}${of}` : `none${of}`;
    this.back.disabled = this.first === 0;
    this.next.disabled = this.first + this.rowsAPage >= this.rows.length;
    this.draw(page);
  }
}

class DataTable {
  constructor(place) {
    this.columns = DATA.tables[place.dataset.table];
    this.by = null;
    this.downward = false;
    place.append(make("p", { class: "caption" }, place.dataset.caption));
    this.pager = new Pager(place, place.dataset.table.replace("-", " "), ROWS, (page) => this.draw(page));
    this.pager.search.addEventListener("input", () => this.update());
    this.head = this.columns.map((column, i) => make("th",
      { scope: "col", class: column.kind === "number" ? null : "text" },
      make("button", { type: "button", click: () => this.sort(i) }, column.label)));
    this.body = make("tbody");
    place.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": place.dataset.caption },
      make("table", {}, make("thead", {}, make("tr", {}, ...this.head)), this.body)));
    this.update();
  }

  // First as one would look for what stands out: numbers downward, texts upward.
  sort(i) {
    this.downward = this.by === i ? !this.downward : this.columns[i].kind === "number";
    this.by = i;
    this.head.forEach((head, j) => {
      if (j === i) head.setAttribute("aria-sort", this.downward ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.update();
  }

  filter(text) {
    this.pager.search.value = text;
    this.update();
  }

  update() {
    const rows = matching(this.columns, this.pager.search.value);
    this.pager.set(this.by === null ? rows : sorted(this.columns, rows, this.by, this.downward), size(this.columns));
  }

  draw(page) {
    this.body.replaceChildren(...page.map((row) => make("tr", {}, ...this.columns.map((column) => make("td",
      { class: column.kind !== "number" ? `text ${column.kind}` : isOut(column, row) ? "out" : null,
        title: isOut(column, row) ? `out of bounds: ${column.bounds[0]} to ${column.bounds[1]}` : null },
      column.kind === "study" ? studyLink(cell(column, row)) : shown(column, row))))));
    if (!page.length) {
      this.body.append(make("tr", {}, make("td", { class: "none", colspan: this.columns.length }, "Nothing matches.")));
    }
  }
}

// A picture as `embedding.report.album` encodes it.
function drawn(picture) {
  const [jpeg, width, height, outline] = picture;
  const svg = document.createElementNS(SVG, "svg");
  const image = document.createElementNS(SVG, "image");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-hidden", "true");
  image.setAttribute("href", `data:image/jpeg;base64,${jpeg}`);
  image.setAttribute("width", width);
  image.setAttribute("height", height);
  path.setAttribute("d", outline);
  svg.append(image, path);
  return svg;
}

function facts(pairs) {
  return make("dl", { class: "facts" },
    ...pairs.filter(([, value]) => value !== "").flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}
