// Everything into its place.

const TABLES = {};
for (const place of document.querySelectorAll(".data")) TABLES[place.dataset.table] = new DataTable(place);
for (const button of document.querySelectorAll("[data-show]")) {
  button.addEventListener("click", () => {
    TABLES["left-out"].filter(button.dataset.show);
    document.querySelector('[data-table="left-out"]').scrollIntoView();
  });
}
const dialog = document.getElementById("study");
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
if (document.getElementById("gallery")) gallery(document.getElementById("gallery"));
if (document.getElementById("scatter")) drawMap(document.getElementById("scatter"));
document.documentElement.dataset.ready = "yes";
