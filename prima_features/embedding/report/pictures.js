// Series' pictures: in the gallery, and in the dialog that tells of one study.

const PICTURES = JSON.parse(document.getElementById("pictures").textContent);
const CARDS = 8, SHEET = 24; // a contact sheet has more, narrower cards
const STUDIES = Object.fromEntries(DATA.tables.studies.map((column) => [column.name, column]));
const SERIES = Object.fromEntries(DATA.tables.series.map((column) => [column.name, column]));
const LEFT_OUT = Object.fromEntries(DATA.tables["left-out"].map((column) => [column.name, column]));

// What is a study's own: not the name of the one that is nearest to it.
const OWN_COLUMNS = DATA.tables.studies.filter((column) => column.name !== "nearest");

function rowsBy(column) {
  const found = new Map();
  column.codes.forEach((code, row) => {
    const text = column.texts[code];
    if (found.has(text)) found.get(text).push(row);
    else found.set(text, [row]);
  });
  return found;
}

const STUDY_ROW = new Map(STUDIES.id.codes.map((code, row) => [STUDIES.id.texts[code], row]));
const SERIES_OF = rowsBy(SERIES.study);
const LEFT_OUT_OF = rowsBy(LEFT_OUT.study);

function studyLink(id) {
  if (!STUDY_ROW.has(id) && !LEFT_OUT_OF.has(id)) return id;
  if (!id) return "";
  return make("button", { type: "button", class: "link", click: () => showStudy(id) }, id);
}

// What the contact sheet is read by: source and volume of the mask, scale and overlap, marked if out of bounds.
function brainOf(row) {
  const source = cell(SERIES.mask_from, row);
  const measures = [["brain_litres", " litres"], ["mni_scale", " scale"], ["mni_dice", " Dice"]].map(([name, unit]) => {
    const text = shown(SERIES[name], row);
    return text && `${text}${unit}${isOut(SERIES[name], row) ? " (!)" : ""}`;
  });
  return [source ? `mask from ${source}` : "no mask", ...measures.filter(Boolean)].join(", ");
}

function strip(id) {
  const pictures = PICTURES[id] ? PICTURES[id].series : [];
  return make("div", { class: "strip" }, ...(SERIES_OF.get(id) || []).map((row, i) => {
    const caption = `${cell(SERIES.name, row)}, ${cell(SERIES.plane, row)}, ${DATA.brains ? brainOf(row)
      : `${shown(SERIES.n_tokens, row)} tokens`}`;
    const frame = pictures[i] ? make("div", { class: "frame" }, drawn(pictures[i]))
      : make("div", { class: "frame empty" }, "no picture");
    return make("figure", {}, frame, make("figcaption", {}, caption));
  }));
}

function showStudy(id) {
  const dialog = document.getElementById("study");
  const row = STUDY_ROW.get(id);
  const failures = LEFT_OUT_OF.get(id) || [];
  const parts = [make("div", { class: "top" }, make("h2", { id: "study-title" }, id),
    make("button", { type: "button", click: () => dialog.close() }, "Close"))];
  if (row === undefined) {
    parts.push(make("p", {}, DATA.complete ? "This study is not in the file."
      : "This study is not in the file, or is not one of the studies that this page shows."));
  } else {
    const nearest = cell(STUDIES.nearest, row);
    parts.push(facts([
      ["Description", cell(STUDIES.description, row)],
      ["Series", shown(STUDIES.n_series, row)],
      ["Tokens", shown(STUDIES.n_tokens, row)],
      ["Nearest study", nearest ? make("span", {}, studyLink(nearest), ` (cosine ${shown(STUDIES.similarity, row)})`) : ""],
      ["Isolation", shown(STUDIES.isolation, row)],
      ["Remarks", cell(STUDIES.flags, row)],
    ]), make("h3", {}, "Series"), strip(id));
  }
  if (failures.length) {
    parts.push(make("h3", {}, "Left out"), make("ul", {}, ...failures.slice(0, 50).map((one) => {
      const what = cell(LEFT_OUT.series, one), hint = cell(LEFT_OUT.hint, one);
      return make("li", {}, `${what ? `${what}: ` : ""}${cell(LEFT_OUT.error, one)}${hint ? ` (${hint})` : ""}`);
    })));
  }
  dialog.replaceChildren(...parts);
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function gallery(place) {
  // The chosen studies in the order of the file; what is searched are the studies' texts.
  const cards = make("div", { class: DATA.brains ? "cards sheet" : "cards" });
  const pager = new Pager(place, "pictures", DATA.brains ? SHEET : CARDS, (page) => {
    cards.replaceChildren(...page.map((row) => {
      const id = cell(STUDIES.id, row), remarks = cell(STUDIES.flags, row);
      return make("article", { class: "card" },
        make("h3", {}, studyLink(id), remarks ? make("span", { class: "remarks" }, remarks) : ""), strip(id));
    }));
    if (!page.length) cards.append(make("p", {}, "Nothing matches."));
  });
  const only = make("select", { "aria-label": "Which studies", change: update },
    ...["all studies", ...(DATA.brains ? ["out of bounds"] : []), "outlier", "near-duplicate", "incomplete"].map((name) => make("option", {}, name)));
  const outlines = make("input", { type: "checkbox", checked: true, id: "outlines",
    change: () => document.body.classList.toggle("no-outline", !outlines.checked) });
  pager.search.after(only, make("label", {}, outlines, DATA.brains ? " outline the brain masks" : " outline the tokens"));
  pager.search.addEventListener("input", update);
  place.append(cards);
  const total = Object.keys(PICTURES).length;

  function update() {
    const flag = only.value === "all studies" ? "" : only.value;
    pager.set(matching(OWN_COLUMNS, pager.search.value).filter((row) =>
      cell(STUDIES.id, row) in PICTURES && cell(STUDIES.flags, row).includes(flag)), total);
  }
  update();
}
