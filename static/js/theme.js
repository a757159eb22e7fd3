// The theme: the system's, or the one chosen here. A classic script in the head, so
// that it has run before anything is painted.
(() => {
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];

  const stored = () => {
    try {
      return localStorage.getItem("holdfast.theme");
    } catch {
      return null; // storage is blocked: the choice then lasts as long as the page
    }
  };

  let theme = order.includes(stored()) ? stored() : "auto";

  const apply = () => {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
  };

  apply();

  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme")?.addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try {
        localStorage.setItem("holdfast.theme", theme);
      } catch {
        // see stored()
      }
      apply();
    });
  });
})();
