"use strict";
// Predictions of two methods side by side. Rows are as retrace.reporting.questions makes them.

const groups = [...document.querySelectorAll(".predictions-data")].map(dataOf);
const STEP_ENDS = /\n|\s\|\s/; // as in retrace.reporting.questions

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

// The text with the given stretches underlined.
function underlined(text, spans) {
  const signs = [...text]; // places count code points, as in Python
  const parts = [];
  let at = 0;
  for (const [start, end] of spans) {
    parts.push(signs.slice(at, start).join(""), element("u", { title: "written by the calculator" }, signs.slice(start, end).join("")));
    at = end;
  }
  return [...parts, signs.slice(at).join("")];
}

function candidateList([taken, candidates]) {
  const most = Math.max(...candidates.map((one) => one[4]), 1e-9);
  const order = candidates.map((_, place) => place).sort((a, b) => candidates[b][4] - candidates[a][4]);
  return element(
    "ol",
    { class: "candidates" },
    ...order.map((place) => {
      const [text, times, language, discriminator, mixed, spans] = candidates[place];
      const scores = [
        `mixed ${mixed.toFixed(3)}`,
        `language model ${language.toFixed(3)}`,
        discriminator === null ? "discriminator not asked" : `discriminator ${discriminator.toFixed(3)}`,
        times > 1 ? `${times} times` : null,
      ];
      return element(
        "li",
        { class: place === taken ? "candidate taken" : "candidate" },
        place === taken ? element("span", { class: "note" }, "✓ chosen ") : null,
        ...underlined(text || "(nothing)", spans),
        element("span", { class: "bar", style: `width: ${Math.max(0, (100 * mixed) / most)}%` }),
        element("span", { class: "scores" }, scores.filter(Boolean).join(" · ")),
      );
    }),
  );
}

function solution(row) {
  const [, , chosen, samples, steps, departs] = row;
  const mark = (place) => (place === departs ? element("span", { class: "note" }, " ← first step that departs from the reference") : null);
  const classOf = (place) => (place === departs ? "step departs" : "step");
  if (!steps) {
    const pieces = samples[chosen][0].split(STEP_ENDS);
    return pieces.map((piece, place) => element("div", { class: classOf(place) }, piece, mark(place)));
  }
  return steps.flatMap((step, place) => {
    const [text, , , , , spans] = step[1][step[0]];
    const number = step[1].reduce((sum, one) => sum + one[1], 0);
    return [
      element("div", { class: classOf(place) }, ...underlined(text, spans), mark(place)),
      element("details", {}, element("summary", {}, `${number} candidates, ${step[1].length} different`), candidateList(step)),
    ];
  });
}

function votes(row) {
  const samples = row[3];
  if (samples.length < 2) return null;
  const counts = new Map();
  for (const [, answer, right] of samples) {
    const key = answer ?? "(no answer)";
    const known = counts.get(key) ?? { number: 0, right };
    counts.set(key, { number: known.number + 1, right: known.right || right });
  }
  const order = [...counts].sort((a, b) => b[1].number - a[1].number);
  const lines = order.map(([answer, { number, right }]) =>
    element(
      "li",
      { class: answer === (row[1] ?? "(no answer)") ? "candidate taken" : "candidate" },
      element("span", { class: right ? "right" : "wrong" }, answer),
      ` ${number} of ${samples.length}`,
      element("span", { class: "bar", style: `width: ${(100 * number) / samples.length}%` }),
    ),
  );
  const texts = samples.map(([text, answer, right, logprob], place) =>
    element(
      "li",
      {},
      element("span", { class: right ? "right" : "wrong" }, `${place === row[2] ? "✓ chosen · " : ""}${right ? "right" : "wrong"}: ${answer ?? "(no answer)"} `),
      element("span", { class: "scores" }, `log-probability ${logprob}`),
      element("div", { class: "step" }, text),
    ),
  );
  return element(
    "div",
    {},
    element("h5", {}, "Votes"),
    element("ol", { class: "candidates" }, ...lines),
    element("details", {}, element("summary", {}, `All ${samples.length} samples`), element("ol", {}, ...texts)),
  );
}

function side(label, method, row) {
  const head = element("h4", {}, `${label}: ${method.name}`);
  if (!row) return element("div", { class: "side" }, head, element("p", { class: "quiet" }, "Not answered."));
  const verdict = element("p", {}, element("span", { class: row[0] ? "right" : "wrong" }, row[0] ? "✓ right" : "✗ wrong"), `, answer: ${row[1] ?? "(none could be read)"}`);
  return element("div", { class: "side" }, head, verdict, ...solution(row), votes(row));
}

function startBrowser() {
  const at = (id) => document.getElementById(id);
  const [groupChoice, choiceA, choiceB, filter, search] = ["group", "method-a", "method-b", "filter", "search"].map(at);
  const [list, detail, count, note] = ["list", "detail", "count", "sample-note"].map(at);
  let group, questions, rows;
  let shown = []; // places of the questions in the list
  let current = null;

  const methodOf = (choice) => group.methods[Number(choice.value)];
  const rowsOf = (choice) => rows[Number(choice.value)];

  async function loadRows(choice) {
    const place = Number(choice.value);
    rows[place] ??= await unpacked(group.packed[place + 1]);
  }

  async function openGroup() {
    group = groups[Number(groupChoice.value)];
    rows = [];
    questions = await unpacked(group.packed[0]);
    const options = () => group.methods.map((method, place) => element("option", { value: place }, method.name));
    choiceA.replaceChildren(...options());
    choiceB.replaceChildren(...options());
    // The two that a reader would compare first: the one with kept candidates, or the best, against the worst.
    const byAccuracy = group.methods.map((_, place) => place).sort((a, b) => group.methods[b].accuracy - group.methods[a].accuracy);
    const first = byAccuracy.find((place) => group.methods[place].candidates) ?? byAccuracy[0];
    choiceA.value = first;
    choiceB.value = byAccuracy.findLast((place) => place !== first) ?? first;
    note.textContent =
      (group.places.length < group.total ? `${group.places.length} of the ${group.total} questions, evenly spaced; all are in the files. ` : "") +
      `Predictions of seed ${[...new Set(group.methods.map((method) => method.seed))].join(", ")}.`;
  }

  function keeps(place) {
    const [a, b] = [rowsOf(choiceA)[place], rowsOf(choiceB)[place]];
    const word = search.value.trim().toLowerCase();
    if (word) {
      const texts = [questions[place][1], questions[place][2], ...[a, b].flatMap((row) => (row ? row[3].map((sample) => sample[0]) : []))];
      if (!texts.some((text) => text.toLowerCase().includes(word))) return false;
    }
    if (filter.value === "all") return true;
    if (!a || !b) return false;
    return filter.value === "differ" ? a[1] !== b[1] : filter.value === `${a[0]}${b[0]}`;
  }

  async function refresh(wanted = current) {
    await Promise.all([loadRows(choiceA), loadRows(choiceB)]);
    shown = questions.map((_, place) => place).filter(keeps);
    const sign = (row) => (row?.[0] ? element("span", { class: "right", title: "right" }, "✓") : element("span", { class: "wrong", title: "wrong" }, "✗"));
    list.replaceChildren(
      ...shown.map((place) =>
        element(
          "li",
          {},
          element(
            "button",
            { type: "button", "data-place": place, onclick: () => open(place) },
            element("span", {}, sign(rowsOf(choiceA)[place]), sign(rowsOf(choiceB)[place])),
            element("span", { class: "words" }, `${group.places[place] + 1}. ${questions[place][1]}`),
          ),
        ),
      ),
    );
    count.textContent = `${shown.length} of ${questions.length} questions`;
    if (shown.includes(wanted)) show(wanted);
    else if (shown.length) show(shown[0]);
    else detail.replaceChildren(element("p", { class: "quiet" }, "No question matches; change the filter or the search."));
  }

  function show(place) {
    current = place;
    const [id, question, gold, reference] = questions[place];
    const index = shown.indexOf(place);
    const move = (label, by) =>
      element("button", { type: "button", disabled: shown[index + by] === undefined && "", onclick: () => open(shown[index + by]) }, label);
    detail.replaceChildren(
      element("div", { class: "moves" }, move("← Previous", -1), move("Next →", 1), element("a", { href: address(place) }, `Link to question ${group.places[place] + 1}`)),
      element("h3", {}, `Question ${group.places[place] + 1}`),
      element("p", {}, question),
      element("p", {}, "Right answer: ", element("strong", {}, gold), element("span", { class: "quiet" }, ` (${id})`)),
      reference.length
        ? element("details", {}, element("summary", {}, `Reference, ${reference.length} steps`), ...reference.map((step) => element("div", { class: "step" }, step)))
        : null,
      element("div", { class: "sides" }, side("A", methodOf(choiceA), rowsOf(choiceA)[place]), side("B", methodOf(choiceB), rowsOf(choiceB)[place])),
    );
    for (const button of list.querySelectorAll("button")) {
      if (Number(button.dataset.place) === place) {
        button.setAttribute("aria-current", "true");
        button.closest("ol").scrollTop = button.parentElement.offsetTop - list.offsetTop - 60;
      } else button.removeAttribute("aria-current");
    }
  }

  const address = (place) => {
    const words = { q: group.places[place] + 1 };
    if (groups.length > 1) words.g = groupChoice.value;
    return `#${new URLSearchParams({ ...words, a: methodOf(choiceA).name, b: methodOf(choiceB).name })}`;
  };

  function open(place) {
    history.replaceState(null, "", address(place));
    show(place);
  }

  // `#q=17` names a question by its number in the split; `g`, `a` and `b` name the group and the methods.
  async function follow() {
    const words = new URLSearchParams(location.hash.slice(1));
    if (!words.has("q")) return false;
    if (groups[Number(words.get("g"))] && words.has("g") && words.get("g") !== groupChoice.value) {
      groupChoice.value = words.get("g");
      await openGroup();
    }
    for (const [word, choice] of [["a", choiceA], ["b", choiceB]]) {
      const place = group.methods.findIndex((method) => method.name === words.get(word));
      if (place >= 0) choice.value = place;
    }
    const place = group.places.indexOf(Number(words.get("q")) - 1);
    filter.value = "all";
    search.value = "";
    await refresh(place < 0 ? null : place);
    at("predictions").scrollIntoView();
    if (place < 0) count.textContent += `; question ${words.get("q")} is not among them`;
    return true;
  }

  list.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1 }[event.key];
    const place = by && shown[shown.indexOf(Number(event.target.dataset.place)) + by];
    if (place === undefined) return;
    event.preventDefault();
    open(place);
    list.querySelector(`[data-place="${place}"]`).focus();
  });
  groupChoice.replaceChildren(...groups.map((one, place) => element("option", { value: place }, `${one.task}, ${one.model} (${one.split}, ${one.preset})`)));
  groupChoice.addEventListener("change", () => openGroup().then(() => refresh(null)));
  for (const choice of [choiceA, choiceB, filter]) choice.addEventListener("change", () => refresh());
  let waiting;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 150);
  });
  at("browser-tools").addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", follow);
  openGroup().then(follow).then((followed) => followed || refresh(null)).then(() => (document.documentElement.dataset.ready = "yes"));
}

if (groups.length) startBrowser();
else document.documentElement.dataset.ready = "yes";
