// Formulas by the local KaTeX, strictly: one that it refuses is an error in the console.
const render = span => {
  const displayMode = span.classList.contains("display");
  katex.render(span.textContent, span, { displayMode, throwOnError: true, strict: "error" });
};
addEventListener("DOMContentLoaded", () => document.querySelectorAll(".math").forEach(render));
