"use strict";
// Shows the copy buttons and lets them work, and says aloud what a page shows. Pages are complete
// without this script.
(function () {
  // Screen readers speak of a live region when its text changes, not when it comes with the page.
  function say(text) {
    var region = document.getElementById("said");
    region.textContent = "";
    setTimeout(function () {
      region.textContent = text;
    }, 100);
  }

  var notice = document.getElementById("notice");
  if (notice) {
    say(notice.textContent);
  }

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
        say(button.dataset.done);
        setTimeout(function () {
          button.textContent = label;
          button.classList.remove("done");
        }, 2000);
      });
    });
  });
})();
