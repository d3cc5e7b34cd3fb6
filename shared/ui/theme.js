// Before anything is shown, so that nothing is shown in the wrong colours first.
(() => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("synod-theme");
  } catch {
    // A browser that keeps nothing for pages: the system says which.
  }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
