// What the runtime uses: the last two minutes as curves, the present figure as text.
const SAMPLES = 120;
const SVG = "http://www.w3.org/2000/svg";

const PLOTS = [
  {
    name: "Memory",
    of: (report) => report.ram_bytes,
    ceiling: (report) => report.limits.max_ram_bytes,
    words: size,
    limit: (top) => `of ${size(top)}`,
  },
  {
    name: "Processor",
    of: (report) => report.cpu_percent,
    ceiling: () => 100,
    words: (value) => `${value.toFixed(0)} %`,
    limit: () => "of this computer",
    whole: true,
  },
  {
    name: "Graphics memory",
    of: (report) => report.vram_bytes,
    ceiling: (report) => report.limits.max_vram_bytes,
    words: size,
    limit: (top) => `of ${size(top)}`,
    onlyWhenUsed: true,
  },
].map((plot) => ({ ...plot, samples: [], ...plotNodes(plot.name) }));

function plotNodes(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${SAMPLES - 1} 40`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const [area, line] = ["area", "line"].map((kind) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", kind);
    svg.append(path);
    return path;
  });
  const value = make("span", { className: "plot-value" });
  const limitText = make("span", { className: "plot-limit" });
  const figures = make("span", {}, value, " ", limitText);
  const title = make("span", { className: "plot-name", textContent: name });
  const node = make("div", { className: "plot" }, title, figures, svg);
  return { node, value, limitText, area, line };
}

function showPlots(report) {
  for (const plot of PLOTS) {
    const sample = plot.of(report);
    const top = plot.ceiling(report) || 0;
    plot.samples.push(sample);
    if (plot.samples.length > SAMPLES) plot.samples.shift();
    plot.node.hidden = Boolean(plot.onlyWhenUsed) && plot.samples.every((it) => it === 0);
    const runs = Boolean(report.pids.runtime);
    say(plot.value, runs ? plot.words(sample) : "");
    say(plot.limitText, runs ? (top ? plot.limit(top) : "") : "nothing runs");
    draw(plot, top);
  }
}

// Newest at the right; memory against its ceiling only once it comes near, so that a small model
// still has a curve.
function draw(plot, top) {
  const peak = Math.max(...plot.samples, 0);
  const scale = plot.whole || (top > 0 && peak > top / 2) ? top : Math.max(peak * 1.6, 1);
  const shift = SAMPLES - plot.samples.length;
  const points = plot.samples.map((value, index) => {
    const y = 38 - (Math.min(value, scale) / scale) * 36;
    return `${shift + index} ${y.toFixed(2)}`;
  });
  const path = `M${points.join("L")}`;
  plot.line.setAttribute("d", path);
  plot.area.setAttribute("d", `${path}L${SAMPLES - 1} 40L${shift} 40Z`);
}
