"use strict";
// Tables that can be sorted, searched and copied. On a phone a table shows one data set at a time.

function setUpTable(article) {
  const node = article.querySelector("table");
  const tools = article.querySelector(".tools");
  const long = (article.dataset.long || "").split(" ").filter(Boolean).map(Number);
  const headings = [...node.tHead.rows[0].cells].map((cell) => cell.textContent);
  for (const row of node.tBodies[0].rows) for (const place of long) row.cells[place].classList.add("long");
  const table = new DataTable(node, {
    paging: false,
    info: false,
    order: [],
    autoWidth: false,
    searching: true,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    columnDefs: [{ targets: long, visible: false }],
  });

  const search = element("input", { type: "search", autocomplete: "off" });
  search.addEventListener("input", () => table.search(search.value).draw());
  tools.append(element("label", {}, "Search the table", search));

  if (article.dataset.dataset !== undefined) chooseRows(table, tools, Number(article.dataset.dataset));
  else if (article.dataset.grid && headings.length > 2) chooseColumn(table, tools, headings);

  if (long.length && long.length < headings.length) {
    const button = element("button", { type: "button", "aria-pressed": "false" }, "All columns");
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "false";
      button.setAttribute("aria-pressed", String(shown));
      table.columns(long).visible(shown);
    });
    tools.append(button);
  }
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

// A choice among the values of the column that names the data set; on a phone the first one, else all.
function chooseRows(table, tools, column) {
  const values = [...new Set(table.column(column).nodes().toArray().map((cell) => cell.textContent))];
  if (values.length < 2) return;
  const choice = element("select", {}, element("option", { value: "" }, "all"), ...values.map((value) => element("option", {}, value)));
  const show = () => {
    table.column(column).search((text) => !choice.value || text === choice.value).draw();
    table.column(column).visible(!choice.value);
  };
  choice.value = isPhone() ? values[0] : "";
  choice.addEventListener("change", show);
  tools.append(element("label", {}, "Data set", choice));
  show();
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
