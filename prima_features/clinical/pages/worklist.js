// The worklist: studies in the order of urgency, with filters; a study opens with all its scores and its pictures.

const PICTURES = JSON.parse(document.getElementById("study-pictures").textContent);
const N = DATA.ids.length;
const LARGEST = DATA.findings.map((_, i) => Math.max(...DATA.scores.map((row) => row[i]), 0));
const URGENCIES = DATA.urgency || [];
const LEAST = Math.min(...URGENCIES), MOST = Math.max(...URGENCIES);

function fixed(value) {
  return value.toLocaleString("en", { minimumFractionDigits: 3, maximumFractionDigits: 3 }).replace("-", "−");
}

function meter(share, title) {
  const bar = make("i", {});
  bar.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return make("span", { class: "meter", title }, bar);
}

// Present findings by group, in the model's order.
function groups(row, chosen) {
  const present = DATA.present[row];
  if (!present.length) return make("p", { class: "none-present" }, "no finding scored as present");
  const byGroup = new Map();
  for (const i of present) {
    const group = DATA.findings[i].group;
    if (!byGroup.has(group)) byGroup.set(group, []);
    byGroup.get(group).push(i);
  }
  return make("dl", { class: "groups" }, ...[...byGroup].flatMap(([group, members]) => [
    make("dt", {}, group),
    make("dd", {}, ...members.map((i) => make("span", { class: i === chosen ? "finding chosen" : "finding" },
      DATA.findings[i].label, meter(DATA.scores[row][i] / (LARGEST[i] || 1), `score ${fixed(DATA.scores[row][i])}`)))),
  ]));
}

// Of the study's series, as far as there are any.
function picturesOf(id) {
  return PICTURES[id] ? PICTURES[id].series.filter(Boolean) : [];
}

// Subject and session, unless the id has them.
function identity(row) {
  const known = DATA.ids[row].split(/sub-|_ses-/);
  return [DATA.subjects[row], DATA.sessions[row]].filter((text) => text && !known.includes(text)).join(", ");
}

function item(row, chosen) {
  const id = DATA.ids[row];
  const who = make("div", { class: "who" },
    make("button", { type: "button", class: "link", click: () => showStudy(row) }, id),
    make("span", { class: "detail" }, identity(row)));
  if (DATA.urgency) {
    who.append(meter((URGENCIES[row] - LEAST) / (MOST - LEAST || 1), "urgency, from the lowest to the highest of this list"),
      make("span", { class: "detail" }, `urgency ${fixed(URGENCIES[row])}`));
  }
  const [picture] = picturesOf(id);
  if (picture) who.append(make("div", { class: "frame" }, drawn(picture)));
  return make("li", {}, make("span", { class: "rank" }, DATA.ranks ? whole(DATA.ranks[row]) : ""), who, groups(row, chosen));
}

// All findings, those that are present before the others.
function presentFirst(row) {
  const present = new Set(DATA.present[row]);
  return [...present, ...DATA.findings.keys()].filter((i, place) => place < present.size || !present.has(i));
}

function scoreTable(row) {
  const range = Math.max(...DATA.scores[row].map(Math.abs), 1e-9);
  const probabilities = DATA.probabilities && DATA.probabilities[row];
  return make("div", { class: "scroll" }, make("table", { class: "wide" },
    make("thead", {}, make("tr", {}, ...["Group", "Finding"].map((text) => make("th", { scope: "col", class: "text" }, text)),
      make("th", { scope: "col" }, "Score"), ...(probabilities ? [make("th", { scope: "col" }, "Probability")] : []), make("th", { scope: "col", class: "text bar" }, ""))),
    make("tbody", {}, ...presentFirst(row).map((i) => {
      const one = DATA.findings[i], score = DATA.scores[row][i], present = DATA.present[row].includes(i);
      const bar = make("span", {});
      bar.style.width = present ? `${100 * Math.max(score, 0) / range}%` : "0";
      return make("tr", { class: present ? "present" : null, title: one.name },
        make("td", { class: "text" }, one.group), make("td", { class: "text" }, one.label + (present ? " (present)" : "")),
        make("td", {}, fixed(score)),
        ...(probabilities ? [make("td", {}, probabilities[i] === null ? "–" : `${(100 * probabilities[i]).toFixed(1)}%`)] : []),
        make("td", { class: "text bar" }, bar));
    }))));
}

function strip(id) {
  if (!picturesOf(id).length) return null;
  const names = DATA.series[id] || [];
  return make("div", { class: "strip" }, ...PICTURES[id].series.map((one, i) => one && make("figure", {},
    make("div", { class: "frame" }, drawn(one)), make("figcaption", {}, names[i] || ""))).filter(Boolean));
}

function showStudy(row) {
  const dialog = document.getElementById("study"), id = DATA.ids[row];
  const parts = [
    make("div", { class: "top" }, make("h2", { id: "study-title" }, id),
      make("button", { type: "button", click: () => dialog.close() }, "Close")),
    facts([
      ["Subject", DATA.subjects[row]], ["Session", DATA.sessions[row]],
      ["Rank", DATA.ranks ? `${whole(DATA.ranks[row])} of ${whole(N)}` : ""],
      ["Urgency", DATA.urgency ? fixed(URGENCIES[row]) : ""],
      ...DATA.levels.map((level, i) => [`Priority output ${level}`, fixed(DATA.priority[row][i])]),
    ])];
  const pictures = strip(id);
  if (pictures) parts.push(make("h3", {}, "Series"), pictures);
  parts.push(make("h3", {}, "All scores"), make("p", { class: "remark" }, "A score of 0 or more means present. Scores are not probabilities."),
    scoreTable(row));
  dialog.replaceChildren(...parts);
  dialog.showModal();
  dialog.scrollTop = 0;
}

class Worklist {
  constructor(place) {
    const list = make("ol", { class: "worklist" });
    this.pager = new Pager(place, "studies and findings", ROWS, (page) => {
      list.replaceChildren(...page.map((row) => item(row, this.chosen)));
      if (!page.length) list.append(make("p", {}, "Nothing matches."));
    });
    this.finding = make("select", { "aria-label": "Finding", change: () => this.update() },
      make("option", { value: "" }, "all studies"), make("option", { value: "any" }, "with any finding"),
      ...DATA.findings.map((one, i) => make("option", { value: i }, `${one.group}: ${one.label}`)));
    this.order = make("select", { "aria-label": "Order", change: () => this.update() },
      ...(DATA.urgency ? [make("option", { value: "rank" }, "by urgency")] : []),
      make("option", { value: "study" }, "by study"), make("option", { value: "count" }, "by number of findings"),
      make("option", { value: "score" }, "by score of the finding"));
    this.pager.search.after(this.finding, this.order);
    this.pager.search.addEventListener("input", () => this.update());
    this.texts = DATA.ids.map((id, row) => [id, DATA.subjects[row], DATA.sessions[row],
      ...DATA.present[row].map((i) => `${DATA.findings[i].group} ${DATA.findings[i].label} ${DATA.findings[i].name}`)]
      .join("\n").toLowerCase());
    place.append(list);
    this.update();
  }

  choose(finding) {
    this.finding.value = finding;
    this.order.value = "score";
    this.update();
  }

  update() {
    const words = this.pager.search.value.toLowerCase().split(/\s+/).filter(Boolean), wanted = this.finding.value;
    this.chosen = wanted === "" || wanted === "any" ? null : Number(wanted);
    this.order.querySelector('[value="score"]').disabled = this.chosen === null;
    if (this.chosen === null && this.order.value === "score") this.order.value = DATA.urgency ? "rank" : "study";
    const rows = DATA.ids.map((_, row) => row).filter((row) => words.every((word) => this.texts[row].includes(word))
      && (this.chosen === null ? wanted === "" || DATA.present[row].length > 0 : DATA.present[row].includes(this.chosen)));
    const sizes = (row) => DATA.present[row].length;
    const orders = {
      rank: (a, b) => a - b,
      study: (a, b) => COLLATOR.compare(DATA.ids[a], DATA.ids[b]),
      count: (a, b) => sizes(b) - sizes(a) || a - b,
      score: (a, b) => DATA.scores[b][this.chosen] - DATA.scores[a][this.chosen] || a - b,
    };
    this.pager.set(rows.sort(orders[this.order.value]), N);
  }
}

const worklist = new Worklist(document.getElementById("list"));
for (const button of document.querySelectorAll("[data-finding]")) {
  button.addEventListener("click", () => {
    worklist.choose(button.dataset.finding);
    document.getElementById("worklist").scrollIntoView();
  });
}
const dialog = document.getElementById("study");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.documentElement.dataset.ready = "yes";
