// Click a box of the flame graph to make it as wide as the graph; click it again to go back.
const flame = document.getElementById("flame-graph");
const boxes = flame ? [...flame.querySelectorAll("[data-start]")] : [];
const whole = flame ? Number(flame.dataset.cycles) : 0;
let zoomed = null;

function show(start, cycles, chosen) {
  for (const box of boxes) {
    const from = Number(box.dataset.start);
    const to = from + Number(box.dataset.cycles);
    const left = Math.max((from - start) / cycles, 0);
    const right = Math.min((to - start) / cycles, 1);
    box.hidden = right <= left;
    box.style.left = `${100 * left}%`;
    box.style.width = `${100 * (right - left)}%`;
    box.setAttribute("aria-pressed", String(box === chosen));
  }
}

for (const box of boxes) {
  box.addEventListener("click", () => {
    zoomed = zoomed === box ? null : box;
    if (zoomed) show(Number(box.dataset.start), Number(box.dataset.cycles), box);
    else show(0, whole, null);
  });
}
