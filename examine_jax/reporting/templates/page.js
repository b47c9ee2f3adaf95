"use strict";
// Tables sort and filter, and pictures open large. Without this script the page shows the same content.
// Names are only ever read and written as text, never as markup.

const collator = new Intl.Collator(undefined, {numeric: true});

function number(text) {
  const plain = text.trim().replace(/,/g, "").replace(/%$/, "").replace("\u2212", "-");
  return plain !== "" && isFinite(plain) ? Number(plain) : null;
}

// Numbers before texts, empty cells last in both directions; equal cells keep their order.
function compare(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const x = number(a), y = number(b);
  if (x !== null && y !== null) return sign * (x - y);
  if ((x === null) !== (y === null)) return sign * (x === null ? 1 : -1);
  return sign * collator.compare(a, b);
}

function cellText(row, column) {
  return row.cells[column] ? row.cells[column].textContent.trim() : "";
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map((row) => [cellText(row, column), row]);
      rows.sort((a, b) => compare(a[0], b[0], down ? -1 : 1));
      body.append(...rows.map((pair) => pair[1]));
    });
  });
}

function filterable(table) {
  const body = table.tBodies[0], all = body.rows.length;
  if (all < 8) return;
  const line = document.createElement("p"), label = document.createElement("label");
  const input = document.createElement("input"), count = document.createElement("output");
  line.className = "filter";
  input.type = "search";
  input.autocomplete = "off";
  label.append("Filter rows ", input);
  line.append(label, " ", count);
  table.closest(".scroll").before(line);
  const show = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${all} rows`;
  };
  input.addEventListener("input", show);
  show();
}

function largeDialog() {
  const dialog = document.createElement("dialog"), large = document.createElement("img");
  const caption = document.createElement("p"), buttons = document.createElement("p");
  let pictures = [], shown = 0;
  const show = (index) => {
    shown = (index + pictures.length) % pictures.length;
    large.src = pictures[shown].src;
    large.alt = pictures[shown].alt;
    caption.textContent = `${pictures[shown].alt} (${shown + 1} of ${pictures.length})`;
  };
  const action = (text, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.addEventListener("click", act);
    buttons.append(button);
    return button;
  };
  const steps = [
    action("Previous", () => show(shown - 1)),
    action("Next", () => show(shown + 1)),
  ];
  action("Close", () => dialog.close());
  dialog.setAttribute("aria-label", "Large picture");
  dialog.append(large, caption, buttons);
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(shown - 1);
    if (event.key === "ArrowRight") show(shown + 1);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => pictures[shown].closest("button").focus());
  document.body.append(dialog);
  return (group, index) => {
    pictures = group;
    for (const step of steps) step.hidden = group.length === 1;
    show(index);
    dialog.showModal();
  };
}

function openable(pictures, open) {
  pictures.forEach((picture, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "zoom";
    button.title = "Open large";
    picture.replaceWith(button);
    button.append(picture);
    button.addEventListener("click", () => open(pictures, index));
  });
}

for (const table of document.querySelectorAll("table")) {
  if (table.tHead && table.tBodies.length === 1 && table.tBodies[0].rows.length > 1) {
    sortable(table);
    filterable(table);
  }
}
const open = largeDialog();
for (const group of document.querySelectorAll(".gallery, figure")) {
  openable([...group.querySelectorAll("img")], open);
}
