// Filters of the index page. Their state stands in the address, so that a link keeps it.
(() => {
  "use strict";
  const form = document.getElementById("filters");
  const status = document.getElementById("shown");
  const boards = [...document.querySelectorAll("section.board")];
  const names = ["suite", "protocol", "modality", "tier", "prompt", "name"];

  function state() {
    const found = {};
    for (const name of names) found[name] = form.elements.namedItem(name).value.trim();
    return found;
  }

  function passes(row, wanted) {
    if (!row.dataset.tier) return true;
    return (
      (!wanted.tier || row.dataset.tier === wanted.tier) &&
      (!wanted.prompt || row.dataset.prompts.split(" ").includes(wanted.prompt)) &&
      (!wanted.name || row.dataset.name.includes(wanted.name.toLowerCase()))
    );
  }

  function show(board, wanted) {
    const { suite, protocol, modality } = board.dataset;
    const open =
      (!wanted.suite || suite === wanted.suite) &&
      (!wanted.protocol || protocol === wanted.protocol) &&
      modality === wanted.modality;
    board.hidden = !open;
    let rows = 0;
    if (!open) return null;
    for (const row of board.querySelectorAll("tbody tr")) {
      row.hidden = !passes(row, wanted);
      rows += row.hidden ? 0 : 1;
    }
    board.querySelector("p.none").hidden = rows > 0;
    return rows;
  }

  function apply(remember) {
    const wanted = state();
    const counts = boards.map((board) => show(board, wanted)).filter((count) => count !== null);
    for (const suite of document.querySelectorAll("section.suite")) {
      suite.hidden = !suite.querySelector("section.board:not([hidden])");
    }
    const rows = counts.reduce((sum, count) => sum + count, 0);
    const plural = (n, word) => `${n} ${word}${n === 1 ? "" : "s"}`;
    status.textContent = `${plural(counts.length, "board")} shown, with ${plural(rows, "row")}.`;
    if (!remember) return;
    const kept = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)).toString();
    history.replaceState(null, "", kept ? `#${kept}` : location.pathname + location.search);
  }

  function recall() {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) {
      // A link to one board: a board of one modality needs its filter.
      const board = document.getElementById(hash);
      if (board && board.classList.contains("part-board")) {
        form.elements.namedItem("modality").value = board.dataset.modality;
        apply(false);
        board.scrollIntoView();
        return;
      }
    }
    const given = new URLSearchParams(hash.includes("=") ? hash : "");
    for (const name of names) {
      const field = form.elements.namedItem(name);
      field.value = given.get(name) || "";
      if (field.selectedIndex === -1) field.value = "";
    }
    apply(false);
  }

  form.hidden = false;
  form.addEventListener("input", () => apply(true));
  form.addEventListener("reset", () => setTimeout(() => apply(true)));
  form.addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", recall);
  recall();
})();
