"use strict";
// Shows the copy buttons and lets them work. Pages are complete without this script.
document.querySelectorAll("button.copy").forEach(function (button) {
  if (!navigator.clipboard) {
    return;
  }
  var label = button.textContent;
  button.hidden = false;
  button.addEventListener("click", function () {
    navigator.clipboard.writeText(button.dataset.copy).then(function () {
      button.textContent = button.dataset.done;
      button.classList.add("done");
      setTimeout(function () {
        button.textContent = label;
        button.classList.remove("done");
      }, 2000);
    });
  });
});
