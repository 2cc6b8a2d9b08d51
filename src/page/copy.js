"use strict";
// A button beside each command, which copies it.
document.querySelectorAll("pre.command").forEach(pre => {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "copy";
  button.addEventListener("click", () => {
    const text = pre.firstChild.textContent.trim();
    const done = () => { button.textContent = "copied"; };
    const selected = () => {
      getSelection().selectAllChildren(pre);
      document.execCommand("copy");
      done();
    };
    navigator.clipboard ? navigator.clipboard.writeText(text).then(done, selected) : selected();
  });
  pre.before(button);
});
