"use strict";
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true });

  /** Compare two rows by a column: by their numbers, if it has any; what is empty comes last. */
  const compare = (column, isNumber, sign) => (a, b) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    if (isNumber) {
      const hasX = "key" in x.dataset, hasY = "key" in y.dataset;
      if (!hasX || !hasY) return Number(hasY) - Number(hasX);
      return sign * (Number(x.dataset.key) - Number(y.dataset.key));
    }
    const [s, t] = [x.textContent, y.textContent];
    if (!s || !t) return Number(Boolean(t)) - Number(Boolean(s));
    return sign * collator.compare(s, t);
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      head.querySelector("button").addEventListener("click", () => {
        const isNumber = head.classList.contains("number");
        const before = head.getAttribute("aria-sort");
        // Scores are read from the highest on, names from A.
        const first = isNumber ? "descending" : "ascending";
        const second = isNumber ? "ascending" : "descending";
        const order = before === first ? second : first;
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", order);
        const body = table.tBodies[0];
        const sign = order === "ascending" ? 1 : -1;
        body.append(...[...body.rows].sort(compare(column, isNumber, sign)));
      });
    });
  }

  const select = (element) => {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };

  for (const text of document.querySelectorAll(".copied")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      select(text);
      try {
        await navigator.clipboard.writeText(getSelection().toString());
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected"; // a page from a file may not write there
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    text.before(button);
  }

  const opened = [];
  addEventListener("beforeprint", () => {
    for (const one of document.querySelectorAll("details:not([open])")) {
      one.open = true;
      opened.push(one);
    }
  });
  addEventListener("afterprint", () => {
    while (opened.length) opened.pop().open = false;
  });
})();
