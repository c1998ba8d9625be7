// Shade each channel by the share of tasks in which it learned, for the scheme and domain picked.
const picked = ["scheme", "domain"].map((id) => document.getElementById(id));
const found = JSON.parse(document.getElementById("chosen-data").textContent);
const percent = (thousandths) => `${Math.round(thousandths / 10)} %`;

function show() {
  const here = found[picked[0].value][picked[1].value];
  document.getElementById("chosen-words").textContent = here.words;
  for (const line of document.querySelectorAll("#network [data-layer]")) {
    const packed = here.channels[line.dataset.layer] ?? "";
    const cells = [...line.querySelectorAll(".cell")];
    let sum = 0;
    cells.forEach((cell, channel) => {
      const share = packed ? parseInt(packed.slice(2 * channel, 2 * channel + 2), 36) : 0;
      sum += share;
      cell.style.fillOpacity = share / 1000;
      const name = line.dataset.head ? "classes" : `channel ${channel}`;
      cell.firstElementChild.textContent = `${name}: ${percent(share)} of the tasks`;
    });
    const tasks = here.tasks[line.dataset.layer];
    line.querySelector(".tasks").textContent = tasks ? percent(tasks) : "";
    line.querySelector(".mean").textContent = tasks ? percent(sum / cells.length) : "";
  }
}

for (const list of picked) list.addEventListener("change", show);
show();
