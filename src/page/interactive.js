"use strict";
// One chooser and one plot for all groups of surfaces, in the element of class "surfaces".
(() => {
  const groups = JSON.parse(document.getElementById("surface-data").textContent);
  const host = document.querySelector(".surfaces");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chooser = document.createElement("select");
  groups.forEach((group, g) => {
    const list = groups.length > 1 ? document.createElement("optgroup") : chooser;
    group.views.forEach((view, v) => {
      const option = new Option(view.title, `${g} ${v}`);
      list.append(option);
    });
    if (list !== chooser) { list.label = group.title; chooser.append(list); }
  });
  const label = document.createElement("label");
  label.append("Surface ", chooser);
  const plot = document.createElement("div");
  plot.className = "plot";
  host.append(label, plot);

  const test = document.createElement("canvas");
  if (!(test.getContext("webgl2") || test.getContext("webgl"))) {
    plot.textContent = "This browser has no WebGL: see the figures instead.";
    plot.style.height = "auto";
    return;
  }
  const draw = () => {
    const [g, v] = chooser.value.split(" ").map(Number);
    const group = groups[g], view = group.views[v];
    const ink = dark.matches ? "#e6e6e6" : "#1b1b1b", grid = dark.matches ? "#444" : "#ccc";
    const axis = title => ({ title: { text: title }, color: ink, gridcolor: grid, zerolinecolor: grid });
    // Further away where the page is narrow, so that nothing is cut.
    const far = plot.clientWidth < 500 ? 2 : 1.4, eye = { x: far, y: far, z: 0.8 * far };
    const trace = {
      type: "surface", x: view.x, y: view.y, z: view.z, cmin: group.low, cmax: group.high, colorscale: "Viridis",
      colorbar: { title: { text: group.label, side: "top" }, tickfont: { color: ink }, orientation: "h", y: 0, thickness: 10, len: 0.6 },
      contours: { z: { show: true, usecolormap: true, project: { z: true } } },
      hovertemplate: "a %{x:.3f}<br>b %{y:.3f}<br>loss %{z:.4f}<extra></extra>",
    };
    const layout = {
      paper_bgcolor: "rgba(0,0,0,0)", font: { color: ink }, margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "same view",
      scene: {
        xaxis: axis("a"), yaxis: axis("b"), zaxis: { ...axis("loss"), range: [group.low, group.high] },
        aspectratio: { x: 1, y: 1, z: 0.8 }, domain: { y: [0.14, 1] }, camera: { eye },
      },
    };
    // Marks stand a little above the surface, or it would hide half of each.
    const lift = 0.012 * (group.high - group.low);
    const marked = (marks, mode, size) => ({
      type: "scatter3d", mode, ...marks, z: marks.z.map(z => z === null ? null : z + lift), showlegend: false,
      textposition: "top center", textfont: { color: ink }, line: { color: ink, width: 4 },
      marker: { color: "#fff", size, line: { color: "#000", width: 2 } },
      hovertemplate: "%{text}<br>a %{x:.3f}<br>b %{y:.3f}<extra></extra>",
    });
    const traces = [trace];
    if (view.marks) {
      const { points, path, line } = view.marks;
      traces.push({ ...marked(line, "lines"), hoverinfo: "skip", hovertemplate: null });
      traces.push(marked(path, "markers", 3), marked(points, "markers+text", 6));
    }
    Plotly.react(plot, traces, layout, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["tableRotation"] });
  };
  const begin = () => {
    const library = document.createElement("script");
    library.textContent = document.getElementById("plotly").textContent;
    document.head.append(library);
    chooser.addEventListener("change", draw);
    dark.addEventListener("change", draw);
    draw();
    new ResizeObserver(() => Plotly.Plots.resize(plot)).observe(host);
  };
  // Not before it is seen: that takes seconds.
  const seen = new IntersectionObserver(entries => {
    if (entries.some(entry => entry.isIntersecting)) { seen.disconnect(); begin(); }
  });
  seen.observe(plot);
})();
