const table = document.querySelector("table.all");
const box = document.querySelector("input[type=search]");
if (table && box) {
  const body = table.tBodies[0], rows = [...body.rows];
  const key = (row, c) => row.cells[c].dataset.v ?? row.cells[c].textContent;
  const order = (a, b) => a - b || (a < b ? -1 : Number(a > b));
  let sorted = 0, sign = 1;
  [...table.tHead.rows[0].cells].forEach((head, c) => {
    const sort = () => {
      sign = c === sorted ? -sign : 1;
      sorted = c;
      rows.sort((a, b) => sign * order(key(a, c), key(b, c)));
      body.append(...rows);
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    };
    head.tabIndex = 0;
    head.onclick = sort;
    head.onkeydown = (event) => { if (event.key === "Enter") sort(); };
  });
  box.hidden = false;
  box.oninput = () => {
    const wanted = box.value.toLowerCase();
    for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  };
}
