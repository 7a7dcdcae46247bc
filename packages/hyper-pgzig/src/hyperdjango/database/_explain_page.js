"use strict";
// Shows the details of a frame that is chosen, and one line about the one that the pointer or the focus is on.
const frames = [...document.querySelectorAll(".frame")];
const nodes = [...document.querySelectorAll(".node")];
const hint = document.querySelector(".hint");
const byNumber = new Map(frames.map((frame) => [frame.dataset.node, frame]));

function choose(number) {
  for (const frame of frames) frame.setAttribute("aria-pressed", String(frame.dataset.node === number));
  for (const node of nodes) node.hidden = node.dataset.node !== number;
}
function tell(frame) {
  hint.textContent = frame ? frame.getAttribute("aria-label") : hint.dataset.text;
}
// Up is the node around, down the first part, left and right the neighbours in the same row.
function neighbour(frame, key) {
  if (key === "ArrowUp") return byNumber.get(frame.dataset.around);
  if (key === "ArrowDown") return frames.find((each) => each.dataset.around === frame.dataset.node);
  const row = frames
    .filter((each) => each.offsetTop === frame.offsetTop)
    .sort((one, other) => one.offsetLeft - other.offsetLeft);
  return row[row.indexOf(frame) + (key === "ArrowRight" ? 1 : -1)];
}
for (const frame of frames) {
  frame.addEventListener("click", () => choose(frame.dataset.node));
  frame.addEventListener("mouseenter", () => tell(frame));
  frame.addEventListener("mouseleave", () => tell(null));
  frame.addEventListener("focus", () => tell(frame));
  frame.addEventListener("keydown", (event) => {
    if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    neighbour(frame, event.key)?.focus();
  });
}
for (const pick of document.querySelectorAll(".pick")) {
  pick.addEventListener("click", () => {
    choose(pick.dataset.node);
    document.querySelector(".flame").scrollIntoView({ block: "start" });
    byNumber.get(pick.dataset.node)?.focus({ preventScroll: true });
  });
}
