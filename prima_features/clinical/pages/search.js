// Search results: the most similar studies of the chosen query, with their pictures.

const PICTURES = JSON.parse(document.getElementById("study-pictures").textContent);

function fixed(value) {
  return value.toLocaleString("en", { minimumFractionDigits: 4, maximumFractionDigits: 4 }).replace("-", "−");
}

class Results {
  constructor(place) {
    const list = make("ol", { class: "worklist" });
    this.pager = new Pager(place, "studies", ROWS, (page) => {
      list.replaceChildren(...page.map((row) => this.item(row)));
      if (!page.length) list.append(make("p", {}, "Nothing matches."));
    });
    this.query = make("select", { "aria-label": "Query", change: () => this.update() },
      ...DATA.queries.map((one, i) => make("option", { value: i }, one.name)));
    this.pager.search.before(this.query);
    this.pager.search.addEventListener("input", () => this.update());
    place.append(list);
    this.update();
  }

  update() {
    this.hits = DATA.queries[Number(this.query.value)];
    this.key = this.hits.difference || this.hits.cosine;
    const words = this.pager.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (row) => [this.hits.study[row], this.hits.subject[row], this.hits.session[row]].join("\n").toLowerCase();
    const rows = this.hits.study.map((_, row) => row);
    this.pager.set(rows.filter((row) => words.every((word) => text(row).includes(word))), rows.length);
  }

  item(row) {
    const hits = this.hits, id = hits.study[row], least = this.key[this.key.length - 1];
    const bar = make("i", {});
    bar.style.width = `${100 * (this.key[row] - least) / (this.key[0] - least || 1)}%`;
    const known = id.split(/sub-|_ses-/);
    const who = [hits.subject[row], hits.session[row]].filter((text) => text && !known.includes(text)).join(", ");
    const numbers = hits.difference
      ? `difference ${fixed(hits.difference[row])} (cosine ${fixed(hits.cosine[row])}, contrast ${fixed(hits.against[row])})`
      : `cosine ${fixed(hits.cosine[row])}`;
    const pictures = PICTURES[id] ? PICTURES[id].series.filter(Boolean) : [];
    return make("li", {}, make("span", { class: "rank" }, whole(row + 1)),
      make("div", { class: "who" }, id, make("span", { class: "detail" }, who),
        make("span", { class: "meter", title: "from the lowest to the highest shown" }, bar),
        make("span", { class: "detail" }, numbers)),
      make("div", { class: "strip" }, ...pictures.map((one) => make("figure", {}, make("div", { class: "frame" }, drawn(one))))));
  }
}

new Results(document.getElementById("list"));
document.documentElement.dataset.ready = "yes";
