// Runs before the first paint, so that a chosen colour scheme never flashes.
(() => {
  const chosen = localStorage.getItem("theme");
  if (chosen) document.documentElement.dataset.theme = chosen;
})();
