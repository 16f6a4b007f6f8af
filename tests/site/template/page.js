// Formulas by the local KaTeX; short cells of a table stay on one line, long ones stay readable; boxes that scroll can be reached by keyboard.
const render = span => katex.render(span.textContent, span, { displayMode: span.classList.contains("display"), throwOnError: true, strict: "error" });
const whole = cell => {
  if (cell.textContent.length <= 14) cell.style.whiteSpace = "nowrap";
  if (cell.textContent.length > 40) cell.style.minWidth = "11rem";
};
const reachable = box => { if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0; };

addEventListener("DOMContentLoaded", () => { document.querySelectorAll("td").forEach(whole); document.querySelectorAll(".math").forEach(render); });
addEventListener("load", () => document.querySelectorAll(".katex-display, .scroll, .output, pre").forEach(reachable));
