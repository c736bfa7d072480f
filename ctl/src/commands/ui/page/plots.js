// What the runtime uses: the last two minutes as curves, the present figure as text.
const SAMPLES = 120;
const SVG = "http://www.w3.org/2000/svg";

const PLOTS = [
  {
    name: "Memory",
    of: (report) => report.ram_bytes,
    ceiling: (report) => report.limits.max_ram_bytes,
    words: (value, top) => (top ? `${size(value)} of ${size(top)}` : size(value)),
  },
  {
    name: "Processor",
    of: (report) => report.cpu_percent,
    ceiling: () => 100,
    words: (value) => `${value.toFixed(0)} % of this computer`,
  },
  {
    name: "Graphics memory",
    of: (report) => report.vram_bytes,
    ceiling: (report) => report.limits.max_vram_bytes,
    words: (value) => size(value),
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
  const node = make("div", { className: "plot" });
  node.append(make("span", { className: "plot-name", textContent: name }), value, svg);
  return { node, value, area, line };
}

function showPlots(report) {
  for (const plot of PLOTS) {
    const sample = plot.of(report);
    const top = plot.ceiling(report) || 0;
    plot.samples.push(sample);
    if (plot.samples.length > SAMPLES) plot.samples.shift();
    plot.node.hidden = Boolean(plot.onlyWhenUsed) && plot.samples.every((it) => it === 0);
    say(plot.value, report.pids.runtime ? plot.words(sample, top) : "none runs");
    draw(plot, top);
  }
}

// Newest at the right; memory against its ceiling only once it comes near, so that a small model
// still has a curve.
function draw(plot, top) {
  const peak = Math.max(...plot.samples, 0);
  const scale = peak > top / 2 && top > 0 ? top : Math.max(peak * 1.6, 1e-9);
  const shift = SAMPLES - plot.samples.length;
  const points = plot.samples.map((value, index) => {
    const y = 38 - (Math.min(value, scale) / scale) * 36;
    return `${shift + index} ${y.toFixed(2)}`;
  });
  const path = `M${points.join("L")}`;
  plot.line.setAttribute("d", path);
  plot.area.setAttribute("d", `${path}L${SAMPLES - 1} 40L${shift} 40Z`);
}
