// The page that compares two methods. Which ones stands in the address: #suite=…&a=…&b=….
(() => {
  "use strict";
  const suites = JSON.parse(document.getElementById("data").textContent).suites;
  const form = document.getElementById("choice");
  const field = (name) => form.elements.namedItem(name);
  const MINUS = "\u2212";

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  // A table from a caption, heads, and rows of [name, cell, …]; a cell is a text or {text, small, strong}.
  function table(caption, heads, rows, numeric = true) {
    const scroll = element("div", undefined, { class: "scroll", role: "group", "aria-label": caption, tabindex: "0" });
    const made = scroll.appendChild(element("table"));
    made.appendChild(element("caption", caption));
    const top = made.appendChild(element("thead")).appendChild(element("tr"));
    const kind = numeric ? "num" : "wrap";
    heads.forEach((head, i) => top.appendChild(element("th", head, { scope: "col", class: i && numeric ? "num" : "text" })));
    const body = made.appendChild(element("tbody"));
    for (const [name, ...cells] of rows) {
      const row = body.appendChild(element("tr"));
      row.appendChild(element("th", name, { scope: "row" }));
      for (const cell of cells) {
        const { text, small, strong } = typeof cell === "object" ? cell : { text: cell };
        const made = row.appendChild(element("td", text, { class: strong ? `${kind} differs` : kind }));
        if (small) {
          made.appendChild(element("br"));
          made.appendChild(element("span", small, { class: "interval" }));
        }
      }
    }
    return scroll;
  }

  function signed(value, style) {
    if (value === null) return "\u2013";
    const scale = style === "share" ? 100 : 1;
    const places = style === "share" ? 1 : style === "clicks" ? 2 : 3;
    const text = Math.abs(value * scale).toFixed(places);
    const sign = Number(text) === 0 ? "" : value > 0 ? "+" : MINUS;
    return sign + text + (style === "share" ? " %" : "");
  }

  function difference(board, key, style, a, b) {
    const rows = board.pairs[key] || [];
    const found = rows.find(([one, two]) => (one === a && two === b) || (one === b && two === a));
    if (!found) return ["\u2013", "\u2013"];
    const turn = found[0] === a ? 1 : -1;
    let [value, low, high, p] = found.slice(2);
    value = value === null ? null : turn * value;
    if (turn < 0 && low !== null) [low, high] = [-high, -low];
    const small = low === null ? "" : `[${signed(low, style)}, ${signed(high, style)}]`;
    const strong = p !== null && p < 0.05;
    const shown = p === null ? "\u2013" : p < 0.001 ? "< 0.001" : p.toFixed(3);
    return [{ text: signed(value, style), small, strong }, { text: shown, strong }];
  }

  function numbers(board, a, b, names) {
    const cells = (slug, i) => {
      const row = board.rows[slug];
      return row ? { text: row[i][0], small: row[i][1] } : "not ranked";
    };
    const rows = board.columns.map(({ key, head, style }, i) => [
      head, cells(a, i), cells(b, i), ...difference(board, key, style, a, b),
    ]);
    return table("Numbers", ["number", names[0], names[1], "A \u2212 B", "p, Holm"], rows);
  }

  function targets(board, a, b, names) {
    const text = (value) => (value === null || value === undefined ? "\u2013" : value.toFixed(3));
    const rows = Object.entries(board.targets).map(([target, values]) => {
      const [one, two] = [values[a], values[b]];
      const both = typeof one === "number" && typeof two === "number";
      return [target, text(one), text(two), both ? signed(one - two, "dice") : "\u2013"];
    });
    return table("Outcome by target", ["target", ...names, "A \u2212 B"], rows);
  }

  function highlight(section, wanted) {
    for (const item of section.querySelectorAll(".key li")) {
      item.hidden = !wanted.includes(Number(item.dataset.number));
    }
    const drawing = section.querySelector(".drawing");
    if (!drawing) return;
    const start = `${drawing.dataset.prefix}-method`;
    for (const part of drawing.querySelectorAll("g[id]")) {
      if (!part.id.startsWith(start)) continue;
      const number = Number(part.id.slice(start.length).split("-")[0]);
      part.style.display = wanted.includes(number) ? "" : "none";
    }
  }

  function show(suite, a, b) {
    const cards = [suite.cards[a], suite.cards[b]];
    const names = cards.map((card, i) => `${"AB"[i]}: ${card.name}`);
    const facts = cards[0].facts.map(([term, text], i) => [term, text || "\u2013", cards[1].facts[i][1] || "\u2013"]);
    document.getElementById("about").replaceChildren(table("What is said of them", ["what", ...names], facts, false));
    for (const section of document.querySelectorAll("section[data-key]")) {
      const board = suite.boards.find(({ key }) => key === section.dataset.key);
      const both = board && [a, b].every((slug) => board.methods.includes(slug));
      section.hidden = !both;
      if (!both) continue;
      highlight(section, cards.map((card) => card.number));
      section.querySelector(".numbers").replaceChildren(numbers(board, a, b, names));
      const parts = section.querySelector(".targets");
      parts.replaceChildren(targets(board, a, b, names));
      parts.parentElement.hidden = !Object.keys(board.targets).length;
      const behind = section.querySelector(".chart-numbers");
      if (behind) {
        const rows = [a, b].map((slug, i) => [names[i], ...board.curves.rows[slug]]);
        behind.replaceChildren(table(board.curves.title, ["method", ...board.curves.columns], rows));
      }
    }
    document.getElementById("result").hidden = false;
    document.getElementById("said").textContent = `${cards[0].name} against ${cards[1].name} on ${suite.name}.`;
    document.title = `${cards[0].name} against ${cards[1].name} \u00b7 simclick leaderboard`;
  }

  function fill(select, choices, wanted, otherwise) {
    select.replaceChildren(...choices.map(([value, text]) => element("option", text, { value })));
    select.value = choices.some(([value]) => value === wanted) ? wanted : otherwise;
  }

  function refresh(wanted, remember) {
    const suite = suites.find(({ name }) => name === wanted.suite) || suites[0];
    if (!suite) return;
    const choices = Object.entries(suite.cards).map(([slug, card]) => [slug, card.name]);
    const slugs = choices.map(([slug]) => slug);
    fill(field("suite"), suites.map(({ name, title }) => [name, title || name]), suite.name, suite.name);
    fill(field("a"), choices, wanted.a, slugs[0]);
    const other = slugs.find((slug) => slug !== field("a").value) || slugs[0];
    fill(field("b"), choices, wanted.b, other);
    show(suite, field("a").value, field("b").value);
    if (!remember) return;
    const kept = { suite: suite.name, a: field("a").value, b: field("b").value };
    history.replaceState(null, "", `#${new URLSearchParams(kept)}`);
  }

  const chosen = () => ({ suite: field("suite").value, a: field("a").value, b: field("b").value });
  const recalled = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  form.hidden = false;
  form.addEventListener("change", () => refresh(chosen(), true));
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("swap").addEventListener("click", () => {
    const { suite, a, b } = chosen();
    refresh({ suite, a: b, b: a }, true);
  });
  window.addEventListener("hashchange", () => refresh(recalled(), false));
  refresh(recalled(), false);
})();
