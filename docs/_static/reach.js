// What scrolls sideways can be reached, and so scrolled, with the keyboard.
for (const part of document.querySelectorAll("pre, .diagram, .table-wrapper")) {
  if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
}
// Sphinx makes the captions of a table of contents headings, and does not say of which level.
for (const each of document.querySelectorAll('[role="heading"]:not([aria-level])')) each.setAttribute("aria-level", "2");
