// What scrolls sideways can be reached, and so scrolled, with the keyboard.
for (const part of document.querySelectorAll("pre, .diagram, .table-wrapper")) {
  if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
}
