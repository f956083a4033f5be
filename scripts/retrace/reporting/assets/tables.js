"use strict";
// Tables that can be sorted, searched and copied. On a phone a table shows one data set at a time.

function setUpTable(article) {
  const node = article.querySelector("table");
  const tools = article.querySelector(".tools");
  const headings = [...node.tHead.rows[0].cells].map((cell) => cell.textContent);
  const table = new DataTable(node, {
    paging: false,
    info: false,
    order: [],
    autoWidth: false,
    searching: true,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
  });

  const search = element("input", { type: "search", autocomplete: "off" });
  search.addEventListener("input", () => table.search(search.value).draw());
  tools.append(element("label", {}, "Search the table", search));

  if (article.dataset.grid && headings.length > 2) chooseColumn(table, tools, headings);

  // What is copied is what is shown: the rows that the search leaves, in their order, and the visible columns.
  tools.append(
    ...copyButtons(() => {
      const columns = headings.map((_, place) => place).filter((place) => table.column(place).visible());
      const body = table.rows({ search: "applied", order: "applied" }).nodes().toArray();
      return [
        columns.map((place) => headings[place]),
        ...body.map((row) => columns.map((place) => table.cell(row, place).node().textContent)),
      ];
    }),
  );
}

// A choice among the columns after the first, for tables of methods by data sets.
function chooseColumn(table, tools, headings) {
  const places = headings.map((_, place) => place).slice(1);
  const options = places.map((place) => element("option", { value: place }, headings[place]));
  const choice = element("select", {}, element("option", { value: "" }, "all"), ...options);
  const show = () => places.forEach((place) => table.column(place).visible(!choice.value || Number(choice.value) === place));
  choice.value = isPhone() ? String(places[0]) : "";
  choice.addEventListener("change", show);
  tools.append(element("label", {}, "Data set", choice));
  show();
}

document.querySelectorAll("article.table").forEach(setUpTable);
