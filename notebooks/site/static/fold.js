// On a phone each cell of code folds into a line that opens it; on wider screens it stays as it is.
document.addEventListener("DOMContentLoaded", () => {
  // cells that are hidden everywhere: myst-nb labels them for screen readers with other words than are seen
  document.querySelectorAll("details.hide > summary").forEach((line) => line.removeAttribute("aria-label"));
  if (!matchMedia("(max-width: 45rem)").matches) return;
  document.querySelectorAll(".cell_input").forEach((code) => {
    if (code.closest("details")) return;
    const fold = document.createElement("details");
    fold.className = "fold";
    fold.innerHTML = "<summary>Show code</summary>";
    code.before(fold);
    fold.append(code);
  });
});
