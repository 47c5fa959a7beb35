// Outputs that scroll sideways can be reached by the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  for (const output of document.querySelectorAll(".cell_output")) {
    if (output.scrollWidth > output.clientWidth) output.tabIndex = 0;
  }
});
