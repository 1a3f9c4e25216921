"use strict";
// Tables: a click on a heading sorts, words in the field above filter. Without this script everything is still there.
const key = (row, column) => row.cells[column].dataset.sort;
const number = text => text === "" ? NaN : Number(text.replace("inf", "Infinity"));
function compare(a, b) {
  if (a === "" || b === "") return (a === "") - (b === "");  // what has no value comes last either way, see below
  const [x, y] = [number(a), number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}
for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0], headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
    const down = heading.getAttribute("aria-sort") === "ascending";
    headings.forEach(other => other.removeAttribute("aria-sort"));
    heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    const rows = [...body.rows].sort((one, other) => {
      const [a, b] = [key(one, column), key(other, column)];
      return (down && a !== "" && b !== "" ? -1 : 1) * compare(a, b);
    });
    body.append(...rows);
  }));
  const field = table.closest(".table").querySelector("input");
  if (field) field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of body.rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    const left = [...body.rows].filter(row => !row.hidden).length;
    field.nextElementSibling.value = words.length ? `${left} of ${body.rows.length} lines` : "";
  });
}
// Paper shows what is folded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach(details => { details.open = true; });
});
addEventListener("afterprint", () => folded.forEach(details => { details.open = false; }));
