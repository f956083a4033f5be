"use strict";
// Figures are drawn when they come into view, and again when the colors of the system change.

const figuresData = dataOf(document.getElementById("figures-data"));

function theme() {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const [ink, quiet, line] = [color("--ink"), color("--quiet"), color("--line")];
  return {
    background: "transparent",
    font: "system-ui, sans-serif",
    axis: { labelColor: ink, titleColor: ink, gridColor: line, domainColor: quiet, tickColor: quiet, titleFontWeight: "normal", labelFontSize: 12, titleFontSize: 12 },
    legend: { labelColor: ink, titleColor: ink, labelFontSize: 12 },
    view: { stroke: null },
    point: { color: color("--link") },
    rule: { color: color("--link") },
    line: { color: color("--link") },
    tick: { color: color("--bad") },
    text: { color: ink, fontSize: 12 },
    // Okabe and Ito's colors, which readers with any color vision tell apart.
    range: { category: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", isDark() ? "#bbbbbb" : "#555555"] },
  };
}

async function draw(figure) {
  const { title, caption, rows, spec } = figuresData[Number(figure.dataset.figure)];
  const plot = figure.querySelector(".plot");
  const whole = { ...spec, data: { values: rows }, width: "container", autosize: { type: "fit-x", contains: "padding" }, };
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", `${title}. ${caption}`);
  const marks = { tooltip: { content: "data" } };
  await vegaEmbed(plot, whole, { actions: false, renderer: "svg", config: { ...theme(), mark: marks }, tooltip: { theme: isDark() ? "dark" : "light" } });
  // The plot has one label; its data are in the table below it.
  plot.querySelector("svg").setAttribute("aria-hidden", "true");
  plot.dataset.drawn = "yes";
}

function showData(figure) {
  const { rows } = figuresData[Number(figure.dataset.figure)];
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = () => [names, ...rows.map((row) => names.map((name) => (row[name] ?? "") + ""))];
  const numeric = names.map((name) => rows.every((row) => row[name] === undefined || row[name] === null || typeof row[name] === "number"));
  const line = (tag, row, more = {}) =>
    element("tr", {}, ...row.map((cell, place) => element(tag, { ...more, class: numeric[place] && "number" }, cell)));
  const [header, ...body] = cells();
  figure.querySelector("details .tools").append(...copyButtons(cells));
  figure
    .querySelector("details .scroll")
    .append(element("table", {}, element("thead", {}, line("th", header, { scope: "col" })), element("tbody", {}, ...body.map((row) => line("td", row)))));
}

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting) {
        watcher.unobserve(entry.target);
        draw(entry.target);
      }
    }
  },
  { rootMargin: "300px" },
);
for (const figure of document.querySelectorAll("figure")) {
  watcher.observe(figure);
  figure.querySelector("details").addEventListener("toggle", () => showData(figure), { once: true });
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  document.querySelectorAll("figure").forEach((figure) => figure.querySelector(".plot").dataset.drawn && draw(figure)),
);
