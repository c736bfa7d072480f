// Work under way in a row: what is done, what is checked, and what is left.
class Work {
  constructor() {
    this.title = make("p");
    this.title.setAttribute("role", "status");
    this.bar = make("progress", { max: 1 });
    this.figures = make("p");
    this.checks = make("ul", { className: "checks" });
    this.node = make("div", { className: "work", hidden: true });
    this.node.append(this.title, this.bar, this.figures, this.checks);
  }

  show(title) {
    this.node.hidden = false;
    say(this.title, title);
    this.bar.removeAttribute("value");
    this.bar.setAttribute("aria-label", title);
    this.bar.hidden = false;
    say(this.figures, "");
    this.checks.replaceChildren();
    this.pulling = null;
  }

  hide() {
    this.node.hidden = true;
  }

  hear(event) {
    if (event.event === "progress") this.progress(event);
    else if (event.event === "verified") this.check(3);
    else if (event.event === "stopping") this.next("Stopping the other model");
    else if (event.event === "starting") this.next("Loading the model, and asking it for a first sign of life");
  }

  next(title) {
    this.show(title);
  }

  progress({ id, received, total, bytes_per_second: rate, waiting }) {
    if (this.pulling !== id) {
      this.show(`Downloading ${id}`);
      this.pulling = id;
      this.checks.append(
        make("li", { textContent: "Named by the signed catalog" }),
        make("li", { textContent: "Every byte hashed as it arrives" }),
        make("li", { textContent: "Size and SHA-256 digest are the signed ones" }),
      );
    }
    const whole = total > 0 && received >= total;
    this.bar.value = total > 0 ? received / total : 0;
    this.check(whole ? 2 : 1);
    const left = rate > 0 && !whole ? ` · ${duration((total - received) / rate)} left` : "";
    const speed = rate > 0 ? ` · ${size(rate)}/s` : "";
    const turn = waiting ? " · after the download that was asked for first" : "";
    say(this.figures, `${size(received)} of ${size(total)}${speed}${left}${turn}`);
  }

  // So many of the checks are done; the next one is at work.
  check(done) {
    [...this.checks.children].forEach((item, index) => {
      item.dataset.state = index < done ? "done" : index === done ? "now" : "later";
    });
  }
}
