"use strict";
// Shared functions. Text from models and data is inserted as text, never as HTML.

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const isPhone = () => matchMedia("(max-width: 44rem)").matches;

// The element `name` with attributes and children; a child that is no node becomes text.
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const dataOf = (node) => JSON.parse(node.textContent);

// A button that copies text and says whether that worked.
function copyButton(label, text) {
  const button = element("button", { type: "button" }, label);
  button.addEventListener("click", async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      // A page opened from disk may have no clipboard API: copy from a temporary text area.
      const field = element("textarea", { "aria-hidden": "true" });
      field.value = text();
      document.body.append(field);
      field.select();
      done = document.execCommand("copy");
      field.remove();
      button.focus();
    }
    button.textContent = done ? "Copied" : "Could not be copied";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

const quoted = (cell) => (/[",\n\r]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
const inLatex = (cell) =>
  cell.replace(/[\\&%$#_{}~^]/g, (sign) => ({ "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" })[sign] ?? `\\${sign}`);

// The same table as text in other formats.
const FORMATS = {
  CSV: (rows) => rows.map((row) => row.map(quoted).join(",")).join("\n") + "\n",
  Markdown: (rows) => {
    const line = (row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|").replace(/\s+/g, " ")).join(" | ")} |\n`;
    return line(rows[0]) + line(rows[0].map(() => "---")) + rows.slice(1).map(line).join("");
  },
  LaTeX: (rows) => {
    const line = (row) => `${row.map(inLatex).join(" & ")} \\\\\n`;
    const columns = "l".repeat(rows[0].length);
    return `\\begin{tabular}{${columns}}\n\\toprule\n${line(rows[0])}\\midrule\n${rows.slice(1).map(line).join("")}\\bottomrule\n\\end{tabular}\n`;
  },
};
const copyButtons = (rows) => Object.keys(FORMATS).map((name) => copyButton(`Copy ${name}`, () => FORMATS[name](rows())));

// A target inside closed details is opened.
function openTarget() {
  const target = location.hash.startsWith("#step-") && document.getElementById(location.hash.slice(1));
  if (target) {
    target.open = true;
    target.scrollIntoView({ block: "center" });
    target.querySelector("summary").focus({ preventScroll: true });
  }
}
addEventListener("hashchange", openTarget);
openTarget();

function followScheme() {
  document.documentElement.classList.toggle("dark", isDark());
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", followScheme);
followScheme();
